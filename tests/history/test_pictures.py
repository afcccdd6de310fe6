"""Pictures are kept once, by their content, and are there again for every turn that was sent with them."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flowgpt_magic.errors import HistoryNewerError, PromptError
from flowgpt_magic.history import migrations
from flowgpt_magic.history.database import UNASKED_FOR, History
from flowgpt_magic.history.file import register
from flowgpt_magic.history.merge import merge
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import PictureRecord
from flowgpt_magic.history.rescue import rescue, take_rescued
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.place import Cell, Place, place_of
from flowgpt_magic.prompt.pictures import Picture, PictureReference, attachment_name, read_picture
from tests.image_files import noise, picture
from tests.records import conversation_record, notebook_record, turn_record

BEFORE = migrations.MIGRATIONS.index(migrations.pictures_kept_once)  # of a file with a copy in each turn
ODD = (
    "https://example.com/a.png",
    "data:image/svg+xml,<svg/>",
    "data:image/png;base64,not base64",
    "data:image/x;base64,",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def notebook_history(path: Path, tmp_path: Path) -> Iterator[NotebookHistory]:
    history = NotebookHistory(place_of(str(tmp_path / "a.ipynb")), str(path), running_cell=lambda: Cell("own", "1"))
    yield history
    history.close()


def shown(content: bytes, thumbnail: bytes = b"") -> Picture:
    return read_picture(content, "a picture", thumbnail)


def turns_with(*images: tuple[str, ...], **values: Any) -> tuple[list[Any], list[Turn]]:
    """A notebook, its conversation, and a turn for each of these lists of images."""
    notebook = notebook_record()
    conversation = conversation_record(notebook)
    turns = [
        turn_record(conversation, place=place, images=urls, status="complete", ended=2.0, **values)
        for place, urls in enumerate(images, 1)
    ]
    return [notebook, conversation], turns


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


def test_a_picture_of_many_turns_is_stored_once(path):
    url = shown(noise(200_000)).url
    parents, turns = turns_with(*[(url,)] * 20)
    with closing(History(path)) as history:
        history.save(*parents, *turns)

    assert rows(path, "SELECT count(*), sum(asked) FROM pictures") == [(1, 1)]
    with closing(History(path)) as history:
        read = history.turns(turns[0].conversation_id)
    assert list(read) == turns
    assert read[0].images[0] is read[19].images[0]  # not a copy for each


def test_images_of_every_other_kind_stay_as_they_are(path):
    parents, turns = turns_with(ODD, (shown(picture()).url, ODD[0], shown(picture(colour=9)).url))
    with closing(History(path)) as history:
        history.save(*parents, *turns)

        assert list(history.turns(turns[0].conversation_id)) == turns


def test_the_type_in_the_url_is_not_changed(path):
    url = "data:image/jpg;base64," + base64.b64encode(picture("JPEG")).decode()
    parents, turns = turns_with((url, shown(picture("JPEG")).url))
    with closing(History(path)) as history:
        history.save(*parents, *turns)

        assert list(history.turns(turns[0].conversation_id)) == turns


def test_the_pictures_of_an_older_file_move(path):
    urls = (shown(noise(100_000)).url, *ODD, shown(picture()).url)
    parents, turns = turns_with(urls, urls[:1], (), urls[-1:])
    with closing(History(path)) as history:
        history.save(*parents, *turns)
    make_older(path, turns)

    with closing(History.read_only(path)) as history:
        assert list(history.turns(turns[0].conversation_id)) == turns
    with closing(History(path)) as history:
        assert list(history.turns(turns[0].conversation_id)) == turns
    assert rows(path, "SELECT count(*) FROM pictures WHERE asked") == [(2,)]
    assert rows(path, "SELECT count(*) FROM turns WHERE images LIKE '%base64,iVBOR%'") == [(0,)]


def make_older(path: Path, turns: list[Turn]) -> None:
    """Undo this migration and those after it: each turn has its images itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        register(database)
        for turn in turns:
            database.execute("UPDATE turns SET images = ? WHERE turn_id = ?", (json.dumps(turn.images), turn.turn_id))
        database.execute("DROP TABLE pictures")
        for table in ("turns", "requests"):
            for column in (*migrations.COUNTS, "cost_source"):
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for column in migrations.COST_SUMS:
            database.execute(f"ALTER TABLE usage DROP COLUMN {column}")
        database.execute(f"PRAGMA user_version = {BEFORE}")


def test_an_older_version_says_that_the_file_is_newer(path, monkeypatch):
    History(path).close()
    monkeypatch.setattr(migrations, "NEWEST", BEFORE)

    with pytest.raises(HistoryNewerError, match="newer version"):
        History(path)


def test_a_picture_that_was_never_sent_is_removed_after_a_while(path):
    old, fresh, asked = (shown(picture(colour=colour)) for colour in (1, 2, 3))
    long_ago = time.time() - UNASKED_FOR - 60
    parents, turns = turns_with((asked.url,), started=long_ago)
    with closing(History(path)) as history:
        history.save(*parents, *turns, PictureRecord(old, asked=False, added=long_ago))
        history.save(PictureRecord(fresh, asked=False, added=time.time()))

    with closing(History(path)) as history:
        here = history.pictures_among([old.digest, fresh.digest, asked.digest])

    assert here == {fresh.digest, asked.digest}


def test_a_thumbnail_stays_with_a_picture_that_comes_again_without_one(path):
    large, small = noise(100_000), picture("JPEG", (16, 12))
    with closing(History(path)) as history:
        for thumbnail in (b"", small, b""):
            history.save(PictureRecord(shown(large, thumbnail), asked=False, added=time.time()))
        parents, turns = turns_with((shown(large).url,))
        history.save(*parents, *turns)

        kept = history.picture(shown(large).digest[:12])

    assert kept is not None
    assert kept.thumbnail == small


def test_merging_brings_the_pictures(notebook_history, tmp_path):
    url = shown(noise(100_000)).url
    parents, turns = turns_with((url,), (url,))
    other = tmp_path / "other.sqlite3"
    with closing(History(other)) as history:
        history.save(*parents, PictureRecord(shown(noise(100_000), picture()), asked=False, added=1.0), *turns)

    merge(notebook_history, other)
    merge(notebook_history, other)

    read = notebook_history.read(lambda history: history.turns(turns[0].conversation_id), ())
    assert list(read) == turns
    kept = notebook_history.pictures.find(shown(noise(100_000)).digest)
    assert kept is not None
    assert kept.thumbnail == picture()


def test_rescued_turns_and_pictures_come_back(path):
    unasked = shown(picture(colour=7), picture(colour=8))
    parents, turns = turns_with((shown(noise(50_000)).url,))
    rescue(str(path), [*parents, *turns, PictureRecord(unasked, asked=False, added=time.time())])

    with closing(History(path)) as history:
        assert take_rescued(history) == 1
        assert list(history.turns(turns[0].conversation_id)) == turns
        assert history.picture(unasked.digest) == unasked


def test_copies_of_a_notebook_share_their_pictures(path):
    parents, turns = turns_with((shown(noise(50_000)).url,))
    with closing(History(path)) as history:
        other = notebook_record()
        history.save(*parents, *turns, other)
        history.save(*history.copies(parents[0].notebook_id, other.notebook_id))

    assert rows(path, "SELECT (SELECT count(*) FROM turns), (SELECT count(*) FROM pictures)") == [(2, 1)]


def test_a_received_picture_is_found_although_the_history_is_off(tmp_path):
    history = NotebookHistory(Place("jupyter", "", "a", "a"), "off")
    history.pictures.keep(shown(picture()))

    assert history.pictures.find(shown(picture()).digest[:12]) == shown(picture())
    assert history.pictures.missing([shown(picture()).digest, "f" * 64]) == ["f" * 64]


def test_a_prompt_waits_for_a_picture_that_is_on_its_way(tmp_path):
    history = NotebookHistory(Place("jupyter", "", "a", "a"), "off", page_is_connected=lambda: True)
    sent = shown(picture())
    page = threading.Timer(0.05, lambda: history.pictures.keep(sent))
    page.start()

    url = history.picture_url(PictureReference(attachment_name("cat", sent)))

    page.join()
    assert url == sent.url


def notebook(path: Path, *cells: dict[str, Any]) -> None:
    path.write_text(json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def prompt_cell(name: str, content: bytes, cell_id: str = "other") -> dict[str, Any]:
    attachments = {name: {"image/png": base64.b64encode(content).decode()}}
    metadata = {"flowgpt_magic": {"attachments": attachments}}
    return {"cell_type": "code", "id": cell_id, "metadata": metadata, "source": []}


def markdown_cell(name: str, content: bytes, cell_id: str = "text") -> dict[str, Any]:
    attachments = {name: {"image/png": base64.b64encode(content).decode()}}
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "attachments": attachments, "source": []}


def test_a_picture_is_found_in_the_notebook(notebook_history, tmp_path):
    name = attachment_name("cat", shown(picture()))
    notebook(tmp_path / "a.ipynb", prompt_cell(name, picture()), markdown_cell("image.png", picture(colour=5)))

    assert notebook_history.picture_url(PictureReference(name)) == shown(picture()).url
    assert notebook_history.picture_url(PictureReference("image.png")) == shown(picture(colour=5)).url


def test_the_picture_of_the_cell_itself_comes_first(notebook_history, tmp_path):
    cells = [markdown_cell("image.png", picture(colour=number), str(number)) for number in (1, 2)]
    own = prompt_cell("image.png", picture(colour=3), "own")
    notebook(tmp_path / "a.ipynb", *cells, own)

    assert notebook_history.picture_url(PictureReference("image.png")) == shown(picture(colour=3)).url


def test_different_pictures_of_one_name_are_an_error(notebook_history, tmp_path):
    notebook(tmp_path / "a.ipynb", *(markdown_cell("image.png", picture(colour=number)) for number in (1, 2)))

    with pytest.raises(PromptError, match="2 cells of this notebook have different pictures"):
        notebook_history.picture_url(PictureReference("image.png"))


def test_a_run_without_a_name_finds_the_picture_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = attachment_name("cat", shown(picture()))
    notebook(tmp_path / "b.ipynb", prompt_cell(name, picture()))
    (tmp_path / "broken.ipynb").write_text("{")
    history = NotebookHistory(Place("nbclient", "", "a", "a"), "off")

    assert history.picture_url(PictureReference(name)) == shown(picture()).url


@pytest.mark.parametrize("cell", [{}, {"attachments": 3}, {"attachments": {"x.png": {"image/png": 7}}}, 5])
def test_a_picture_that_is_nowhere_is_one_error(cell, notebook_history, tmp_path):
    notebook(tmp_path / "a.ipynb", cell)

    with pytest.raises(PromptError, match=r"the picture x\.png is neither in the history nor in the notebook's file"):
        notebook_history.picture_url(PictureReference("x.png"))
