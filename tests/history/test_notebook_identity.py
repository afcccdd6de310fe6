"""A notebook is recognized in the history by its path and its cells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from flowgpt_magic.history.database import History
from flowgpt_magic.history.notebook_identity import find_notebook, new_notebook, with_place
from flowgpt_magic.history.records import KeyChange, NotebookRecord
from flowgpt_magic.notebook.place import NO_CELL, Place, place_of
from tests.records import conversation_record, turn_record

CELLS = [str(uuid4()) for _ in range(6)]


@pytest.fixture
def history() -> Iterator[History]:
    history = History(":memory:")
    yield history
    history.close()


def save(path: Path, cells: list[str]) -> Place:
    content = [{"cell_type": "code", "id": cell, "metadata": {}, "source": ""} for cell in cells]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": content}))
    return place_of(str(path))


def asked_in(history: History, place: Place, cells: list[str]) -> NotebookRecord:
    """A notebook at ``place`` with a turn in each of these cells."""
    notebook = new_notebook(place)
    conversation = conversation_record(notebook)
    turns = [turn_record(conversation, place=n, cell_id=cell, status="complete") for n, cell in enumerate(cells)]
    history.save(notebook, conversation, *turns)
    return notebook


def test_a_notebook_that_has_nothing_in_common_with_the_history_is_new(history, tmp_path):
    asked_in(history, save(tmp_path / "a.ipynb", CELLS), CELLS)

    assert find_notebook(history, save(tmp_path / "b.ipynb", [str(uuid4())]), NO_CELL) is None


def test_a_few_cells_of_a_notebook_that_is_still_there_were_pasted(history, tmp_path):
    asked_in(history, save(tmp_path / "a.ipynb", CELLS), CELLS)
    others = [str(uuid4()) for _ in CELLS]
    place = save(tmp_path / "b.ipynb", [CELLS[0], *others])

    assert find_notebook(history, place, NO_CELL) is None
    (tmp_path / "a.ipynb").unlink()
    match = find_notebook(history, place, NO_CELL)

    assert match is not None
    assert match.records == ()
    assert match.text.startswith("this notebook has cells of a.ipynb, which no longer exists: %flowgpt adopt ")


def test_the_notebook_at_its_path_is_the_same(history, tmp_path):
    place = save(tmp_path / "a.ipynb", CELLS)
    notebook = asked_in(history, place, CELLS)

    match = find_notebook(history, place, NO_CELL)

    assert match is not None
    assert match.notebook.notebook_id == notebook.notebook_id
    assert match.notebook.seen >= notebook.seen
    assert (match.records, match.text) == ((), "")


def test_a_notebook_that_was_moved_keeps_its_id_and_gets_a_new_key(history, tmp_path):
    notebook = asked_in(history, save(tmp_path / "a.ipynb", CELLS), CELLS)
    (tmp_path / "a.ipynb").rename(tmp_path / "b.ipynb")
    place = place_of(str(tmp_path / "b.ipynb"))

    match = find_notebook(history, place, NO_CELL)

    assert match is not None
    assert (match.notebook.notebook_id, match.notebook.key) == (notebook.notebook_id, place.key)
    assert match.records == (KeyChange(notebook.key, place.key),)


def test_a_copy_is_a_new_notebook_with_copies_of_the_conversations(history, tmp_path):
    notebook = asked_in(history, save(tmp_path / "a.ipynb", CELLS), CELLS)
    place = save(tmp_path / "b.ipynb", CELLS)

    match = find_notebook(history, place, NO_CELL)

    assert match is not None
    assert match.notebook.notebook_id != notebook.notebook_id
    assert match.records[0] == match.notebook
    history.save(*match.records)
    assert history.names(match.notebook.notebook_id) == ("main",)
    assert len(history.cells_at(place.key)[0]) == len(CELLS)


def test_a_folder_has_the_history_of_its_path_whatever_its_files(history, tmp_path):
    place = Place("folder", str(tmp_path), "folder", f"folder:{tmp_path}")
    notebook = asked_in(history, place, CELLS)

    match = find_notebook(history, place, NO_CELL)

    assert match is not None
    assert match.notebook.notebook_id == notebook.notebook_id


def test_a_notebook_at_another_place_keeps_its_id_and_age(tmp_path):
    notebook = new_notebook(place_of(str(tmp_path / "a.ipynb")))
    place = place_of(str(tmp_path / "b.ipynb"))

    moved = with_place(notebook, place)

    assert (moved.key, moved.path, moved.label) == (place.key, place.path, place.label)
    assert (moved.notebook_id, moved.created) == (notebook.notebook_id, notebook.created)
