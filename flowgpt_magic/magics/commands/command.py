"""What ``%flowgpt`` knows of one of its subcommands: what does it, and what the help says.

The help is data and no docstring, because ``python -OO`` has no docstrings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    from flowgpt_magic.magics.state import ShellState
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.replies.reply import Reply
    from flowgpt_magic.tables import Showable

    Shown: TypeAlias = str | Showable | Turn | Reply | None
    Run: TypeAlias = Callable[[ShellState, str], Shown]


NONE = "none"  # what takes a value back


@dataclass(frozen=True)
class Subcommand:
    """``run`` takes the state and the rest of the line, and returns what is shown.

    ``about`` is one sentence, with the words to type between double backticks; ``more`` is shown behind it by
    ``%flowgpt help NAME`` alone.
    """

    run: Run
    about: str
    more: str = ""

    def __call__(self, state: ShellState, rest: str = "") -> Shown:
        return self.run(state, rest)

    @property
    def short(self) -> str:
        """``about`` without the words to type, for a menu."""
        return self.about.partition(": ``")[0].replace("``", "").rstrip(".")

    @property
    def help(self) -> str:
        """All that is known of it."""
        return "\n\n".join(filter(None, [self.about, self.more]))


def subcommand(about: str, more: str = "") -> Callable[[Run], Subcommand]:
    """Make a function a ``Subcommand``."""
    return lambda run: Subcommand(run, about, more)
