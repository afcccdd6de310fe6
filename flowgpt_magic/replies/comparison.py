"""One prompt, several models: their replies, which arrive at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload
from uuid import uuid4

from flowgpt_magic.errors import ComparisonError, FlowGptError, OptionError, ReplyInterrupted, closest
from flowgpt_magic.replies.reply import MarkdownText, Reply
from flowgpt_magic.replies.task import ReusableCoroutine

if TYPE_CHECKING:
    from flowgpt_magic.messages import Turn


@dataclass(frozen=True)
class Column:
    """One model of a comparison: its name as it was given, and its reply."""

    name: str
    reply: Reply[Any]


class Comparison(ReusableCoroutine[list[Reply[Any]]], Sequence[Reply[Any]]):
    """The replies of several models to one prompt, in the order in which the models were named.

    Nothing is sent before one of the replies is read; then all are sent, and arrive at the same time. Read them with
    ``for reply in comparison``, ``comparison[0]``, ``comparison.by_model["echo"]`` or ``await comparison`` (a list of
    replies, all of which have ended), or make the comparison the last line of a cell, which shows columns.

    A model that fails does not affect the others: its reply has an ``error``. Awaiting and showing the comparison raise
    an error only if all models have failed.

    Attributes:
        shown_in: the run of the cell that has displayed it.
    """

    def __init__(
        self, keep: Callable[[str], Turn] | None = None, find_live: Callable[[Sequence[str]], str] = lambda _ids: ""
    ) -> None:
        """Create a comparison without columns.

        ``keep`` makes the reply with a turn's id the live version, and returns the turn; None if the comparison is not
        part of a conversation. ``find_live`` returns which of some turns' ids is the live one, or an empty string.
        """
        self.shown_in = ""
        self.display_id = f"flowgpt-{uuid4().hex[:12]}"
        self.columns: tuple[Column, ...] = ()
        self._keep = keep
        self._find_live = find_live

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Set the columns, once."""
        self.columns = tuple(columns)
        for reply in self.replies:
            reply.cancel_all_with(self.cancel)

    def __repr__(self) -> str:
        states = (f"{column.name}: {column.reply.status or 'not sent yet'}" for column in self.columns)
        return f"<Comparison of {', '.join(states)}>"

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, which: int) -> Reply[Any]: ...

    @overload
    def __getitem__(self, which: str) -> Reply[Any]: ...

    @overload
    def __getitem__(self, which: slice) -> list[Reply[Any]]: ...

    def __getitem__(self, which: int | str | slice) -> Reply[Any] | list[Reply[Any]]:
        """The reply with this index (from 0) or of the model with this name. Sends nothing."""
        if isinstance(which, str):
            return self.by_model[which]
        return self.replies[which]

    def __iter__(self) -> Iterator[Reply[Any]]:
        return iter(self.replies)

    @property
    def replies(self) -> list[Reply[Any]]:
        """The replies, in the order of the models. Sends nothing."""
        return [column.reply for column in self.columns]

    @property
    def by_model(self) -> Mapping[str, Reply[Any]]:
        """The replies by the names of the models as they were given. Sends nothing."""
        return {column.name: column.reply for column in self.columns}

    @property
    def texts(self) -> dict[str, str | None]:
        """The whole texts by model; None for a model that has failed. Reads all replies to the end.

        Raises what awaiting the comparison raises.
        """
        self.read()
        return {column.name: _text(column.reply) for column in self.columns}

    @property
    def live(self) -> int:
        """The number of the reply that is part of the conversation, from 1; 0 if none is."""
        turn_ids = [reply.turn_id for reply in self.replies]
        live = self._find_live(turn_ids)
        return 1 + turn_ids.index(live) if live else 0

    @property
    def ended(self) -> bool:
        """Have all replies ended?"""
        return all(reply.ended for reply in self.replies)

    def start(self) -> None:
        """Send the prompt to all models that it was not sent to before."""
        for reply in self.replies:
            reply.start()

    def cancel(self) -> None:
        """Stop all replies, from any thread. They keep the text received so far."""
        for reply in self.replies:
            reply.cancel()

    def read(self) -> None:
        """Read all replies to their ends. An interrupt stops all of them and raises ``ReplyInterrupted``.

        Raises ``ComparisonError`` if all models have failed.
        """
        try:
            self.start()
            for reply in self.replies:
                reader = reply.open()
                try:
                    while reader.take():
                        pass
                finally:
                    reply.detach(reader)
        except KeyboardInterrupt:
            self.cancel()
            raise ReplyInterrupted(f"Interrupted: {self.interrupt_summary}") from None
        self.raise_error()

    async def _steps(self) -> list[Reply[Any]]:
        try:
            self.start()
            for reply in self.replies:
                reader = reply.open()
                try:
                    while await reader.take_async():
                        pass
                finally:
                    reply.detach(reader)
        finally:
            self.cancel()  # no effect at the end
        self.raise_error()
        return self.replies

    def __await__(self) -> Any:
        return self._steps().__await__()

    def raise_error(self) -> None:
        """Raise ``ComparisonError`` if all models have failed."""
        errors = {column.name: column.reply.error for column in self.columns if column.reply.error is not None}
        if len(errors) == len(self.columns):
            raise ComparisonError.of(errors)

    @property
    def interrupt_summary(self) -> str:
        """How much text remains after an interrupt, in words."""
        count = sum(len(reply.text_so_far) for reply in self.replies)
        return f"the {count:,} characters received so far are kept" if count else "nothing had arrived yet"

    def keep(self, which: int | str) -> Turn:
        """Make a reply the live version of the turn, by its number from 1 or by its model; returns the turn.

        The others stay as its other versions. Raises ``OptionError`` if there is no such reply, if it has not ended or
        has no text, and if the comparison is not part of a conversation.
        """
        number = which if isinstance(which, int) else 1 + [*self.by_model].index(self._known(which))
        if not 1 <= number <= len(self.columns):
            raise OptionError(f"there is no reply {number}: there are {len(self.columns)}, counted from 1")
        column = self.columns[number - 1]
        if self._keep is None or (column.reply.ended and column.reply.turn is None and column.reply.text_so_far):
            raise OptionError("this comparison is not part of a conversation: there is nothing to keep")
        if not column.reply.ended or not column.reply.text_so_far.strip():
            state = "has not ended yet" if not column.reply.ended else "has no text"
            raise OptionError(f"the reply of {column.name} {state}: it cannot be kept")
        return self._keep(column.reply.turn_id)

    def _known(self, name: str) -> str:
        if name not in self.by_model:
            raise OptionError(f"{name} was not asked{closest(name, self.by_model)}")
        return name

    def _ipython_display_(self) -> None:
        from flowgpt_magic.display.columns import show_result

        show_result(self)

    def _repr_llm_(self) -> str:
        """The text for a reference in a prompt: the answers so far, each below the name of its model."""
        return "\n\n".join(f"{column.name}:\n{column.reply._repr_llm_()}" for column in self.columns)

    def _display_(self) -> MarkdownText:
        """The whole replies, for marimo, which calls this only to display a value. Sends the requests and waits."""
        with suppress(FlowGptError):  # the errors are shown below the texts
            self.read()
        return MarkdownText(self._repr_markdown_())

    def _repr_markdown_(self) -> str:
        """The texts received so far, one below the other, for hosts other than IPython. Sends nothing."""
        from flowgpt_magic.text import escaped

        parts = (f"**{n}. {escaped(c.name)}**\n\n{c.reply._repr_markdown_()}" for n, c in enumerate(self.columns, 1))
        return "\n\n".join(parts)


def _text(reply: Reply[Any]) -> str | None:
    return None if reply.error is not None else reply.text_so_far
