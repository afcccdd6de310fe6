"""Which notebook of the history is the one at a place: the same as before, moved there, a copy, or a new one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from flowgpt_magic.history.records import NotebookRecord, Record, Rekey
from flowgpt_magic.notebook.place import Cell, Place, cell_ids, elsewhere, is_stranger, likely_origin

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

FILE_KINDS = ("jupyter", "vscode")  # their places are files, which are renamed and copied


@dataclass(frozen=True)
class Found:
    """A notebook, what is to be saved of finding it, and what the person is told of that."""

    notebook: NotebookRecord
    records: tuple[Record, ...] = ()
    text: str = ""


def new_notebook(place: Place) -> NotebookRecord:
    """A notebook that the history does not know."""
    now = time.time()
    return NotebookRecord(uuid4().hex, place.key, place.label, place.kind, place.path, now, now)


def moved(known: NotebookRecord, place: Place) -> NotebookRecord:
    """``known`` at another place."""
    return replace(known, key=place.key, label=place.label, path=place.path, kind=place.kind, seen=time.time())


def find_notebook(history: History, place: Place, cell: Cell) -> Found | None:
    """The notebook at ``place``, in which ``cell`` runs; None for a new one. Writes nothing."""
    found = history.notebook(place.key)
    if found is not None:
        if not _is_another(history, found, place, cell):
            return Found(replace(found, label=place.label, path=place.path, seen=time.time()))
        text = f"this one begins anew (%flowgpt adopt {found.path} takes over what was said there)"
        away = Rekey(found.key, elsewhere(found.key, found.notebook_id))
        return Found(new_notebook(place), (away,), f"another notebook was {found.label} before: {text}")
    cells = cell_ids(place.path) if place.kind in FILE_KINDS else frozenset()
    candidates = history.cells(cells) if cells else {}
    origin = likely_origin(place.path, candidates) if candidates else None
    known = history.notebook(origin.key) if origin else None
    if origin is None or known is None:
        return _hint(filter(None, map(history.notebook, candidates)), place)
    if origin.kind == "moved":
        text = f"this notebook was {known.label} before: its history is taken over"
        return Found(moved(known, place), (Rekey(known.key, place.key),), text)
    fresh = new_notebook(place)
    copies = history.copies(known.notebook_id, fresh.notebook_id)
    text = f"this notebook is a copy of {known.label}: it starts from a copy of its history" if copies else ""
    return Found(fresh, (fresh, *copies), text)


def _hint(notebooks: Iterable[NotebookRecord], place: Place) -> Found | None:
    """Too few cells for a copy: they may be pasted, or those of a notebook that was renamed before it was saved."""
    for each in notebooks:
        if each.path and not os.path.exists(each.path):
            told = f"this notebook has cells of {each.label}, which is gone"
            return Found(new_notebook(place), text=f"{told}: %flowgpt adopt {each.path} takes over its history")
    return None


def _is_another(history: History, found: NotebookRecord, place: Place, cell: Cell) -> bool:
    """Does a new notebook stand where the one was whose history is kept for this path? That one lives elsewhere."""
    if place.kind not in FILE_KINDS:
        return False
    cells, last_asked = history.cells_at(found.key)
    return is_stranger(place.path, cell, cells, last_asked)
