"""Put the cells of a reply below the cell that runs, in their order.

A kernel can ask a front end for one new cell, when the running cell has ended; of several requests JupyterLab takes the
first, and others insert them in reverse. So the first cell is requested in this way. In JupyterLab and Notebook 7 a
widget without a view inserts the others at once. Elsewhere each of them follows when the cell before it has run.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from flowgpt_magic.notebook import ipython

if TYPE_CHECKING:
    from flowgpt_magic.notebook.place import Kind
    from flowgpt_magic.panel.cell_inserter import CellInserter

AFTER_CELL = "post_run_cell"  # an event of IPython
COMPARED = 2_000  # characters of a cell that are compared
SAME = 0.6  # from 0 to 1; a cell that is at least so similar is the one put below, perhaps edited


class NextCells:
    """The cells that are still to follow in one shell."""

    def __init__(self) -> None:
        self._expected = ""  # the code that was put below last
        self._others: list[str] = []  # what follows it
        self._run = ""  # the run of the cell that put it there
        self._inserter: CellInserter | None = None

    def put(self, sources: Sequence[str], kind: Kind) -> str | None:
        """Put cells with these sources below; ``kind`` is the place of the notebook.

        Returns a line about what happens next, empty if there is nothing to say, or None if no cell can be put below.
        """
        self.forget()
        if not ipython.put_below(sources[0]):
            return None
        self._expected, *self._others = sources
        if not self._others:
            return ""
        self._run = ipython.execution()
        ipython.shell().events.register(AFTER_CELL, self._cell_has_run)
        cell = ipython.running_cell().cell_id
        if ipython.in_kernel() and cell and kind == "jupyter":
            from flowgpt_magic.panel.cell_inserter import CellInserter

            self._inserter = CellInserter(cell, self._expected, self._others, self.forget)
            return ""
        return f"{len(sources)} cells: each of the others appears when the one before it has run"

    def forget(self) -> None:
        """No cell follows any more: they were inserted, or others take their place."""
        if self._others:
            ipython.shell().events.unregister(AFTER_CELL, self._cell_has_run)
        self._expected, self._others = "", []
        if self._inserter is not None:
            self._inserter.close()
            self._inserter = None

    def _cell_has_run(self, result: Any) -> None:
        code = str(getattr(result.info, "raw_cell", ""))
        if ipython.execution() == self._run or not result.success or not _similar(code, self._expected):
            return
        expected, *others = self._others
        if not others:
            self.forget()
        self._expected, self._others = expected, others
        ipython.put_below(expected)


def _similar(code: str, expected: str) -> bool:
    code, expected = code.strip(), expected.strip()
    matcher = SequenceMatcher(None, code[:COMPARED], expected[:COMPARED], autojunk=False)
    return code == expected or (matcher.quick_ratio() >= SAME and matcher.ratio() >= SAME)
