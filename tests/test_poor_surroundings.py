"""Machines where little is as usual: no home folder, one that cannot be written, a user whom nobody knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CELLS = [
    "%load_ext flowgpt_magic",
    "%flowgpt -m echo first prompt",
    "%flowgpt",
    "%flowgpt set temperature 0.5",
    "%flowgpt alias mine echo",
    "%flowgpt aliases",
    "import flowgpt_magic as f; print(f.map_prompts(['a batch', 'of two'], model='echo', progress=False).texts)",
    "%flowgpt panel",
    "%flowgpt providers",
    "%flowgpt config",
    "%flowgpt history",
    "%flowgpt -m echo second prompt",
]
PROGRAM = f"""
from IPython.terminal.interactiveshell import TerminalInteractiveShell
shell = TerminalInteractiveShell.instance()
for cell in {CELLS!r}:
    print(">>>", cell)
    shell.run_cell(cell, store_history=True)
"""
SETPRIV = shutil.which("setpriv")
ROOT = os.name == "posix" and os.geteuid() == 0
PLAIN = [SETPRIV or "", "--inh-caps=-all", "--bounding-set=-all"] if ROOT else []  # root, who may not write anywhere
UNKNOWN = [SETPRIV or "", "--reuid=54321", "--regid=54321", "--clear-groups"]


def shown(folder: Path, home: Path | None, *before: str) -> dict[str, str]:
    """What each cell prints, errors and warnings included, for a person with this home folder."""
    taken = ("FLOWGPT_HISTORY", "FLOWGPT_DATA_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME")
    environment = {name: value for name, value in os.environ.items() if name not in taken}
    environment |= {} if home is None else {"HOME": str(home)}
    done = subprocess.run(
        [*before, sys.executable, "-c", PROGRAM],
        env={**environment, "IPYTHONDIR": str(folder / "ipython"), "COLUMNS": "400"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    _begin, *parts = done.stdout.split(">>> ")
    return dict(zip(CELLS, (part.partition("\n")[2] for part in parts), strict=True))


def check(found: dict[str, str], told: str, kept: str) -> None:
    """All works, ``told`` is said once, and what is shown of the history is true."""
    assert "first prompt" in found["%flowgpt -m echo first prompt"]
    assert told in found["%flowgpt -m echo first prompt"]
    assert "".join(found.values()).count(told) == 1
    assert kept in found["%flowgpt"]
    assert found["%flowgpt set temperature 0.5"].startswith("temperature: 0.5")
    assert found["%flowgpt alias mine echo"].startswith("AliasError: ")
    assert len(found["%flowgpt alias mine echo"].strip().splitlines()) == 1
    assert "['a batch', 'of two']" in "".join(found.values())
    assert "the panel needs a notebook" in found["%flowgpt panel"]
    assert "first prompt" in found["%flowgpt history"]
    assert "second prompt" in found["%flowgpt -m echo second prompt"]


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("", "utf-8")

    check(shown(tmp_path, home), "its turns are only in memory", "in memory, until this kernel is restarted")


@pytest.mark.skipif(ROOT and not SETPRIV, reason="root may write anywhere")
def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)

    found = shown(tmp_path, home, *PLAIN)

    check(found, "its turns are only in memory", "in memory, until this kernel is restarted")


@pytest.mark.skipif(not (ROOT and SETPRIV), reason="only root becomes somebody else")
def test_a_user_without_an_entry_and_without_a_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    if subprocess.run([*UNKNOWN, sys.executable, "-c", "import IPython"], check=False).returncode:
        pytest.skip("this Python lies in a folder that nobody else may enter")

    found = shown(tmp_path, None, *UNKNOWN)

    check(found, "There is no home folder to keep the history in", "in memory, until this kernel is restarted")
    assert "there is no home folder for a settings file" in found["%flowgpt config"]
