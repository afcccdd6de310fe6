"""Find the turns of a cell's last run, so that running the cell again replaces them.

Most front ends give a cell a permanent id. VS Code numbers the cells of an open document. The numbers survive a restart
of the kernel, but not reopening the document: then a number may belong to another cell. A turn of an earlier kernel is
therefore matched only if its prompt is the same and number and order agree. In doubt, the prompt is appended: that
duplicates a turn, while a wrong match would replace a turn that someone wants to keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from flowgpt_magic.messages import Turn

CellTurns = list[Turn]  # the turns of one run of a cell, in order


def last_run(live: Iterable[Turn], cell_id: str) -> CellTurns:
    """The turns of a cell's last run, for front ends with permanent cell ids. ``live`` is in order."""
    turns = [turn for turn in live if cell_id and turn.cell_id == cell_id]
    return [turn for turn in turns if turn.run == turns[-1].run]


def last_run_by_number(live: Sequence[Turn], cell_id: str, prompt: str, kernel: str) -> CellTurns:
    """The same for VS Code, where ``cell_id`` is a number in the open document.

    ``kernel`` is the name of this process. Its own turns match by number alone, so that an edited cell keeps its place.
    A run of the previous kernel matches only if ``prompt`` is its first prompt.
    """
    own = [turn for turn in live if turn.cell_id and turn.kernel == kernel]
    if turns := last_run(own, cell_id):
        return turns
    earlier = [turn for turn in live if turn.cell_id and turn.kernel != kernel]
    if not earlier:
        return []
    previous_kernel = max(earlier, key=lambda turn: turn.started).kernel
    runs = _runs(turn for turn in earlier if turn.kernel == previous_kernel)
    alike = [run for run in runs if run[0].prompt == prompt]
    numbered = next((run for run in alike if run[0].cell_id == cell_id), None)
    following = _following(runs, own)
    if numbered is not None:
        in_order = next((run for run in alike if following and run[0].place >= following[0].place), numbered)
        return numbered if in_order is numbered or len(alike) == 1 else []
    if len(alike) == 1:
        return alike[0]
    return following if following in alike else []


def _runs(turns: Iterable[Turn]) -> list[CellTurns]:
    """The turns grouped by run, in order."""
    ordered = sorted(turns, key=lambda turn: (turn.cell_id, turn.run, turn.place))
    runs = [list(run) for _key, run in groupby(ordered, key=lambda turn: (turn.cell_id, turn.run))]
    return sorted(runs, key=lambda run: run[0].place)


def _following(runs: Sequence[CellTurns], own: Sequence[Turn]) -> CellTurns:
    """The run that comes next if cells run from top to bottom; empty before the first cell has run."""
    if not own:
        return []
    place = max(own, key=lambda turn: turn.started).place
    return next((run for run in runs if run[0].place > place), [])
