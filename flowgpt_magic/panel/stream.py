"""A reply on its way to the pages: only new text, and no faster than the pages show it.

All changes within one frame go out in one numbered message. A page acknowledges from time to time which messages it has
shown, and the pages get at most ``AHEAD`` messages more than the slowest of them has shown. After ``PAGE_TIMEOUT``
without an acknowledgement a page counts as hidden, closed, or cut off by a cell that keeps the kernel busy. It then
gets one message a second with all changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowgpt_magic.control_characters import join_surrogates

if TYPE_CHECKING:
    from flowgpt_magic.messages import Waiting
    from flowgpt_magic.replies.reply import Reply

Facts = dict[str, Any]
Update = list[Any]  # the first letters of a turn's id, the number of the change, keep, cut, added text, whole blocks
ID_LETTERS = 12  # letters of an id: enough to tell the arriving turns apart
FRAME = 0.12  # seconds between two messages; each costs the page two frames of layout and paint
LONGEST_THOUGHTS = 20_000  # characters of reasoning that a page gets; of more, the last ones
AHEAD = 12  # messages that are sent before a page has shown the first of them
PAGE_TIMEOUT = 1.0  # seconds


class Stream:
    """One growing reply as sanitized HTML. ``number`` counts the changes that were sent."""

    def __init__(self, turn_id: str, reply: Reply, *, images: bool) -> None:
        from flowgpt_magic.markdown.html.changes import GrowingMarkup

        self.turn_id = turn_id
        self.number = 0
        self._reply = reply
        self._chunks = 0
        self._characters = 0
        self._pause: Waiting | None = None
        self._progress = ""
        self._splits = 0
        self.thoughts = ""  # the reasoning that was sent
        self._thinks = False
        self._thought_chunks = 0
        self._thoughts_of = (0, 0)  # which attempt and split they are of
        self._images = images
        self._markup = GrowingMarkup(images=images)

    @property
    def blocks(self) -> list[str]:
        """The blocks of a page that has received every change."""
        return self._markup.blocks

    def step(self) -> Update | None:
        """The change since the last call; None without new text."""
        begins_anew = self._begin_anew()
        chunks = self._reply.chunks_from(self._chunks)
        self._chunks += len(chunks)
        self._feed("".join(chunks))
        change = self._change() if chunks else None
        return change or (self._emptied() if begins_anew else None)

    def new_pause(self) -> Waiting | None:
        """The wait before a retry, if it has begun since the last call; otherwise None."""
        pause = self._reply.waiting
        if pause is None or pause is self._pause:
            return None
        self._pause = pause
        return pause

    def new_progress(self) -> str | None:
        """The provider's progress before the first text, if it has changed since the last call; otherwise None."""
        progress = self._reply.progress
        if progress == self._progress:
            return None
        self._progress = progress
        return progress

    def new_thoughts(self) -> Facts | None:
        """The reasoning since the last call, and whether the model goes on reasoning; None without a change."""
        reply = self._reply
        thinks, of = reply.reasons, (len(reply.attempts), reply.splits)
        begins_anew = of != self._thoughts_of
        if begins_anew:
            self.thoughts, self._thought_chunks, self._thoughts_of = "", 0, of
        chunks = reply.reasoning_from(self._thought_chunks)
        if not (chunks or begins_anew or thinks != self._thinks):
            return None
        self._thinks = thinks
        self._thought_chunks += len(chunks)
        added = join_surrogates("".join(chunks))[-LONGEST_THOUGHTS:]
        self.thoughts = (self.thoughts + added)[-LONGEST_THOUGHTS:]
        return {"turn": self.turn_id, "add": added, "anew": begins_anew, **self.thinking}

    @property
    def thinking(self) -> Facts:
        """Whether the model reasoned at the last look, and for how many seconds by now."""
        return {"thinks": self._thinks, "thought_seconds": self._reply.usage.reasoning_seconds or 0}

    def finish(self, text: str) -> Update | None:
        """The last change of a reply that ended with ``text``."""
        begins_anew = self._begin_anew()
        self._feed(text[self._characters :])
        self._markup.finish()
        return self._change() or (self._emptied() if begins_anew else None)

    def _begin_anew(self) -> bool:
        """Forget the text so far if it has turned out to be reasoning; has it?"""
        if self._splits == self._reply.splits:
            return False
        from flowgpt_magic.markdown.html.changes import GrowingMarkup

        self._splits, self._chunks, self._characters = self._reply.splits, 0, 0
        self._markup = GrowingMarkup(images=self._images)
        return True

    def _emptied(self) -> Update:
        """The change that leaves no block."""
        self.number += 1
        return [self.turn_id[:ID_LETTERS], self.number, 0, 0, ""]

    def _feed(self, text: str) -> None:
        if text:
            self._characters += len(text)
            self._markup.feed(text)

    def _change(self) -> Update | None:
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
    """The pages that show the panel, and the last message each has shown. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.sent = 0  # the number of the last message with new text
        self._shown: dict[str, int] = {}  # by page: the number of the last message it has shown
        self._away: set[str] = set()
        self._last = float("-inf")

    def __len__(self) -> int:
        return len(self._shown)

    def opened(self, page: str) -> None:
        """A page shows the panel, with all changes so far."""
        self.showed(page, self.sent)

    def showed(self, page: str, number: int) -> None:
        """A page has shown all messages up to ``number``."""
        self._shown[page] = max(number, self._shown.get(page, 0))
        self._away.discard(page)

    def closed(self, page: str) -> None:
        """A page no longer shows the panel."""
        self._shown.pop(page, None)
        self._away.discard(page)

    def wait(self, now: float) -> float:
        """Seconds until the next message may go out; zero or less if it may go now."""
        frame = self._last + FRAME - now
        behind = [page for page, shown in self._shown.items() if shown + AHEAD <= self.sent and page not in self._away]
        if not behind:
            all_away = bool(self._shown) and len(self._away) == len(self._shown)
            return self._last + PAGE_TIMEOUT - now if all_away else frame
        if now >= self._last + PAGE_TIMEOUT:
            self._away.update(behind)
            return 0.0
        return self._last + PAGE_TIMEOUT - now

    def count(self, now: float) -> int:
        """The number of the message that goes out now. Counts it."""
        self.sent += 1
        self._last = now
        return self.sent
