"""Tab completion in IPython releases before 8.6, which have no matcher API.

Such a release asks its matchers of magics' arguments before all others. Where one of them answers, nothing else is
offered, Jedi's names neither. They are told the line that the cursor is in. The whole cell is known from the request
that a kernel answers just now, or from what is being edited in a terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Matcher = Callable[[Any], dict[str, Any]]  # takes a ``CellContext``, as one of the newer API takes its context


@dataclass(frozen=True)
class CellContext:
    """What a matcher is told: the text of a cell, and where the cursor is in it."""

    full_text: str
    cursor_line: int
    cursor_position: int


class CompletionHook:
    """What IPython calls with the line that the cursor is in."""

    def __init__(self, shell: Any, matcher: Matcher) -> None:
        self._shell = shell
        self._matcher = matcher
        self.__qualname__ = "flowgpt_magic"  # IPython notes by it where a word comes from

    def __call__(self, line: str) -> list[str]:
        completer = self._shell.Completer
        before = completer.text_until_cursor
        typed = completer.splitter.split_line(line, len(before))
        return completions(self._matcher, cell_context(line, before, *_edited(self._shell)), typed)


def install_hook(shell: Any, matcher: Matcher) -> None:
    """Let ``matcher`` answer."""
    shell.Completer.magic_arg_matchers.insert(0, CompletionHook(shell, matcher))


def remove_hook(shell: Any) -> None:
    """Take it back; nothing happens where there is none."""
    matchers = shell.Completer.magic_arg_matchers
    matchers[:] = [each for each in matchers if not isinstance(each, CompletionHook)]


def completions(matcher: Matcher, cell: CellContext, typed: str) -> list[str]:
    """What could stand in the place of ``typed``, which is what IPython takes for the word before the cursor.

    IPython cuts words at other characters than the matcher does: the beginnings are made equal. Where nothing fits, and
    nobody else is to be asked, ``typed`` itself is the answer: without one IPython would ask its other matchers.
    """
    found = matcher(cell)
    fragment = str(found.get("matched_fragment", ""))
    items = [item.text for item in found["completions"]]
    if typed.endswith(fragment):
        offered = [typed[: len(typed) - len(fragment)] + text for text in items]
    elif fragment.endswith(typed):
        offered = [text[len(fragment) - len(typed) :] for text in items]
    else:
        offered = []
    return offered or ([typed] if found.get("suppress") else [])


def cell_context(line: str, before: str, code: object = None, cursor: object = None) -> CellContext:
    """The cell with ``line`` in it, of which ``before`` is left of the cursor.

    That is ``code`` with its ``cursor`` if the line there is the same, else the line alone.
    """
    if isinstance(code, str) and isinstance(cursor, int):
        lines = code[:cursor].split("\n")
        if lines[-1] == before:
            return CellContext(code, len(lines) - 1, len(before))
    return CellContext(line, 0, len(before))


def _edited(shell: Any) -> tuple[object, object]:
    """The code that is being completed, and the place of the cursor; None for what is not known."""
    if hasattr(shell, "kernel"):
        request = shell.get_parent()
        ours = isinstance(request, dict) and request.get("header", {}).get("msg_type") == "complete_request"
        content = request.get("content", {}) if ours else {}
        return content.get("code"), content.get("cursor_pos")
    buffer = getattr(getattr(shell, "pt_app", None), "default_buffer", None)  # of the prompt that people have
    return getattr(buffer, "text", None), getattr(buffer, "cursor_position", None)
