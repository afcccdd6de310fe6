"""Where the magics work: the conversation in use, the replies in flight, what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flowgpt_magic import display, journal, settings
from flowgpt_magic.conversation import Conversation

if TYPE_CHECKING:
    from flowgpt_magic.nested import Nesting
    from flowgpt_magic.reply import Reply


class Desk:
    """The state of the magics in one shell.

    ``configured`` gives what ``%config`` has set, ``names`` are the user's own.
    """

    def __init__(self, configured: Callable[[], Mapping[str, Any]], names: dict[str, Any]) -> None:
        self.configured = configured
        self.names = names
        self._replies: list[Reply] = []
        self._nesting: Nesting | None = None

    @property
    def current(self) -> str:
        """The conversation that cells ask in; it stays where the extension is loaded again."""
        return self.journal.current

    @current.setter
    def current(self, name: str) -> None:
        self.journal.current = name

    @property
    def journal(self) -> journal.Journal:
        """Where this notebook's conversations are kept."""
        return journal.here(journal.where(settings.load(configured=self.configured()).history))

    def conversation(self, name: str = "") -> Conversation:
        """The conversation of this name, or the one in use."""
        return Conversation(name or self.current, configured=self.configured, journal=self.journal)

    def show(self, reply: Reply, conversation: Conversation, *, own_cell: bool = False, **options: Any) -> Reply:
        """Show a reply as it arrives; fails the cell if the reply failed or was stopped."""
        chosen = conversation.settings(**options)
        self._replies = [*(each for each in self._replies if not each.ended), reply]
        display.show(reply, form=chosen.format, images=chosen.images, own_cell=own_cell)
        display.raise_ending(reply)
        return reply

    def stop(self) -> int:
        """Cancel the replies in flight; returns how many there were."""
        running = [reply for reply in self._replies if not reply.ended]
        for reply in running:
            reply.cancel()
        return len(running)

    def nest(self, *, on: bool) -> None:
        """Let ``asyncio.run`` work inside a cell, or take that back."""
        if self._nesting is None:
            from flowgpt_magic.nested import Nesting

            self._nesting = Nesting()
        self._nesting.switch(on=on)

    def close(self) -> None:
        """Stop what runs, take back what was patched, write what is not written yet.

        The history stays open: a conversation in a variable goes on.
        """
        self.stop()
        if self._nesting is not None:
            self._nesting.switch(on=False)
        journal.flush()
