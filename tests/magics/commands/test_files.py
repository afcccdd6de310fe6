"""A conversation as a file, and back."""

from __future__ import annotations

import pytest

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.magics.commands.files import export_file, import_file
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.transcripts.transcript import TranscriptError
from tests.shell_states import ask


@pytest.mark.parametrize("ending", ["md", "json", "ipynb"])
def test_what_is_exported_is_imported_as_the_same_conversation(state, tmp_path, ending):
    state.conversation().set(system="be kind")
    ask(state, "one", "two ```\n# lines")
    before = [(turn.prompt, turn.text, turn.status, turn.model) for turn in state.conversation().turns]
    path = tmp_path / f"a file.{ending}"

    told = export_file(state, f'"{path}"')
    other = ShellState(lambda: {"model": "echo"}, {})
    imported = import_file(other, f'"{path}"')
    chat = other.conversation()

    assert told == f"exported main with 2 turns to {path}"
    assert imported == f"imported main (2) with 2 turns from {path}"
    assert [(turn.prompt, turn.text, turn.status, turn.model) for turn in chat.turns] == before
    assert chat.settings().system == "be kind"
    assert [row.requests for row in other.notebook_history.read(lambda history: history.usage_rows(), ())] == [2]
    assert chat.undo() == "import"


def test_a_file_that_is_there_is_overwritten_only_when_told_so(state, tmp_path):
    ask(state, "one")
    path = tmp_path / "a.md"
    export_file(state, str(path))

    with pytest.raises(TranscriptError, match="--overwrite"):
        export_file(state, str(path))
    assert "1 turn" in export_file(state, f"{path} --overwrite")


@pytest.mark.parametrize(
    ("run", "rest", "said"),
    [
        (export_file, "", "takes the name of one file"),
        (export_file, "a b", "quote a name with spaces"),
        (export_file, "a.docx", "ipynb"),
        (import_file, "", "takes the name of one file"),
        (import_file, "nowhere.md", "nowhere.md"),
    ],
)
def test_bad_input_is_one_clear_error(state, tmp_path, monkeypatch, run, rest, said):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(FlowGptError, match=said):
        run(state, rest)
