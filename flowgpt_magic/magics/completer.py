"""What IPython's completer is answered: where the cursor is, and what can be named there just now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from flowgpt_magic.completion.complete import complete
from flowgpt_magic.completion.names import Item
from flowgpt_magic.completion.shell import PATIENCE, in_time, known
from flowgpt_magic.completion.values import Known
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.history.records import MAIN
from flowgpt_magic.text import cut

if TYPE_CHECKING:
    from flowgpt_magic.magics.state import ShellState


class CompletionContext(Protocol):
    """What IPython tells a matcher: the cell, and where the cursor is in it."""

    full_text: str
    cursor_line: int
    cursor_position: int


class NoCompletions:
    """No items. IPython lets all its own matchers answer where ours has none, unless it seems to have some."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Item]:
        return iter(())


def matcher(
    context: CompletionContext, shell: Any, state: ShellState | None, magics: tuple[str, ...] = ("flowgpt",)
) -> dict[str, Any]:
    """For IPython's completer; ``state`` is None where the magics were not used yet, ``magics`` are their names."""
    text = context.full_text
    cursor = sum(len(line) + 1 for line in text.split("\n")[: context.cursor_line]) + context.cursor_position
    found = complete(text, cursor, _known(shell, state, magics))
    if found is None:
        return {"completions": [], "suppress": False}
    # JupyterLab breaks what an item is at a space, and shows the first word only.
    items = [Item(each.text, each.type.replace(" ", "\N{NO-BREAK SPACE}")) for each in found.items]
    return {
        "completions": items or NoCompletions(),
        "matched_fragment": text[found.start : cursor],
        "suppress": True,
        "ordered": True,
    }


def _known(shell: Any, state: ShellState | None, magics: tuple[str, ...]) -> Known:
    return known(shell, commands=_all_commands, conversations=lambda: _all_conversations(state), magics=magics)


def _all_commands() -> dict[str, str]:
    from flowgpt_magic.magics.commands.table import SUBCOMMANDS

    return {name: cut(each.short, 60) for name, each in SUBCOMMANDS.items()}


def _all_conversations(state: ShellState | None) -> Sequence[str]:
    """The newest first. Without a notebook that was found for a cell there are none: a completion is no cell."""
    try:
        notebook_history = state.notebook_history if state else None
    except FlowGptError:  # of a setting: the next cell says so
        notebook_history = None
    if state is None or notebook_history is None:
        return [MAIN]
    key = f"conversations in {notebook_history.location} of {notebook_history.place.key}"
    names = in_time(key, notebook_history.known_names, PATIENCE)
    return list(dict.fromkeys([state.current, *reversed(names), MAIN]))
