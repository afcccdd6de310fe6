"""A shell as a reader of the help and the README has it, in which examples run as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.current import location_of
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.magics import magic
from flowgpt_magic.notebook.place import NO_CELL, place_of
from flowgpt_magic.settings import load
from tests.models_on_disk import weights_on_disk

MOVED = ("old.ipynb", "../old/analysis.ipynb")


@contextmanager
def example_shell(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[InteractiveShell]:
    """A shell in ``folder`` with a table, two turns, an error, files, a template and the embedded model."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(weights_on_disk()))
    (folder / "notes.txt").write_text("Answer in one line.", "utf-8")
    (folder / ".flowgpt/templates").mkdir(parents=True)
    (folder / ".flowgpt/templates/review.md").write_text("Review {x} for {audience}.", "utf-8")
    config = Config()
    config.HistoryManager.enabled = False
    config.FlowGPT.model = "echo"
    shell = InteractiveShell.instance(config=config)
    magic.load(shell)
    shell.user_ns.update(frame=pandas.DataFrame({"item": ["tea", "milk"]}), x=1, City={"type": "object"})
    yield shell
    magic.unload(shell)
    InteractiveShell.clear_instance()


def run_cell(shell: InteractiveShell, cell: str) -> Any:
    """The value of the cell; raises what it raises."""
    result = shell.run_cell(cell, store_history=True)
    result.raise_error()
    return result.result


def keep_history_of_moved_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notebooks at other paths, one turn each, in a history file."""
    monkeypatch.setenv("FLOWGPT_HISTORY", str(Path("history.sqlite3").resolve()))
    for path in MOVED:
        moved = NotebookHistory(place_of(str(Path(path).resolve())), location_of(load().history))
        list(Conversation(notebook_history=moved, model="echo").ask("an earlier prompt", cell=NO_CELL))
        moved.close()


def prepare(shell: InteractiveShell) -> None:
    """Two turns, two exported files, and an error."""
    run_cell(shell, "%flowgpt --quiet Why is the sky blue?")
    run_cell(shell, "%flowgpt --quiet And the sea?")
    run_cell(shell, "%flowgpt export old.md --overwrite\n%flowgpt export old.json --overwrite")
    with pytest.raises(KeyError):
        run_cell(shell, "frame['Item']")


def fix_with_a_correction(shell: InteractiveShell) -> None:
    """A prompt about the error, whose reply corrects it."""
    run_cell(shell, "%flowgpt fix --quiet")
    run_cell(shell, "%%flowgpt edit -1\n```python\nframe['item']\n```")
