"""The definition of a subcommand of ``%flowgpt``: its function and its help.

The help is data instead of a docstring, because ``python -OO`` removes docstrings.
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


NONE = "none"  # the value that unsets a setting or removes an option


@dataclass(frozen=True)
class Subcommand:
    """A subcommand.

    ``run`` takes the state and the rest of the line, and returns what is shown. ``about`` is one sentence, with the
    words to type in double backticks. ``more`` is added by ``%flowgpt help NAME``.
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
        """``about`` and ``more``."""
        return "\n\n".join(filter(None, [self.about, self.more]))


def subcommand(about: str, more: str = "") -> Callable[[Run], Subcommand]:
    """Turn a function into a ``Subcommand``."""
    return lambda run: Subcommand(run, about, more)
