"""Workers find each other's answers in one folder."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from flowgpt_magic.clusters.shared_answers import SharedAnswers
from flowgpt_magic.errors import HistoryError, HistoryFileError
from flowgpt_magic.history.database import History
from tests.records import conversation_record, notebook_record, turn_record


def other_worker(file: Path, *request_keys: str, status: str = "complete") -> None:
    """A file as another worker leaves it."""
    notebook = notebook_record(key="partitions")
    conversation = conversation_record(notebook, removed=True)
    turns = [turn_record(conversation, request_key=key, text=f"answer to {key}", status=status) for key in request_keys]
    with closing(History(file)) as history:
        history.save(notebook, conversation, *turns)


def test_the_answers_in_all_other_files_are_found(tmp_path):
    answers = SharedAnswers(tmp_path)
    other_worker(tmp_path / "a.sqlite3", "1", "2")
    other_worker(tmp_path / "b.sqlite3", "3")
    other_worker(tmp_path / "c.sqlite3", "4", status="failed")

    found = answers.find(["1", "3", "4", "5"])

    assert {key: turn.text for key, turn in found.items()} == {"1": "answer to 1", "3": "answer to 3"}


def test_its_own_file_is_not_read(tmp_path):
    answers = SharedAnswers(tmp_path)
    answers.file.write_bytes(b"damaged " * 1000)
    other_worker(tmp_path / "a.sqlite3", "1")

    assert list(answers.find(["1", "2"])) == ["1"]


def test_a_file_that_another_worker_has_just_made_holds_nothing_yet(tmp_path):
    (tmp_path / "a.sqlite3").touch()

    assert SharedAnswers(tmp_path).find(["1"]) == {}


def test_a_file_that_is_open_elsewhere_is_read(tmp_path):
    other_worker(tmp_path / "a.sqlite3", "1")
    with closing(History(tmp_path / "a.sqlite3")) as history:
        history.grow_turn("none", "leaves something in the log")

        assert list(SharedAnswers(tmp_path).find(["1"])) == ["1"]


def test_a_damaged_file_is_told_before_anything_is_paid_for_twice(tmp_path):
    (tmp_path / "a.sqlite3").write_bytes(b"nonsense" * 1000)

    with pytest.raises(HistoryError, match="damaged"):
        SharedAnswers(tmp_path).find(["1"])


def test_the_folder_is_made_for_its_owner_alone(tmp_path):
    answers = SharedAnswers(tmp_path / "some" / "answers")

    assert answers.folder.stat().st_mode & 0o077 == 0
    assert answers.file.parent == answers.folder
    assert f"-{os.getpid()}-" in answers.file.name


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(HistoryFileError, match="give a folder that every worker can write to"):
        SharedAnswers(tmp_path / "file")
