"""``%flowgpt panel``: the chat panel in a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.conversations import check_exists
from flowgpt_magic.prompt import magic_line

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.state import ShellState


@subcommand(
    "Open the chat panel, on this conversation or another one: ``panel [NAME]``.",
    "Enter sends, Shift+Enter begins a new line, / lists the commands, Escape leaves the field. In JupyterLab, Create "
    "New View for Cell Output in the menu of its output (a right click) opens it in a tab, which can be dragged beside "
    "the notebook.",
    group="ask",
    examples=("%flowgpt panel", "%flowgpt panel main"),
)
def open_panel(state: ShellState, rest: str) -> Shown:
    from flowgpt_magic.notebook.ipython import headless
    from flowgpt_magic.panel.output import can_open

    name = " ".join(magic_line.words(rest))
    if name:
        check_exists(state, name)
    if not (headless() or can_open(state.notebook_history.place.kind)):
        return "the panel needs a notebook; use %flowgpt WORDS to ask, and %flowgpt history to see the conversation"
    from flowgpt_magic.panel.panel import ChatPanel

    cell = state.notebook_history.running_cell()
    run, panels = state.panels.get(cell.cell_id, (cell.run, []))
    if run != cell.run:  # this run replaces the panels of the last one
        for panel in panels:
            panel.close(transcript=False)
        panels = []
    panel = ChatPanel(state.conversation(name) if name else None)
    if cell.cell_id:
        state.panels[cell.cell_id] = cell.run, [*panels, panel]
    panel.show()
    return None


SUBCOMMANDS: dict[str, Subcommand] = {"panel": open_panel}
