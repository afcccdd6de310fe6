"""Tab completion in IPython releases before 8.6, which have no matcher API.

Such a release asks the hooks of ``complete_command`` and is answered a list of words. It tells them the line that the
cursor is in. The whole cell is known from the request that a kernel answers just now.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

HOOK = "complete_command"
EVERY_LINE = re.compile("(?#flowgpt_magic)")  # matches each line; by its text the entry is found again

Matcher = Callable[[Any], dict[str, Any]]  # takes a ``Cell``, as one of the newer API takes its context


@dataclass(frozen=True)
class Cell:
    """What a matcher is told: the text of a cell, and where the cursor is in it."""

    full_text: str
    cursor_line: int
    cursor_position: int


def put_hook(shell: Any, matcher: Matcher) -> None:
    """Let ``matcher`` answer."""

    def answer(shell: Any, event: SimpleNamespace) -> list[str]:
        return words(matcher, cell_of(event, _request(shell)), event.symbol)

    shell.set_hook(HOOK, answer, re_key=EVERY_LINE.pattern)


def take_hook(shell: Any) -> None:
    """Take it back; nothing happens where there is none."""
    shell.strdispatchers[HOOK].regexs.pop(EVERY_LINE, None)


def words(matcher: Matcher, cell: Cell, typed: str) -> list[str]:
    """What could stand in the place of ``typed``, which is what IPython takes for the word before the cursor.

    IPython cuts words at other characters than the matcher does: the beginnings are made equal.
    """
    found = matcher(cell)
    fragment = str(found.get("matched_fragment", ""))
    if typed.endswith(fragment):
        return [typed[: len(typed) - len(fragment)] + item.text for item in found["completions"]]
    if fragment.endswith(typed):
        return [item.text[len(fragment) - len(typed) :] for item in found["completions"]]
    return []


def cell_of(event: SimpleNamespace, request: dict[str, Any]) -> Cell:
    """The cell that ``event`` is about: that of the ``request`` if its line is the same, else the line alone."""
    content = request.get("content", {})
    code, cursor = content.get("code"), content.get("cursor_pos")
    if isinstance(code, str) and isinstance(cursor, int):
        before = code[:cursor].split("\n")
        if before[-1] == event.text_until_cursor:
            return Cell(code, len(before) - 1, len(before[-1]))
    return Cell(event.line, 0, len(event.text_until_cursor))


def _request(shell: Any) -> dict[str, Any]:
    request = shell.get_parent() if hasattr(shell, "kernel") else {}
    ours = isinstance(request, dict) and request.get("header", {}).get("msg_type") == "complete_request"
    return request if ours else {}
