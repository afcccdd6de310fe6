"""What a shell can complete, and lookups that take long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from flowgpt_magic.completion.names import Candidate
from flowgpt_magic.completion.shell import _all_parameters, _folder, _lookups, all_models, in_time, sources_of


def looked_up(lookup: Callable[[], Sequence[Candidate]]) -> Sequence[Candidate]:
    """What ``lookup`` finds, however slow the machine imports modules."""
    lookup()
    for thread in _lookups.values():
        thread.join(60)
    return lookup()


def test_models_are_known_without_asking_a_provider():
    shown = {each.text: each.type for each in looked_up(all_models)}

    assert shown["echo"] == "provider"
    assert shown["echo:words"] == "model"
    assert shown["words"] == "model of echo"
    assert "local:smollm2-135m-instruct" in shown


def test_a_folder_lists_its_files(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.md").touch()

    assert _folder(f"{tmp_path}/") == [Candidate("one.md", "file"), Candidate("sub/", "folder")]
    assert _folder(f"{tmp_path}/missing/") == []
    assert _folder("\0") == []


def test_what_takes_long_is_there_the_next_time():
    go = threading.Event()

    def look() -> list[str]:
        go.wait(10)
        return ["found"]

    assert in_time("slow", look, 0.01) == ()
    go.set()
    _lookups["slow"].join(10)
    go.clear()
    assert in_time("slow", look, 0.01) == ["found"]
    go.set()


def test_what_p_takes_is_that_of_all_providers():
    found = {each.text: each.type for each in looked_up(_all_parameters)}

    assert "openai_compatible" in found["extra_body="]
    assert "openai_compatible" in found["extra_headers="]
    assert "openai_compatible, local" in found["top_p="] or "local, openai_compatible" in found["top_p="]
    assert "echo" in found["fail_after="]
    assert not {"openai_key=", "proxy=", "schema=", "read_timeout="} & found.keys()


def test_a_lookup_that_fails_finds_nothing_and_is_tried_again():
    outcomes = [OSError, ["found"]]

    def look() -> list[str]:
        outcome = outcomes.pop(0)
        if outcome is OSError:
            raise OSError
        return outcome

    assert in_time("failing", look, 10) == ()
    assert in_time("failing", look, 10) == ["found"]


def test_the_last_error_can_be_named(monkeypatch):
    shell = SimpleNamespace(user_ns={"x": 1}, user_ns_hidden={}, automagic=True)
    error = ValueError("no")
    monkeypatch.setattr("sys.last_value", error, raising=False)
    monkeypatch.setattr("sys.last_exc", error, raising=False)

    sources = sources_of(shell, magics=("flowgpt", "ai"))

    assert sources.names == {"x": 1, "Err": error}
    assert (sources.automagic, sources.magics) == (True, ("flowgpt", "ai"))
