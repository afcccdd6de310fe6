"""A conversation is written as Markdown, JSON or a notebook, and read back as it was."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager
from markdown_it import MarkdownIt
from nbclient import NotebookClient

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.magics.input_transforms import TRANSFORMERS
from flowgpt_magic.magics.magic import FlowGPT
from flowgpt_magic.magics.state import Asked
from flowgpt_magic.markdown.harmless import plain
from flowgpt_magic.messages import Turn, Usage
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.compose import PromptContext, compose
from flowgpt_magic.transcripts import files
from flowgpt_magic.transcripts.files import Transcript, TranscriptError, TranscriptTurn, as_turns, read, write
from tests import xss_payloads
from tests.markdown.test_harmless import active_in
from tests.payloads import PAYLOADS
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())
ENDINGS = (".md", ".json", ".ipynb")

AWKWARD = [
    *("", " ", "\n", "\n\nafter blank lines\n", "  spaces  \n  and\ttabs\t", "\r\nwindows\r\nlines\r\n", "old\rmac\r"),
    *("# heading\n\n## 1\n\n> quote\n>\n>lazy", "```python\nx = 1", "~~~\n````\n```\n~~~~", "`````\n```\n`````\n"),
    *(
        "<!-- open",
        "a --> b",
        "<!-- flowgpt_magic end {} -->",
        "```\n<!-- flowgpt_magic end {} -->\n```",
        "<b>&amp;</b>",
    ),
    *(
        "---\ntitle: x\n---\n\ntext",
        "NUL \0 and \x1b[31mred\x1b[0m",
        "\ufeffmark",
        "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    ),
    *(
        "-m echo",
        "--system x",
        "-- dashes",
        "%%flowgpt\nhi",
        "%flowgpt undo",
        "!ls",
        "what?",
        "help??",
        "x << y",
        "a \\",
    ),
    *(
        ">>> 1 + 1\n2",
        "say\n    >>> 1 + 1\n    2",
        "... and so on",
        "In [3]: x\nOut[3]: 1",
        "   ...: y",
        "first\n>>> x",
    ),
    *(
        "{x} and {In[1]} $5 ${y}",
        "\"quoted\" it's 'so'",
        '"""',
        "'''\n\"\"\"",
        "[a]: http://x.org\n\n[a]",
        "- a\n- b",
        "|a|",
    ),
    *("echo: hi", "echo:words hi", "local", "# a comment", "@file", "none", "\\u0000", "é 漢字 🎉", "$x^2$ \\(y\\)"),
]
TEXT = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from([*AWKWARD, "\n", "\n\n", ">", "word", " "]), max_size=5).map("".join),
)
WHEN = st.floats(0, 2**36)


def turn_of(prompt: str = "what is it?", text: str = "a list", **values: Any) -> Turn:
    return turn_record(CONVERSATION, **{"prompt": prompt, "text": text, "status": "complete", "ended": 9.5} | values)


def facts_of(turn: Turn | TranscriptTurn) -> dict[str, Any]:
    """What a transcript has of a turn."""
    facts = {each.name: getattr(turn, each.name) for each in fields(TranscriptTurn)}
    return facts | {"extras": turn.extras.as_json() if isinstance(turn, Turn) else turn.extras}


FIXED = turn_of(text="<b>", turn_id="turn", started=1.0, kernel="")

TURNS = st.builds(
    turn_of,
    TEXT,
    TEXT,
    status=st.sampled_from(["complete", "cancelled", "failed", "streaming"]),
    provider=st.sampled_from(["echo", "", "my provider"]),
    model=TEXT.filter(lambda text: len(text) < 30),
    system=TEXT,
    parameters=st.dictionaries(st.sampled_from(["temperature", "seed", "x"]), st.none() | st.floats(0, 3) | TEXT),
    notices=st.lists(TEXT, max_size=2).map(tuple),
    error=TEXT,
    started=WHEN,
    ended=st.none() | WHEN,
    usage=st.builds(Usage, st.none() | st.integers(0, 9**9), finish_reason=st.none() | TEXT, seconds=st.none() | WHEN),
    cell_id=st.text("abc-", max_size=5),
    left_out=st.integers(0, 10),
    replayed=st.booleans(),
    images=st.lists(st.sampled_from(["data:image/png;base64,AA==", "data:image/gif;base64,AB=="])).map(tuple),
    extras=st.builds(
        Extras,
        reasoning=TEXT,
        citations=st.lists(st.builds(Citation, TEXT, TEXT), max_size=2).map(tuple),
        logprobs=st.just(()) | st.just(({"token": "a", "logprob": -0.5, "top_logprobs": []},)),
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transcripts")


def there_and_back(folder: Path, ending: str, *turns: Turn, name: str = "main", system: str = "") -> Transcript:
    return read(write(folder / f"file{ending}", name, system, turns, overwrite=True))


class TestThereAndBack:
    @pytest.mark.parametrize("ending", ENDINGS)
    @settings(max_examples=100)
    @given(name=TEXT, system=TEXT, turns=st.lists(TURNS, max_size=3))
    def test_what_is_read_is_what_was_written(self, folder, ending, name, system, turns):
        found = there_and_back(folder, ending, *turns, name=name, system=system)

        assert (found.name, found.system) == (name, system)
        assert [facts_of(turn) for turn in found.turns] == [facts_of(turn) for turn in turns]

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_every_awkward_text_is_read_back_as_prompt_as_reply_and_as_system_prompt(self, folder, ending):
        turns = [turn_of(text, text) for text in AWKWARD]

        found = there_and_back(folder, ending, *turns)

        assert [(turn.prompt, turn.text) for turn in found.turns] == [(text, text) for text in AWKWARD]
        for text in AWKWARD:
            assert there_and_back(folder, ending, turn_of(system="own"), name=text, system=text).system == text

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_long_text_is_read_back(self, folder, ending):
        long = "".join(AWKWARD) * 100 + "word " * 20_000

        (turn,) = there_and_back(folder, ending, turn_of(long, long)).turns

        assert len(long) > 100_000
        assert (turn.prompt == long, turn.text == long) == (True, True)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_halves_of_surrogate_pairs_are_replaced_and_pairs_are_joined(self, folder, ending):
        half = turn_of("a\ud800b", "\udc00", error="\ud83d", parameters={"x\ud800": ["\udfff"]})

        found = there_and_back(folder, ending, half, turn_of("\ud83d\ude00"), name="\ud800", system="\udfff.")

        assert (found.name, found.system) == ("\ufffd", "\ufffd.")
        assert [turn.prompt for turn in found.turns] == ["a\ufffdb", "\U0001f600"]
        first = found.turns[0]
        assert (first.text, first.error, first.parameters) == ("\ufffd", "\ufffd", {"x\ufffd": ["\ufffd"]})

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_what_was_read_and_taken_over_is_written_the_same_again(self, folder, ending):
        first = there_and_back(folder, ending, turn_of(), turn_of("two", status="failed", error="oh"), system="s")

        taken = as_turns(first, "c", "k")
        second = there_and_back(folder, ending, *taken, system=first.system)

        assert [replace(turn, turn_id="") for turn in second.turns] == [
            replace(turn, turn_id="") for turn in first.turns
        ]

    def test_a_conversation_goes_into_a_file_and_its_turns_come_out(self, tmp_path):
        conversation = Conversation(configured=lambda: {"model": "echo"})
        for prompt in ("one", "two"):
            list(conversation.ask(prompt, system="be kind"))

        found = read(write(tmp_path / "a.json", conversation.name, "", conversation.turns))

        assert [facts_of(turn) for turn in found.turns] == [facts_of(turn) for turn in conversation.turns]
        assert [turn.system for turn in found.turns] == ["be kind", "be kind"]


class TestTakenOver:
    def test_turns_have_ids_and_places_of_their_own_and_are_live(self):
        transcript = Transcript(
            "main", "", (TranscriptTurn("one", "1", started=3.0), TranscriptTurn("two", turn_id="x"))
        )

        turns = as_turns(transcript, "conversation", "kernel")

        assert [(turn.prompt, turn.place, turn.version, turn.live) for turn in turns] == [
            ("one", 1, 1, True),
            ("two", 2, 1, True),
        ]
        assert len({turn.turn_id for turn in turns} | {"x", ""}) == 4
        assert {(turn.conversation_id, turn.kernel, turn.request_key) for turn in turns} == {
            ("conversation", "kernel", "")
        }
        assert turns[0].ended == 3.0

    def test_one_that_was_streaming_is_cancelled(self):
        transcript = Transcript("main", "", (TranscriptTurn("one", "so f", status="streaming"),))

        (turn,) = as_turns(transcript, "c", "k")

        assert (turn.text, turn.status) == ("so f", "cancelled")


class TestFiles:
    def test_an_ending_that_is_none_of_ours_is_refused(self, tmp_path):
        for name in ("a.txt", "a", ".md"):
            with pytest.raises(TranscriptError, match=r"should end in \.md, \.json, \.ipynb or \.html"):
                write(tmp_path / name, "main", "", [])
            with pytest.raises(TranscriptError, match=r"should end in \.md, \.json, \.ipynb or \.html"):
                read(tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_an_ending_may_be_written_in_capitals(self, tmp_path):
        assert read(write(tmp_path / "A.JSON", "main", "", [])).name == "main"

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_file_is_overwritten_only_when_asked_for(self, tmp_path, ending):
        path = write(tmp_path / f"a{ending}", "first", "", [])

        with pytest.raises(TranscriptError, match=r"is there already: %flowgpt export .* --overwrite replaces it"):
            write(path, "second", "", [])
        assert read(path).name == "first"
        write(path, "second", "", [], overwrite=True)

        assert read(path).name == "second"
        assert list(tmp_path.iterdir()) == [path]

    def test_home_is_written_as_a_tilde(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))

        assert write("~/a.md", "main", "", []) == tmp_path / "a.md"
        assert read("~/a.md").name == "main"

    def test_a_missing_folder_is_named(self, tmp_path):
        with pytest.raises(TranscriptError, match=r"there is no folder .*missing: make it first"):
            write(tmp_path / "missing" / "a.md", "main", "", [])

    def test_a_link_stays_and_the_file_behind_it_is_replaced(self, tmp_path):
        target, link = write(tmp_path / "a.md", "old", "", []), tmp_path / "link.md"
        link.symlink_to(target)

        write(link, "new", "", [], overwrite=True)

        assert link.is_symlink()
        assert read(target).name == "new"

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
    def test_a_file_has_the_usual_mode_and_keeps_the_one_it_has(self, tmp_path):
        path, other = write(tmp_path / "a.md", "main", "", []), tmp_path / "b"
        other.touch()
        assert path.stat().st_mode == other.stat().st_mode

        path.chmod(0o600)
        write(path, "main", "", [], overwrite=True)

        assert path.stat().st_mode & 0o777 == 0o600

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch):
        path = write(tmp_path / "a.md", "old", "", [])

        def full(*_paths: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(TranscriptError, match=r"a\.md cannot be written: No space left on device"):
            write(path, "new", "", [], overwrite=True)

        assert read(path).name == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder_and_an_impossible_name_are_refused(self, tmp_path):
        (tmp_path / "a.md").mkdir()

        for refused in (lambda path: write(path, "main", "", [], overwrite=True), read):
            for path in (tmp_path / "a.md", tmp_path / "a\0.md"):
                with pytest.raises(TranscriptError, match="cannot be"):
                    refused(path)
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_nothing_secret_is_in_it(self, tmp_path, ending):
        turn = turn_of(
            parameters={"api_key": "very-secret", "extra": {"token": "very-secret"}, "base": "http://me:hidden@x.org/"},
            error="cannot reach http://me:hidden@x.org/?key=very-secret",
            notices=("by way of http://me:hidden@proxy",),
            kernel="kernel-of-mine",
        )

        content = write(tmp_path / f"a{ending}", "main", "", [turn]).read_text("utf-8")

        assert "***@x.org" in content
        for secret in ("very-secret", "hidden", "kernel-of-mine"):
            assert secret not in content


class TestRefused:
    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"\xff\xfe\x00", "it is not UTF-8 text"),
            (b"", "it is not JSON|did not make it"),
            (b"# A page\n\nof somebody else", "it is not JSON|did not make it"),
            (b'{"format": "of somebody else", "turns": []}', "did not make it|no notebook of format 4"),
            (b"[]", "did not make it|no notebook of format 4"),
            (b"[" * 100_000, "it is nested too deeply|it is not JSON|did not make it"),
            (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read|did not make it"),
            (b'{"cells": [], "nbformat": 4}', "did not make it|no cell in it begins with %%flowgpt"),
            (b'{"cells": [], "worksheets": [], "nbformat": 3}', "did not make it|no notebook of format 4"),
        ],
    )
    def test_a_file_that_is_no_transcript_is_refused_in_one_line(self, tmp_path, ending, content, reason):
        path = tmp_path / f"a{ending}"
        path.write_bytes(content)

        with pytest.raises(TranscriptError, match=reason) as caught:
            read(path)

        assert str(caught.value).startswith(str(path))
        assert len(str(caught.value).splitlines()) == 1

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_missing_file_is_named(self, tmp_path, ending):
        with pytest.raises(TranscriptError, match=rf"a\{ending} cannot be read: No such file"):
            read(tmp_path / f"a{ending}")

    def test_a_file_of_more_than_64_megabytes_is_refused_unread(self, tmp_path):
        path = tmp_path / "a.json"
        with path.open("wb") as file:
            file.truncate(64 * 2**20 + 1)

        with pytest.raises(TranscriptError, match="longer than 64 MB"):
            read(path)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_file_of_a_newer_version_is_refused(self, tmp_path, monkeypatch, ending):
        monkeypatch.setitem(files.HEAD, "version", 2)
        path = write(tmp_path / f"a{ending}", "main", "", [turn_of()])

        with pytest.raises(TranscriptError, match="newer version of flowgpt_magic made it"):
            read(path)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("prompt", None), ("prompt", 1), ("text", ["a"]), ("status", "done"), ("status", []), ("started", "now")),
            *(("started", True), ("started", float("inf")), ("started", 10**400), ("ended", -1), ("notices", "a")),
            *(("notices", [1]), ("usage", []), ("usage", {"chunks": 1.5}), ("parameters", []), ("replayed", 1)),
            ("left_out", None),
        ],
    )
    def test_a_value_that_cannot_be_is_named(self, tmp_path, field, value):
        path = write(tmp_path / "a.json", "main", "", [turn_of()])
        values = json.loads(path.read_text("utf-8"))
        values["turns"][0][field] = value
        path.write_text(json.dumps(values))

        with pytest.raises(TranscriptError, match=f"cannot be read: (its ({field}|chunks) cannot be|.* is no object)"):
            read(path)

    @pytest.mark.parametrize("turns", [None, {}, [1], [[]], [{}]])
    def test_turns_that_are_none_are_refused(self, tmp_path, turns):
        path = tmp_path / "a.json"
        path.write_text(json.dumps({**files.HEAD, "turns": turns}))

        with pytest.raises(
            TranscriptError, match=r"cannot be read: (its turns cannot|.* is no object|it has no prompt)"
        ):
            read(path)

    def test_a_file_without_turns_is_refused(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps(files.HEAD))

        with pytest.raises(TranscriptError, match="it has no turns"):
            read(tmp_path / "a.json")

    @pytest.mark.parametrize("ending", ENDINGS)
    @settings(max_examples=60)
    @given(data=st.data())
    def test_a_damaged_file_is_read_or_refused_and_nothing_else(self, folder, ending, data):
        path = write(folder / f"damaged{ending}", "main", "s", [FIXED, replace(FIXED, prompt=">>> x")], overwrite=True)
        content = path.read_bytes()
        start, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 40))
        junk = data.draw(st.sampled_from([b"", b"null", b"5", b'"', b"[]", b"{}", b"\n", b"-->", b"\0"]))
        path.write_bytes(content[:start] + junk + content[start + length :])

        with suppress(TranscriptError):  # any other error fails the test
            assert isinstance(read(path), Transcript)

    @settings(max_examples=60)
    @given(
        cells=st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["cell_type", "source", "outputs", "metadata", "flowgpt", "data", "text/plain", "id"]
                    ),
                    inner | st.sampled_from(["code", "%%flowgpt -x\nhi", files._CALL]),
                )
            ),
            max_leaves=12,
        )
    )
    def test_any_cells_are_read_or_refused(self, folder, cells):
        path = folder / "any.ipynb"
        path.write_text(json.dumps({"nbformat": 4, "cells": cells if isinstance(cells, list) else [cells]}))

        with suppress(TranscriptError):  # any other error fails the test
            assert isinstance(read(path), Transcript)


class TestJson:
    def test_it_has_the_documented_form(self, tmp_path):
        turn = turn_of("é?", "1", started=1.5, turn_id="t", cell_id="c", parameters={"seed": 1})

        lines = write(tmp_path / "a.json", "main", "Be brief.", [turn]).read_text("utf-8").splitlines()

        assert lines[:6] == [
            "{",
            ' "format": "flowgpt_magic transcript",',
            ' "version": 1,',
            ' "name": "main",',
            ' "system": "Be brief.",',
            ' "turns": [',
        ]
        (values,) = json.loads("\n".join(lines))["turns"]
        assert list(values) == [each.name for each in fields(TranscriptTurn)]
        assert '   "prompt": "é?",' in lines

    def test_what_is_missing_has_a_default_and_what_is_unknown_is_left_out(self, tmp_path):
        path = tmp_path / "short.json"
        path.write_text(json.dumps({**files.HEAD, "mood": "good", "turns": [{"prompt": "hi", "colour": "red"}]}))
        os.utime(path, (5, 5))

        assert read(path) == Transcript("short", "", (TranscriptTurn("hi", started=5.0),))


class TestMarkdown:
    def test_it_is_pleasant_to_read(self, tmp_path):
        turns = [
            turn_of(
                "What is a list?", "A **list** is:\n\n```python\n[1, 2]\n```", started=0.0, usage=Usage(seconds=1.234)
            ),
            turn_of("And\n\na tuple?", "", started=60.0, status="failed", error="TypeError: <oh>\nno"),
        ]

        lines = write(tmp_path / "a.md", "main_2", "Be brief.", turns).read_text("utf-8").splitlines()

        assert [line for line in lines if line and not line.startswith("<!-- flowgpt_magic")] == [
            r"# main\_2",
            "> Be brief.",
            "## 1",
            "> What is a list?",
            "*echo:words · 1970-01-01 00:00:00 UTC · 1.2 s*",
            "A **list** is:",
            "```python",
            "[1, 2]",
            "```",
            "## 2",
            "> And",
            ">",
            "> a tuple?",
            r"*echo:words · 1970-01-01 00:01:00 UTC · failed before its end · TypeError: \<oh\> no*",
        ]

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(turns=st.lists(TURNS, max_size=2), name=TEXT, system=TEXT)
    def test_every_turn_is_seen_whatever_the_one_before_it_says(self, folder, name, system, turns):
        text = write(folder / "seen.md", name, system, [*turns, turn_of("the end?", "THE END")], overwrite=True)

        tokens = MarkdownIt("commonmark", {"html": True}).parse(text.read_text("utf-8", "strict"))

        top = [token.content for token in tokens if token.type == "inline" and token.level == 1]
        assert str(len(turns) + 1) in top
        assert top[-1] == "THE END"
        comments = [token.content for token in tokens if token.type == "html_block" and token.level == 0]
        assert len(comments) == 2 * len(turns) + 4

    @pytest.mark.parametrize("payload", PAYLOADS[::4], ids=str)
    def test_nothing_in_it_is_active(self, folder, payload):
        turn = turn_of(payload, payload, model="words", error=payload, notices=(payload,))
        path = write(folder / "active.md", payload, payload, [turn], overwrite=True)

        lines = [line for line in path.read_text("utf-8").split("\n") if not line.startswith("<!-- flowgpt_magic")]

        assert active_in("\n".join(lines)) == []

    def test_a_reply_that_was_edited_by_hand_is_read_as_it_is_now(self, tmp_path):
        path = write(tmp_path / "a.md", "main", "", [turn_of("<b>?", "a\r\nb"), turn_of("two", "three")])
        path.write_text(path.read_text("utf-8").replace("three", "four").replace("\na\nb\n", "\na\nc\n"), "utf-8")

        assert [turn.text for turn in read(path).turns] == ["a\nc", "four"]
        assert read(path).turns[0].prompt == "<b>?"

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_it_can_be_read_when_its_lines_became_windows_lines(self, folder, ending):
        turns = [turn_of(text, text) for text in AWKWARD]
        path = write(folder / f"windows{ending}", "main", "a\nb", turns, overwrite=True)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

        found = read(path)

        assert [(turn.prompt, turn.text) for turn in found.turns] == [(text, text) for text in AWKWARD]
        assert found.system == "a\nb"

    def test_a_turn_that_lost_a_comment_is_refused(self, tmp_path):
        path = write(tmp_path / "a.md", "main", "", [turn_of()])
        path.write_text(path.read_text("utf-8").replace("<!-- flowgpt_magic reply {} -->\n", ""), "utf-8")

        with pytest.raises(TranscriptError, match="comments of flowgpt_magic are missing in it"):
            read(path)


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

    def at_the_desk(given: Asked, **_how: Any) -> None:
        prompt = compose(given.prompt, around, raw="raw" in given.switches, attached=given.attached, budget=100)
        Noted().ask(prompt, **given.settings)

    magics._desk = SimpleNamespace(ask=at_the_desk)
    shell = SimpleNamespace(run_cell_magic=lambda _name, line, body: magics.flowgpt(line, body))
    code = manager.transform_cell(source).replace("from flowgpt_magic import Conversation", "")
    exec(code, {"get_ipython": lambda: shell, "Conversation": Noted})
    ((prompt, how),) = asked
    return prompt, how


class TestNotebooks:
    @settings(max_examples=40)
    @given(name=TEXT, system=TEXT, turns=st.lists(TURNS, max_size=3))
    def test_it_is_a_valid_notebook(self, folder, name, system, turns):
        path = write(folder / "valid.ipynb", name, system, turns, overwrite=True)

        book = nbformat.read(path, as_version=nbformat.NO_CONVERT)

        nbformat.validate(book)
        assert (book.nbformat, book.nbformat_minor) == (4, 5)
        assert len(book.cells) == 2 + len(turns)

    def test_it_has_a_title_the_extension_and_a_cell_for_each_turn(self, tmp_path):
        turns = [turn_of("What is a list?", "A <b>list</b>", usage=Usage(3, 4, "stop", 0.1, 1.25, 2), turn_id="t")]

        book = nbformat.read(write(tmp_path / "a.ipynb", "my_talk", "Don't shout.", turns), as_version=4)

        assert [cell.source for cell in book.cells] == [
            r"# my\_talk",
            '%load_ext flowgpt_magic\n%flowgpt system "Don\'t shout."',
            '%%flowgpt echo:words --system ""\nWhat is a list?',
        ]
        (output,) = book.cells[2].outputs
        assert output.data["text/plain"] == "A <b>list</b>"
        assert output.data["text/markdown"] == "A &lt;b>list&lt;/b>\n\n*echo:words · 1.2 s*"
        facts = output.metadata["flowgpt"]
        assert (facts["turn_id"], facts["status"], facts["seconds"], facts["chunks"]) == ("t", "complete", 1.25, 2)

    @settings(max_examples=150)
    @given(turn=TURNS, system=TEXT)
    @example(turn=turn_of(">>> 1"), system="")
    def test_a_cell_asks_what_the_turn_asked(self, turn, system):
        if not turn.prompt.strip():
            turn = replace(turn, prompt="x" + turn.prompt)

        prompt, how = asked_when_run(files._source(files._exported(turn), system))

        assert prompt == turn.prompt
        assert how.get("model", "") == ":".join(filter(None, [turn.provider, turn.model]))
        assert how.get("system", system) == turn.system

    @pytest.mark.parametrize("prompt", [text for text in AWKWARD if text.strip()])
    def test_a_cell_asks_every_awkward_prompt(self, prompt):
        asked = asked_when_run(files._source(TranscriptTurn(prompt, provider="echo", model="words"), ""))

        assert asked == (prompt, {"model": "echo:words"})

    @pytest.mark.parametrize(
        ("prompt", "source"),
        [
            ("-m other", "%%flowgpt echo:words\n-m other"),
            ("first\n\nsecond", "%%flowgpt echo:words\nfirst\n\nsecond"),
            (">>> 1\n2", "%%flowgpt echo:words -- >>> 1\n2"),
            ("... and?", "%%flowgpt echo:words -- ... and?\n"),
            ("\nhi", files._CALL + "\n    '\\n'\n    'hi',\n    model='echo:words',\n)"),
        ],
    )
    def test_a_cell_is_a_magic_where_a_magic_asks_the_same(self, prompt, source):
        assert files._source(TranscriptTurn(prompt, provider="echo", model="words"), "") == source

    @given(system=TEXT)
    def test_the_system_prompt_reaches_the_conversation(self, system):
        manager = TransformerManager()
        manager.cleanup_transforms.extend(TRANSFORMERS)
        lines: list[str] = []
        shell = SimpleNamespace(run_line_magic=lambda _name, line: lines.append(line))
        exec(manager.transform_cell("\n".join(["pass", *files._system_lines(system)])), {"get_ipython": lambda: shell})

        assert lines == ([f'system "{system}"'] if system else [])

    def test_run_from_the_top_it_asks_the_same_again(self, tmp_path, monkeypatch):
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
        assert end.data["text/plain"] == plain("\n".join([*lines, "user: the end"]))
        assert short.data["text/plain"].startswith("system: Be brief.\nuser: ")

        nbformat.write(book, path)
        again = read(path)
        assert [turn.prompt for turn in again.turns] == [turn.prompt for turn in turns]
        assert [turn.text for turn in again.turns[:-2]] == [plain(prompt) for prompt in prompts]
        assert {turn.status for turn in again.turns} == {"complete"}

    def test_any_notebook_with_our_cells_is_read(self, tmp_path):
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

    def test_a_prompt_that_was_edited_in_the_notebook_is_read_as_it_is_now(self, tmp_path):
        path = write(tmp_path / "a.ipynb", "main", "", [turn_of("one"), turn_of("\ntwo")])
        book = nbformat.read(path, as_version=4)
        for cell in book.cells[2:]:
            cell.source = cell.source.replace("one", "uno").replace("two", "due")
        nbformat.write(book, path)

        assert [turn.prompt for turn in read(path).turns] == ["uno", "\ndue"]

    @given(word=TEXT)
    def test_an_option_is_read_as_it_was_written(self, word):
        (written,) = files._options({"system": word})
        if word.isprintable():
            assert magic_line.read_line(written, lambda _word: False).options == {"system": word}


def test_importing_it_loads_no_library():
    code = (
        "import sys, flowgpt_magic.transcripts.files\n"
        "print({'IPython', 'markdown_it', 'nbformat', 'sqlite3'} & set(sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


class TestAPage:
    def test_it_has_what_was_said_and_nothing_in_it_runs_or_fetches(self, tmp_path):
        turns = [
            turn_of(f"prompt <b>{number}</b>", payload) for number, payload in enumerate(xss_payloads.NAMED.values())
        ]

        page = write(tmp_path / "talk.html", "talk", "Be brief.", turns).read_text("utf-8")

        assert "prompt &lt;b&gt;0&lt;/b&gt;" in page
        assert len(turns) >= 150
        assert not re.search(r"<(script|iframe|object|embed|img|form|link|base|svg|video|audio)\b", page, re.IGNORECASE)
        assert not re.search(r"<[a-z][^>]*\s(on\w+|srcset|style)\s*=", page.partition("<body>")[2], re.IGNORECASE)
        assert not re.search(r"<[a-z][^>]*href=\"?\s*(javascript|data|vbscript):", page, re.IGNORECASE)

    def test_it_is_not_read_back_and_says_what_is(self, tmp_path):
        path = write(tmp_path / "talk.html", "talk", "", [turn_of()])

        with pytest.raises(TranscriptError, match="a page is not read back"):
            read(path)
