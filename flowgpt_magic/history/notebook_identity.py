"""Identify a notebook in the history: the same as before, moved, a copy, or a new one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from flowgpt_magic.history.records import KeyChange, NotebookRecord, Record
from flowgpt_magic.notebook.place import Cell, Place, cell_ids, elsewhere, is_stranger, likely_origin

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

FILE_KINDS = ("jupyter", "vscode")  # kinds of places that are files, which can be renamed and copied


@dataclass(frozen=True)
class NotebookMatch:
    """The notebook, the records to save because of the match, and a notice for the person."""

    notebook: NotebookRecord
    records: tuple[Record, ...] = ()
    text: str = ""


def new_notebook(place: Place) -> NotebookRecord:
    """A record for a notebook without history."""
    now = time.time()
    return NotebookRecord(uuid4().hex, place.key, place.label, place.kind, place.path, now, now)


def with_place(notebook: NotebookRecord, place: Place) -> NotebookRecord:
    """``notebook`` as seen now at another place."""
    return replace(notebook, key=place.key, label=place.label, path=place.path, kind=place.kind, seen=time.time())


def find_notebook(history: History, place: Place, cell: Cell) -> NotebookMatch | None:
    """The notebook at ``place``, in which ``cell`` runs; None if the history has nothing related. Writes nothing."""
    stored = history.notebook(place.key)
    if stored is not None:
        if not _is_another(history, stored, place, cell):
            return NotebookMatch(replace(stored, label=place.label, path=place.path, seen=time.time()))
        text = f"this one starts with an empty history (%flowgpt adopt {stored.path} takes over the earlier one)"
        key_change = KeyChange(stored.key, elsewhere(stored.key, stored.notebook_id))
        return NotebookMatch(new_notebook(place), (key_change,), f"{stored.label} was another notebook before: {text}")
    cells = cell_ids(place.path) if place.kind in FILE_KINDS else frozenset()
    candidates = history.cells(cells) if cells else {}
    origin = likely_origin(place.path, candidates) if candidates else None
    original = history.notebook(origin.key) if origin else None
    if origin is None or original is None:
        return _suggest_adopting(filter(None, map(history.notebook, candidates)), place)
    if origin.kind == "moved":
        text = f"this notebook was {original.label} before: its history is taken over"
        return NotebookMatch(with_place(original, place), (KeyChange(original.key, place.key),), text)
    notebook = new_notebook(place)
    copies = history.copies(original.notebook_id, notebook.notebook_id)
    text = f"this notebook is a copy of {original.label}: it starts with a copy of its history" if copies else ""
    return NotebookMatch(notebook, (notebook, *copies), text)


def _suggest_adopting(notebooks: Iterable[NotebookRecord], place: Place) -> NotebookMatch | None:
    """For too few cells in common to be sure: pasted cells, or a notebook that was renamed before it was saved."""
    for notebook in notebooks:
        if notebook.path and not os.path.exists(notebook.path):
            text = f"this notebook has cells of {notebook.label}, which no longer exists"
            command = f"%flowgpt adopt {notebook.path} takes over its history"
            return NotebookMatch(new_notebook(place), text=f"{text}: {command}")
    return None


def _is_another(history: History, stored: NotebookRecord, place: Place, cell: Cell) -> bool:
    """Is the notebook at this path a different one from the one whose history is stored for the path?"""
    if place.kind not in FILE_KINDS:
        return False
    cells, last_asked = history.cells_at(stored.key)
    return is_stranger(place.path, cell, cells, last_asked)
