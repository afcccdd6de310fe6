"""A reply on its way into the pages: new text only, and no faster than they take it.

Everything that grows within one frame goes out in one message, and the messages have numbers. A page says from time to
time which of them it has shown; those who show the panel get at most ``AHEAD`` messages more than the slowest of them
has shown. A page that stays silent is waited for no longer than ``PAGE_TIMEOUT``: it is hidden, or closed, or its word
cannot come through because a cell keeps the kernel busy. It then gets a message a second, with all that is new by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowgpt_magic.control_characters import join_surrogates

if TYPE_CHECKING:
    from flowgpt_magic.messages import Waiting
    from flowgpt_magic.replies.reply import Reply

Told = list[Any]  # the first letters of a turn's id, the number of the change, keep, cut, what is added, whole blocks
ID_LETTERS = 12  # letters of an id that tell it from those of the other turns that arrive
FRAME = 0.05  # seconds between two messages
AHEAD = 12  # messages that a page may be behind
PAGE_TIMEOUT = 1.0  # seconds


class Stream:
    """One reply as harmless HTML, while it grows. ``number`` counts the changes that were told."""

    def __init__(self, turn_id: str, reply: Reply, *, images: bool) -> None:
        from flowgpt_magic.markdown.html.changes import GrowingMarkup

        self.turn_id = turn_id
        self.number = 0
        self._reply = reply
        self._chunks = 0
        self._characters = 0
        self._pause: Waiting | None = None
        self._progress = ""
        self._markup = GrowingMarkup(images=images)

    @property
    def blocks(self) -> list[str]:
        """What a page has that was told of every change."""
        return self._markup.blocks

    def step(self) -> Told | None:
        """What is new since the last time, None where that is nothing."""
        chunks = self._reply.chunks_from(self._chunks)
        self._chunks += len(chunks)
        self._feed("".join(chunks))
        return self._change() if chunks else None

    def new_pause(self) -> Waiting | None:
        """The pause before the next try, where it has begun since the last call; else None."""
        pause = self._reply.waiting
        if pause is None or pause is self._pause:
            return None
        self._pause = pause
        return pause

    def new_progress(self) -> str | None:
        """What the provider does before the first text, where that has changed since the last call; else None."""
        progress = self._reply.progress
        if progress == self._progress:
            return None
        self._progress = progress
        return progress

    def finish(self, text: str) -> Told | None:
        """The rest, when the reply has ended with ``text``."""
        self._feed(text[self._characters :])
        self._markup.finish()
        return self._change()

    def _feed(self, text: str) -> None:
        if text:
            self._characters += len(text)
            self._markup.feed(text)

    def _change(self) -> Told | None:
        change = self._markup.change()
        if change is None:
            return None
        self.number += 1
        blocks = [join_surrogates(each) for each in change.blocks]
        return [
            self.turn_id[:ID_LETTERS],
            self.number,
            change.keep,
            change.cut,
            join_surrogates(change.add),
            *([blocks] if blocks else []),
        ]


class Pages:
    """Who shows the panel, and how far each has come. Times are seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self.sent = 0  # the number of the last message with new text
        self._shown: dict[str, int] = {}  # by page: the last number it has shown
        self._away: set[str] = set()
        self._last = float("-inf")

    def __len__(self) -> int:
        return len(self._shown)

    def opened(self, page: str) -> None:
        """A page shows the panel now, as it is by now."""
        self.showed(page, self.sent)

    def showed(self, page: str, number: int) -> None:
        """A page has shown everything up to a message."""
        self._shown[page] = max(number, self._shown.get(page, 0))
        self._away.discard(page)

    def closed(self, page: str) -> None:
        """A page does not show the panel any more."""
        self._shown.pop(page, None)
        self._away.discard(page)

    def wait(self, now: float) -> float:
        """Seconds until the next message may go out; none, or less, if that is now."""
        frame = self._last + FRAME - now
        behind = [page for page, shown in self._shown.items() if shown + AHEAD <= self.sent and page not in self._away]
        if not behind:
            everybody_away = bool(self._shown) and len(self._away) == len(self._shown)
            return self._last + PAGE_TIMEOUT - now if everybody_away else frame
        if now >= self._last + PAGE_TIMEOUT:
            self._away.update(behind)
            return 0.0
        return self._last + PAGE_TIMEOUT - now

    def count(self, now: float) -> int:
        """The number of the message that goes out now."""
        self.sent += 1
        self._last = now
        return self.sent
