"""The commands that hints give, for a package from a folder, a file, an index, a repository or nowhere."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from flowgpt_magic import installing

METADATA = """\
Metadata-Version: 2.1
Name: flowgpt_magic
Version: 1.0
Requires-Dist: ipython>=8
Requires-Dist: xllamacpp>=0.2; extra == "local"
Requires-Dist: jupyterlab>=4; extra == 'lab'
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """This package, installed from where ``direct_url`` says."""

    def install(direct_url: Any = None) -> None:
        folder = tmp_path / "flowgpt_magic-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(METADATA)
        if direct_url is not None:
            (folder / "direct_url.json").write_text(json.dumps(direct_url))
        monkeypatch.setattr(installing, "_installed", lambda: Distribution.at(folder))

    return install


def words() -> list[str]:
    """What pip is given for the extra ``local``."""
    python, *rest = shlex.split(installing.command("local"))
    assert python == sys.executable
    assert rest[:3] == ["-m", "pip", "install"]
    return rest[3:]


@pytest.mark.parametrize("direct_url", [None, "nonsense", {"url": 3}, []])
def test_from_an_index_it_is_asked_for_by_name(installed, direct_url):
    installed(direct_url)

    assert words() == ["flowgpt_magic[local]"]


def test_a_clone_is_installed_again_as_it_was(installed, tmp_path):
    clone = tmp_path / "a clone"
    clone.mkdir()
    installed({"url": clone.as_uri(), "dir_info": {"editable": True}})

    assert words() == ["-e", f"{clone}[local]"]


@pytest.mark.parametrize("name", ["folder", "flowgpt_magic-1.0-py3-none-any.whl"])
def test_a_folder_or_wheel_that_is_still_there_is_installed_again(installed, tmp_path, name):
    (tmp_path / name).touch()
    url = (tmp_path / name).as_uri()
    installed({"url": url, "archive_info": {}})

    assert words() == [f"flowgpt_magic[local] @ {url}"]


def test_of_a_wheel_that_is_gone_the_extra_is_installed_by_itself(installed, tmp_path):
    installed({"url": (tmp_path / "gone.whl").as_uri(), "archive_info": {}})

    assert words() == ["xllamacpp>=0.2"]


def test_a_repository_is_asked_for_at_its_revision_and_without_its_password(installed):
    vcs = {"vcs": "git", "commit_id": "0123abc"}
    installed({"url": "https://me:secret@git.example.org/flowgpt_magic.git", "vcs_info": vcs})

    assert words() == ["flowgpt_magic[local] @ git+https://git.example.org/flowgpt_magic.git@0123abc"]


def test_sources_that_are_not_installed_are_installed_where_they_lie(monkeypatch):
    monkeypatch.setattr(installing, "_installed", lambda: None)

    assert words() == ["-e", f"{Path(installing.__file__).parent.parent}[local]"]


def test_commands_are_one_line_but_for_windows_whose_powershell_takes_no_such_line():
    assert installing.one_by_one(["a", "b"], windows=False) == "a && b"
    assert installing.one_by_one(["a", "b"], windows=True) == "a, then b"
    assert installing.one_by_one(["a"], windows=True) == "a"


@pytest.mark.parametrize("word", ["plain", "two words", "flowgpt_magic[lab]", "a>=1", 'with "quotes"', "$HOME", "it's"])
def test_a_word_is_one_word_to_a_shell(word):
    assert shlex.split(installing.quoted(word, windows=False)) == [word]
