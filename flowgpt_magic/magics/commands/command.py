"""The definition of a subcommand of ``%flowgpt``: its function and its help.

The help is data instead of a docstring, because ``python -OO`` removes docstrings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing import TypeAlias

    from flowgpt_magic.magics.state import ShellState
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.replies.comparison import Comparison
    from flowgpt_magic.replies.reply import Reply
    from flowgpt_magic.tables import Showable
    from flowgpt_magic.transcripts.bundles import TurnWithReasoning

    Shown: TypeAlias = str | Showable | Turn | TurnWithReasoning | Reply | Comparison | None
    Run: TypeAlias = Callable[[ShellState, str], Shown]


NONE = "none"  # the value that unsets a setting or removes an option


Group = Literal["ask", "conversation", "models", "files", "settings"]


@dataclass(frozen=True)
class Subcommand:
    """A subcommand.

    Attributes:
        run: takes the state and the rest of the line, and returns what is shown.
        about: one sentence, with the words to type in double backticks.
        group: where the help lists it.
        examples: two cells that run as they stand; the help's overview shows the first line of the first.
        more: text that ``%flowgpt help NAME`` adds.
    """

    run: Run
    about: str
    group: Group
    examples: tuple[str, str]
    more: str = ""

    def __call__(self, state: ShellState, rest: str = "") -> Shown:
        return self.run(state, rest)

    @property
    def short(self) -> str:
        """``about`` without the words to type, for a menu."""
        return self.about.partition(": ``")[0].replace("``", "").rstrip(".")


def subcommand(about: str, more: str = "", *, group: Group, examples: tuple[str, str]) -> Callable[[Run], Subcommand]:
    """Turn a function into a ``Subcommand``."""
    return lambda run: Subcommand(run, about, group, examples, more)
