"""A conversation goes into a file and comes back as it was; other files are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.messages import Sent, Turn
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.transcripts import notebook
from flowgpt_magic.transcripts.files import read, write
from flowgpt_magic.transcripts.transcript import (
    HEADER,
    Transcript,
    TranscriptError,
    TranscriptTurn,
    as_turns,
)
from tests.transcripts.turns import AWKWARD, ENDINGS, FIXED, TEXT, TURNS, facts_of, turn_of


def there_and_back(folder: Path, ending: str, *turns: Turn, name: str = "main", system: str = "") -> Transcript:
    return read(write(folder / f"file{ending}", name, system, turns, overwrite=True, addresses=True, reasoning=True))


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


class TestFiles:
    def test_an_ending_that_is_none_of_ours_is_refused(self, tmp_path):
        for name in ("a.txt", "a", ".md"):
            with pytest.raises(TranscriptError, match=r"must end in \.md, \.json, \.ipynb or \.html"):
                write(tmp_path / name, "main", "", [])
            with pytest.raises(TranscriptError, match=r"must end in \.md, \.json, \.ipynb or \.html"):
                read(tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_an_ending_may_be_written_in_capitals(self, tmp_path):
        assert read(write(tmp_path / "A.JSON", "main", "", [])).name == "main"

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_file_is_overwritten_only_when_asked_for(self, tmp_path, ending):
        path = write(tmp_path / f"a{ending}", "first", "", [])

        with pytest.raises(TranscriptError, match=r"already exists: %flowgpt export .* --overwrite replaces it"):
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
        with pytest.raises(TranscriptError, match=r"there is no folder .*missing: create it first"):
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

        content = write(tmp_path / f"a{ending}", "main", "", [turn], addresses=True).read_text("utf-8")

        assert "***@x.org" in content
        for secret in ("very-secret", "hidden", "kernel-of-mine"):
            assert secret not in content


class TestRefused:
    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"\xff\xfe\x00", "it is not UTF-8 text"),
            (b"", "it is not JSON|is not an export"),
            (b"# A page\n\nof somebody else", "it is not JSON|is not an export"),
            (b'{"format": "of somebody else", "turns": []}', "is not an export|no notebook of format 4"),
            (b"[]", "is not an export|no notebook of format 4"),
            (b"[" * 100_000, "it is nested too deeply|it is not JSON|is not an export"),
            (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read|is not an export"),
            (b'{"cells": [], "nbformat": 4}', "is not an export|no cell in it begins with %%flowgpt"),
            (b'{"cells": [], "worksheets": [], "nbformat": 3}', "is not an export|no notebook of format 4"),
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
        monkeypatch.setitem(HEADER, "version", 2)
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
        path.write_text(json.dumps({**HEADER, "turns": turns}))

        with pytest.raises(
            TranscriptError, match=r"cannot be read: (its turns cannot|.* is no object|it has no prompt)"
        ):
            read(path)

    def test_a_file_without_turns_is_refused(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps(HEADER))

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
                    inner | st.sampled_from(["code", "%%flowgpt -x\nhi", notebook._CALL]),
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
        path.write_text(json.dumps({**HEADER, "mood": "good", "turns": [{"prompt": "hi", "colour": "red"}]}))
        os.utime(path, (5, 5))

        assert read(path) == Transcript("short", "", (TranscriptTurn("hi", started=5.0),))


def test_importing_it_loads_no_library():
    code = (
        "import sys, flowgpt_magic.transcripts.files\n"
        "print({'IPython', 'markdown_it', 'nbformat', 'sqlite3'} & set(sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


SERVER = "https://gate.example:8000/v1"
ASKED = turn_of(
    prompt="what is at http://mine.example:1/?",
    text="see http://cited.example/",
    status="failed",
    provider="openai_compatible",
    parameters={"openai_base_url": SERVER, "openai_key": "GATE_KEY", "extra_headers": {"X-A": "$GATE_KEY"}, "top_p": 1},
    error="ProviderStatusError: gate.example:8000 refused the connection: set GATE_KEY",
    notices=("gate.example:8000 sent an empty reply", "asked again after no connection to gate.example:8000"),
    sent=Sent(("prompt",), unsent=("picture not sent: gate.example:8000 reads text",)),
)


@pytest.mark.parametrize("ending", [*ENDINGS, ".html"])
def test_an_export_names_no_server_and_no_variable_of_a_key_unless_asked(tmp_path, ending):
    bare, whole = tmp_path / f"bare{ending}", tmp_path / f"whole{ending}"

    write(bare, "main", "Be brief.", [ASKED])
    write(whole, "main", "Be brief.", [ASKED], addresses=True)

    text = bare.read_text("utf-8")
    assert not [word for word in ("gate.example", "GATE_KEY", "openai_key", "base_url") if word in text]
    assert "the server refused the connection: set a key" in text
    assert "http://mine.example:1/" in text
    assert "http://cited.example/" in text
    assert "gate.example" in whole.read_text("utf-8")
    if ending != ".html":
        (turn,) = read(bare).turns
        assert (turn.prompt, turn.text, dict(turn.parameters)) == (ASKED.prompt, ASKED.text, {"top_p": 1})
        assert dict(read(whole).turns[0].parameters)["openai_base_url"] == SERVER


@pytest.mark.parametrize("ending", [*ENDINGS, ".html"])
def test_a_file_has_the_reasoning_only_if_that_is_asked_for(tmp_path, ending):
    parts = ({"type": "thinking", "thinking": "secretly", "signature": "s1gn"},)
    turn = turn_of(extras=Extras(reasoning="I wonder\n\n**why**", request_id="r-1", reasoning_parts=parts))

    without = write(tmp_path / f"without{ending}", "main", "", [turn]).read_text("utf-8")
    path = write(tmp_path / f"with{ending}", "main", "", [turn], reasoning=True)

    assert not [word for word in ("wonder", "secretly", "s1gn") if word in without]
    assert "r-1" in without or ending == ".html"
    assert "wonder" in path.read_text("utf-8")
    if ending != ".html":
        assert facts_of(read(path).turns[0]) == facts_of(turn)
    if ending in (".md", ".html"):
        folded = '<small>Thought</small></summary><div dir="auto"'
        assert folded in path.read_text("utf-8")
