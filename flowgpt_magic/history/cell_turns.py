"""Which turns the last run of a cell asked, so that running the cell again takes their places.

Most front ends give a cell an id that it keeps. VS Code numbers the cells of an open document: a restart of the kernel
leaves the numbers as they are, but when the document is opened again they are given anew from the top, and a number may
mean another cell. So of the turns that another kernel asked, one is taken for a cell's only where the prompt is the
same, and where number and order do not contradict each other. A prompt in doubt is appended: that doubles a turn, while
the other mistake would take the place of a turn that somebody wants to keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from flowgpt_magic.messages import Turn

Asked = list[Turn]  # what one run of a cell asked, in order; never empty


def last_run(live: Iterable[Turn], cell_id: str) -> Asked:
    """The turns that the last run of a cell asked, for front ends whose cells keep their ids; ``live`` is in order."""
    found = [turn for turn in live if cell_id and turn.cell_id == cell_id]
    return [turn for turn in found if turn.run == found[-1].run]


def last_run_by_number(live: Sequence[Turn], cell_id: str, prompt: str, kernel: str) -> Asked:
    """The same for VS Code, where ``cell_id`` is a number in the open document.

    ``kernel`` is the name of this process. What it has asked itself is known by the number alone, so that an edited
    cell takes its own place; of what the kernel before it asked, ``prompt`` has to be the first of the run.
    """
    own = [turn for turn in live if turn.cell_id and turn.kernel == kernel]
    if found := last_run(own, cell_id):
        return found
    before = [turn for turn in live if turn.cell_id and turn.kernel != kernel]
    if not before:
        return []
    last = max(before, key=lambda turn: turn.started).kernel
    runs = _runs(turn for turn in before if turn.kernel == last)
    alike = [run for run in runs if run[0].prompt == prompt]
    numbered = next((run for run in alike if run[0].cell_id == cell_id), None)
    following = _following(runs, own)
    if numbered is not None:
        in_order = next((run for run in alike if following and run[0].place >= following[0].place), numbered)
        return numbered if in_order is numbered or len(alike) == 1 else []
    if len(alike) == 1:
        return alike[0]
    return following if following in alike else []


def _runs(turns: Iterable[Turn]) -> list[Asked]:
    """The turns by the run that asked them, in order."""
    ordered = sorted(turns, key=lambda turn: (turn.cell_id, turn.run, turn.place))
    runs = [list(run) for _key, run in groupby(ordered, key=lambda turn: (turn.cell_id, turn.run))]
    return sorted(runs, key=lambda run: run[0].place)


def _following(runs: Sequence[Asked], own: Sequence[Turn]) -> Asked:
    """The run that comes next where the cells are run from top to bottom; empty before the first cell has run."""
    if not own:
        return []
    place = max(own, key=lambda turn: turn.started).place
    return next((run for run in runs if run[0].place > place), [])
