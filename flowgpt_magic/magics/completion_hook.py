"""Tab completion in IPython before 8.6, which has no matcher API.

Its matchers of magic arguments are asked first; if one answers, no other completions are offered. A matcher gets only
the line of the cursor. The whole cell comes from the completion request of the kernel, or from the terminal's editor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Matcher = Callable[[Any], dict[str, Any]]  # takes a ``CellContext``; same result as in the matcher API


@dataclass(frozen=True)
class CellContext:
    """The text of a cell and the position of the cursor."""

    full_text: str
    cursor_line: int
    cursor_position: int


class CompletionHook:
    """The matcher that IPython calls with the line of the cursor."""

    def __init__(self, shell: Any, matcher: Matcher) -> None:
        self._shell = shell
        self._matcher = matcher
        self.__qualname__ = "flowgpt_magic"  # IPython shows it as the origin of a completion

    def __call__(self, line: str) -> list[str]:
        completer = self._shell.Completer
        before = completer.text_until_cursor
        typed = completer.splitter.split_line(line, len(before))
        return completions(self._matcher, cell_context(line, before, *_edited(self._shell)), typed)


def install_hook(shell: Any, matcher: Matcher) -> None:
    """Ask ``matcher`` before all others."""
    shell.Completer.magic_arg_matchers.insert(0, CompletionHook(shell, matcher))


def remove_hook(shell: Any) -> None:
    """Remove the hook; no effect if there is none."""
    matchers = shell.Completer.magic_arg_matchers
    matchers[:] = [matcher for matcher in matchers if not isinstance(matcher, CompletionHook)]


def completions(matcher: Matcher, cell: CellContext, typed: str) -> list[str]:
    """The completions of ``typed``, the word before the cursor as IPython splits it.

    The matcher splits words at other characters, so the beginnings are adjusted. If nothing matches and no other
    matcher may answer, the result is ``typed`` itself: after an empty one, IPython asks its other matchers.
    """
    result = matcher(cell)
    fragment = str(result.get("matched_fragment", ""))
    items = [item.text for item in result["completions"]]
    if typed.endswith(fragment):
        offered = [typed[: len(typed) - len(fragment)] + text for text in items]
    elif fragment.endswith(typed):
        offered = [text[len(fragment) - len(typed) :] for text in items]
    else:
        offered = []
    return offered or ([typed] if result.get("suppress") else [])


def cell_context(line: str, before: str, code: object = None, cursor: object = None) -> CellContext:
    """The cell that contains ``line``; ``before`` is the part of the line before the cursor.

    This is ``code`` if its line at ``cursor`` matches, else the line alone.
    """
    if isinstance(code, str) and isinstance(cursor, int):
        lines = code[:cursor].split("\n")
        if lines[-1] == before:
            return CellContext(code, len(lines) - 1, len(before))
    return CellContext(line, 0, len(before))


def _edited(shell: Any) -> tuple[object, object]:
    """The code that is being completed and the offset of the cursor; None if unknown."""
    if hasattr(shell, "kernel"):
        request = shell.get_parent()
        ours = isinstance(request, dict) and request.get("header", {}).get("msg_type") == "complete_request"
        content = request.get("content", {}) if ours else {}
        return content.get("code"), content.get("cursor_pos")
    buffer = getattr(getattr(shell, "pt_app", None), "default_buffer", None)  # the terminal's editor
    return getattr(buffer, "text", None), getattr(buffer, "cursor_position", None)
