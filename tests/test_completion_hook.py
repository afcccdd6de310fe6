"""Completion in IPython releases without a matcher API."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from flowgpt_magic import completion_hook
from flowgpt_magic.completion_hook import Cell, cell_of, put_hook, take_hook, words
from flowgpt_magic.completion_names import Item


def event(line: str, symbol: str = "") -> SimpleNamespace:
    """What IPython tells a hook: the line, with the cursor at its end, and the word there."""
    return SimpleNamespace(line=line, text_until_cursor=line, symbol=symbol)


def answering(fragment: str, *texts: str) -> Any:
    return lambda _cell: {"matched_fragment": fragment, "completions": [Item(text) for text in texts]}


class Shell:
    """The part of IPython's shell that keeps hooks, with the request that a kernel answers."""

    kernel = None

    def __init__(self, request: Any = None) -> None:
        self.request = request
        self.strdispatchers = {completion_hook.HOOK: SimpleNamespace(regexs={})}

    def get_parent(self) -> Any:
        return self.request

    def set_hook(self, name: str, hook: Any, re_key: str) -> None:
        self.strdispatchers[name].regexs[re.compile(re_key)] = hook

    def complete(self, line: str, symbol: str) -> list[str]:
        hooks = self.strdispatchers[completion_hook.HOOK].regexs
        return [word for key, hook in hooks.items() if key.match(line) for word in hook(self, event(line, symbol))]


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
    assert words(answering(fragment, item), Cell("", 0, 0), typed) == [word]


def test_where_the_beginnings_have_nothing_in_common_nothing_is_offered():
    assert words(answering("ab", "abc"), Cell("", 0, 0), "xy") == []
    assert words(lambda _cell: {"completions": [], "suppress": False}, Cell("", 0, 0), "xy") == []


def test_the_whole_cell_is_that_of_the_request_and_else_it_is_the_line():
    code = "%%flowgpt\n🙂 {na"
    asked = {"content": {"code": f"{code}me}}", "cursor_pos": len(code)}}

    assert cell_of(event("🙂 {na"), asked) == Cell(f"{code}me}}", 1, 5)
    assert cell_of(event("%flowgpt un"), asked) == Cell("%flowgpt un", 0, 11)
    assert cell_of(event("%flowgpt un"), {}) == Cell("%flowgpt un", 0, 11)


@pytest.mark.parametrize("request_", [None, {"header": {"msg_type": "execute_request"}, "content": {"code": "x = 1"}}])
def test_a_request_that_asks_for_no_completion_is_not_read(request_):
    seen: list[Cell] = []
    shell = Shell(request_)
    put_hook(shell, lambda cell: seen.append(cell) or {"completions": []})

    shell.complete("x = 1", "")

    assert seen == [Cell("x = 1", 0, 5)]


def test_the_hook_can_be_taken_back_and_others_stay():
    shell = Shell()
    shell.set_hook(completion_hook.HOOK, lambda _shell, _event: ["other"], re_key=".*")
    put_hook(shell, answering("un", "undo"))
    assert shell.complete("%flowgpt un", "un") == ["other", "undo"]

    take_hook(shell)
    take_hook(shell)

    assert shell.complete("%flowgpt un", "un") == ["other"]
