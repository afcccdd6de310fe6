"""A conversation as a file, and back."""

from __future__ import annotations

import pytest

from flowgpt_magic import file_commands
from flowgpt_magic.desk import Desk
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.export import TranscriptError
from flowgpt_magic.notebook import NO_CELL


@pytest.fixture
def desk() -> Desk:
    return Desk(lambda: {"model": "echo"}, {})


def ask(desk: Desk, *asked: str) -> None:
    for prompt in asked:
        list(desk.conversation().ask(prompt, cell=NO_CELL))


@pytest.mark.parametrize("ending", ["md", "json", "ipynb"])
def test_what_is_exported_is_imported_as_the_same_conversation(desk, tmp_path, ending):
    desk.conversation().set(system="be kind")
    ask(desk, "one", "two ```\n# lines")
    before = [(turn.prompt, turn.text, turn.status, turn.model) for turn in desk.conversation().turns]
    path = tmp_path / f"a file.{ending}"

    told = file_commands.write(desk, f'"{path}"')
    other = Desk(lambda: {"model": "echo"}, {})
    imported = file_commands.read(other, f'"{path}"')
    chat = other.conversation()

    assert told == f"main with 2 turns is in {path}"
    assert imported == f"main (2) has 2 turns from {path}"
    assert [(turn.prompt, turn.text, turn.status, turn.model) for turn in chat.turns] == before
    assert chat.settings().system == "be kind"
    assert [row.turns for row in other.journal.read(lambda history: history.usage_rows(), ())] == [2]
    assert chat.undo() == "import"


def test_a_file_that_is_there_is_overwritten_only_when_told_so(desk, tmp_path):
    ask(desk, "one")
    path = tmp_path / "a.md"
    file_commands.write(desk, str(path))

    with pytest.raises(TranscriptError, match="--overwrite"):
        file_commands.write(desk, str(path))
    assert "1 turn" in file_commands.write(desk, f"{path} --overwrite")


@pytest.mark.parametrize(
    ("run", "rest", "said"),
    [
        (file_commands.write, "", "takes the name of one file"),
        (file_commands.write, "a b", "quote a name with spaces"),
        (file_commands.write, "a.docx", "ipynb"),
        (file_commands.read, "", "takes the name of one file"),
        (file_commands.read, "nowhere.md", "nowhere.md"),
    ],
)
def test_bad_input_is_one_clear_error(desk, tmp_path, monkeypatch, run, rest, said):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(FlowGptError, match=said):
        run(desk, rest)
