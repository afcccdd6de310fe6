"""An export as a notebook is valid, asks the same prompts again, and is read back."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

from flowgpt_magic.control_characters import clean
from flowgpt_magic.magics.input_transforms import TRANSFORMERS
from flowgpt_magic.magics.magic import FlowGPT
from flowgpt_magic.magics.state import Asked
from flowgpt_magic.messages import Usage
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.compose import PromptContext, compose
from flowgpt_magic.transcripts import notebook
from flowgpt_magic.transcripts.caption import line_html
from flowgpt_magic.transcripts.files import read, write
from flowgpt_magic.transcripts.transcript import (
    TranscriptTurn,
    exported,
)
from tests.transcripts.turns import AWKWARD, TEXT, TURNS, turn_of


def asked_when_run(source: str) -> tuple[str, dict[str, Any]]:
    """The prompt and the options that a cell asks with, by IPython's own reading and our magic's."""
    manager = TransformerManager()
    manager.cleanup_transforms[:0] = TRANSFORMERS
    asked = []

    class Noted:
        name, turns, record = "main", (), None

        def ask(self, prompt: str, **how: Any) -> None:
            asked.append(
                (prompt, {name: value for name, value in how.items() if name in ("model", "system", "temperature")})
            )

    magics = FlowGPT(SimpleNamespace(user_ns={}))
    around = PromptContext({"x": "REPLACED", "In": ["REPLACED"] * 9})

    def asked_in_the_shell(given: Asked, **_how: Any) -> None:
        prompt = compose(given.prompt, around, raw="raw" in given.switches, attached=given.attached, budget=100)
        Noted().ask(prompt, **given.settings)

    magics._state = SimpleNamespace(ask=asked_in_the_shell)
    shell = SimpleNamespace(run_cell_magic=lambda _name, line, body: magics.flowgpt(line, body))
    code = manager.transform_cell(source).replace("from flowgpt_magic import Conversation", "")
    exec(code, {"get_ipython": lambda: shell, "Conversation": Noted})
    ((prompt, how),) = asked
    return prompt, how


@settings(max_examples=40)
@given(name=TEXT, system=TEXT, turns=st.lists(TURNS, max_size=3))
def test_it_is_a_valid_notebook(folder, name, system, turns):
    path = write(folder / "valid.ipynb", name, system, turns, overwrite=True)

    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)

    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor) == (4, 5)
    assert len(book.cells) == 2 + len(turns)


def test_it_has_a_title_the_extension_and_a_cell_for_each_turn(tmp_path):
    turns = [turn_of("What is a list?", "A <b>list</b>", usage=Usage(3, 4, "stop", 0.1, 1.25, 2), turn_id="t")]

    book = nbformat.read(write(tmp_path / "a.ipynb", "my_talk", "Don't shout.", turns), as_version=4)

    assert [cell.source for cell in book.cells] == [
        r"# my\_talk",
        '%load_ext flowgpt_magic\n%flowgpt system "Don\'t shout."',
        '%%flowgpt echo:words --system ""\nWhat is a list?',
    ]
    (output,) = book.cells[2].outputs
    assert output.data["text/plain"] == "A <b>list</b>"
    assert output.data["text/markdown"] == f"A &lt;b>list&lt;/b>\n\n{line_html('echo:words · 3 → 4 tokens · 1.2 s')}"
    facts = output.metadata["flowgpt"]
    assert (facts["turn_id"], facts["status"], facts["seconds"], facts["chunks"]) == ("t", "complete", 1.25, 2)


@settings(max_examples=150)
@given(turn=TURNS, system=TEXT)
@example(turn=turn_of(">>> 1"), system="")
def test_a_cell_asks_what_the_turn_asked(turn, system):
    if not turn.prompt.strip():
        turn = replace(turn, prompt="x" + turn.prompt)

    prompt, how = asked_when_run(notebook._source(exported(turn), system))

    assert prompt == turn.prompt
    assert how.get("model", "") == ":".join(filter(None, [turn.provider, turn.model]))
    assert how.get("system", system) == turn.system


@pytest.mark.parametrize("prompt", [text for text in AWKWARD if text.strip()])
def test_a_cell_asks_every_awkward_prompt(prompt):
    asked = asked_when_run(notebook._source(TranscriptTurn(prompt, provider="echo", model="words"), ""))

    assert asked == (prompt, {"model": "echo:words"})


@pytest.mark.parametrize(
    ("prompt", "source"),
    [
        ("-m other", "%%flowgpt echo:words\n-m other"),
        ("first\n\nsecond", "%%flowgpt echo:words\nfirst\n\nsecond"),
        (">>> 1\n2", "%%flowgpt echo:words -- >>> 1\n2"),
        ("... and?", "%%flowgpt echo:words -- ... and?\n"),
        ("\nhi", notebook._CALL + "\n    '\\n'\n    'hi',\n    model='echo:words',\n)"),
    ],
)
def test_a_cell_is_a_magic_where_a_magic_asks_the_same(prompt, source):
    assert notebook._source(TranscriptTurn(prompt, provider="echo", model="words"), "") == source


@given(system=TEXT)
def test_the_system_prompt_reaches_the_conversation(system):
    manager = TransformerManager()
    manager.cleanup_transforms.extend(TRANSFORMERS)
    lines: list[str] = []
    shell = SimpleNamespace(run_line_magic=lambda _name, line: lines.append(line))
    exec(manager.transform_cell("\n".join(["pass", *notebook._system_lines(system)])), {"get_ipython": lambda: shell})

    assert lines == ([f'system "{system}"'] if system else [])


def test_run_from_the_top_it_asks_the_same_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGPT_HISTORY", ":memory:")
    prompts = [text for text in AWKWARD if text.strip()]
    system = 'You\'re "kind".\n{x} \\n?'
    turns = [turn_of(prompt, prompt, system=system) for prompt in prompts]
    turns.append(turn_of("the end", "", model="messages", system=system, parameters={"temperature": 0.5}))
    turns.append(turn_of("none", "", model="messages", system="Be brief."))
    path = write(tmp_path / "a.ipynb", "main", system, turns)
    book = nbformat.read(path, as_version=4)
    code = "import json\nfrom flowgpt_magic import Conversation\n"
    code += "print(json.dumps([[turn.prompt, turn.system] for turn in Conversation().turns]))"
    book.cells.append(nbformat.v4.new_code_cell(code))

    NotebookClient(book, resources={"metadata": {"path": str(tmp_path)}}).execute()

    end, short, known = (cell.outputs[-1] for cell in book.cells[-3:])
    assert json.loads(known["text"]) == [[turn.prompt, turn.system] for turn in turns]
    lines = [f"system: {system}"]
    for prompt in prompts:
        lines += [f"user: {prompt}", f"assistant: {prompt}"]
    assert end.data["text/plain"] == clean("\n".join([*lines, "user: the end"]))
    assert short.data["text/plain"].startswith("system: Be brief.\nuser: ")

    nbformat.write(book, path)
    again = read(path)
    assert [turn.prompt for turn in again.turns] == [turn.prompt for turn in turns]
    assert [turn.text for turn in again.turns[:-2]] == [clean(prompt) for prompt in prompts]
    assert {turn.status for turn in again.turns} == {"complete"}


def test_any_notebook_with_our_cells_is_read(tmp_path):
    def ask(source: str, *outputs: Any, **how: Any) -> Any:
        return nbformat.v4.new_code_cell(source, outputs=list(outputs), **how)

    def answer(text: str, **facts: Any) -> Any:
        metadata = {"flowgpt": {"provider": "echo", "model": "words", "status": "complete", "chunks": 2, **facts}}
        return nbformat.v4.new_output("display_data", {"text/plain": text}, metadata=metadata)

    stream = nbformat.v4.new_output("stream", name="stdout", text="noise")
    cells = [
        nbformat.v4.new_markdown_cell("%%flowgpt\nno code"),
        ask("print('%%flowgpt')"),
        ask("# why\n\n%%flowgpt -s short -t 0.5 echo one\ntwo\n", stream, answer("1\n2", seconds=0.5), id="a"),
        ask("%%flowgpt --of-a-later-version\nthree", answer("3", status="cancelled", notices=["half"])),
        ask("%%flowgpt system\nBe brief."),
        ask("%%flowgpt edit 1 -t 1\nuno", answer("uno")),
        ask("%%flowgpt echo:messages\nnever run"),
    ]
    path = tmp_path / "theirs.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    os.utime(path, (5, 5))

    found = read(path)

    assert (found.name, found.system) == ("theirs", "")
    one, three, never = found.turns
    assert one == TranscriptTurn(
        *("one\ntwo", "1\n2", "complete", "echo", "words", "short"),
        parameters={"temperature": 0.5},
        started=5.0,
        usage=Usage(chunks=2, seconds=0.5),
        cell_id="a",
    )
    assert (three.prompt, three.text, three.status, three.notices) == ("three", "3", "cancelled", ("half",))
    assert (never.prompt, never.text, never.status, never.model) == ("never run", "", "cancelled", "messages")


def test_a_prompt_that_was_edited_in_the_notebook_is_read_as_it_is_now(tmp_path):
    path = write(tmp_path / "a.ipynb", "main", "", [turn_of("one"), turn_of("\ntwo")])
    book = nbformat.read(path, as_version=4)
    for cell in book.cells[2:]:
        cell.source = cell.source.replace("one", "uno").replace("two", "due")
    nbformat.write(book, path)

    assert [turn.prompt for turn in read(path).turns] == ["uno", "\ndue"]


@given(word=TEXT)
def test_an_option_is_read_as_it_was_written(word):
    (written,) = notebook._words({"system": word})
    if word.isprintable():
        assert magic_line.read_line(written, lambda _word: False).options == {"system": word}


def test_a_system_prompt_that_a_magic_would_take_for_a_file_is_asked_by_a_call():
    source = notebook._source(TranscriptTurn("hi", system="@file"), "")

    assert source.startswith(notebook._CALL)
    assert "system='@file'" in source


def test_a_reply_that_was_edited_in_the_notebook_is_read_as_it_is_now(tmp_path):
    path = write(tmp_path / "a.ipynb", "main", "", [turn_of("one", "red\x1b[31m"), turn_of("two", "blue\x1b[34m")])
    book = nbformat.read(path, as_version=4)
    book.cells[2].outputs[0].data["text/plain"] = "green"
    nbformat.write(book, path)

    assert [turn.text for turn in read(path).turns] == ["green", "blue\x1b[34m"]
