"""Completion in IPython releases without a matcher API."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flowgpt_magic.completion.names import Candidate
from flowgpt_magic.magics.completion_hook import CellContext, cell_context, completions, install_hook, remove_hook


def answering(fragment: str, *texts: str, suppress: bool = False) -> Any:
    completions = [Candidate(text) for text in texts]
    return lambda _cell: {"matched_fragment": fragment, "completions": completions, "suppress": suppress}


class Shell:
    """The part of IPython's shell that completes the arguments of magics, with the request that a kernel answers."""

    def __init__(self, request: Any = None) -> None:
        self.kernel = None
        self.request = request
        splitter = SimpleNamespace(split_line=lambda line, cursor: line[:cursor].rpartition(" ")[2])
        self.Completer = SimpleNamespace(magic_arg_matchers=[], splitter=splitter, text_until_cursor="")

    def get_parent(self) -> Any:
        return self.request

    def complete(self, line: str) -> list[str]:
        self.Completer.text_until_cursor = line
        return next(filter(None, (matcher(line) for matcher in self.Completer.magic_arg_matchers)), [])


@pytest.mark.parametrize(
    ("typed", "fragment", "item", "word"),
    [
        ("un", "un", "undo", "undo"),
        ("w", "echo:w", "echo:words", "words"),
        ("frame.pri", "pri", "price", "frame.price"),
        ("", "", "undo", "undo"),
    ],
)
def test_a_word_begins_as_ipython_cuts_it(typed, fragment, item, word):
    assert completions(answering(fragment, item), CellContext("", 0, 0), typed) == [word]


def test_where_the_beginnings_have_nothing_in_common_nothing_is_offered():
    assert completions(answering("ab", "abc"), CellContext("", 0, 0), "xy") == []
    assert completions(lambda _cell: {"completions": [], "suppress": False}, CellContext("", 0, 0), "xy") == []


@pytest.mark.parametrize("typed", ["prin", ""])
def test_where_nothing_fits_what_was_typed_keeps_the_others_away(typed):
    assert completions(answering(typed, suppress=True), CellContext("", 0, 0), typed) == [typed]


def test_the_whole_cell_is_that_of_the_request_and_else_it_is_the_line():
    code = "%%flowgpt\n🙂 {na"

    assert cell_context("🙂 {na", "🙂 {na", f"{code}me}}", len(code)) == CellContext(f"{code}me}}", 1, 5)
    assert cell_context("%flowgpt un", "%flowgpt un", f"{code}me}}", len(code)) == CellContext("%flowgpt un", 0, 11)
    assert cell_context("%flowgpt un", "%flowgpt un", None, None) == CellContext("%flowgpt un", 0, 11)


def asked(code: str, kind: str = "complete_request") -> dict[str, Any]:
    return {"header": {"msg_type": kind}, "content": {"code": code, "cursor_pos": len(code)}}


def seen_by(shell: Any) -> list[CellContext]:
    seen: list[CellContext] = []
    install_hook(shell, lambda cell: seen.append(cell) or {"completions": []})
    shell.complete("x = 1")
    return seen


def test_a_kernel_is_told_the_cell_by_the_request_for_a_completion():
    assert seen_by(Shell(asked("%%flowgpt\nx = 1"))) == [CellContext("%%flowgpt\nx = 1", 1, 5)]


@pytest.mark.parametrize("request_", [None, asked("%%flowgpt\nx = 1", "execute_request")])
def test_a_request_that_asks_for_no_completion_is_not_read(request_):
    assert seen_by(Shell(request_)) == [CellContext("x = 1", 0, 5)]


def test_a_terminal_is_told_the_cell_by_what_is_being_edited():
    shell = Shell()
    del shell.kernel
    assert seen_by(shell) == [CellContext("x = 1", 0, 5)]  # the simple prompt has no editor

    remove_hook(shell)
    shell.pt_app = SimpleNamespace(default_buffer=SimpleNamespace(text="%%flowgpt\nx = 1", cursor_position=15))
    assert seen_by(shell) == [CellContext("%%flowgpt\nx = 1", 1, 5)]


def test_the_hook_can_be_taken_back_and_others_stay():
    shell = Shell()
    shell.Completer.magic_arg_matchers.append(lambda _line: ["other"])
    install_hook(shell, answering("un", "undo"))
    assert shell.complete("%flowgpt un") == ["undo"]

    remove_hook(shell)
    remove_hook(shell)

    assert shell.complete("%flowgpt un") == ["other"]
