"""A widget without a view that inserts several cells into the notebook of the front end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

STATIC = Path(__file__).parent / "static"


class CellInserter(anywidget.AnyWidget):
    """Inserts ``others`` below the cell ``cell``, and below the cell with the code ``first`` if that is there already.

    A kernel can ask a front end for one new cell only. This widget asks for the rest, and shows nothing. JupyterLab and
    Notebook 7 insert the cells and ``inserted`` is called; other front ends do nothing.
    """

    _esm = (STATIC / "insert_cells.js").read_text("utf-8")
    cell = traitlets.Unicode(help="the id of the cell").tag(sync=True)
    first = traitlets.Unicode(help="the code of the cell that the kernel puts below").tag(sync=True)
    others = traitlets.List(traitlets.Unicode(), help="the code of the cells below that").tag(sync=True)

    def __init__(self, cell: str, first: str, others: Sequence[str], inserted: Callable[[], None]) -> None:
        self._inserted = inserted
        super().__init__(cell=cell, first=first, others=list(others))
        self.on_msg(self._hear)

    def _hear(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if isinstance(message, dict) and message.get("inserted"):
            self._inserted()
