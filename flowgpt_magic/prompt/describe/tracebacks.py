"""Describe exceptions: their causes, and the lines of the user's code in their tracebacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowgpt_magic.prompt.describe.budget import (
    CELL_LENGTH,
    SHORTENED,
    Description,
    Inspection,
    amount,
    call_with_timeout,
    omitted_of,
    type_name,
)
from flowgpt_magic.redaction import redact_environment
from flowgpt_magic.text import short_path

if TYPE_CHECKING:
    from types import TracebackType

MAX_CAUSES = 6  # errors of a chain that are shown


def exception(value: object, inspection: Inspection) -> Description | None:
    """Describe an exception with its causes and the user's lines."""
    if not isinstance(value, BaseException):
        return None
    chain, room = _causes(value), inspection.room
    texts, hidden, frames = [], 0, 0
    for number, (intro, error) in enumerate(chain):
        share = room if number == len(chain) - 1 else room // 2
        text, shown, total = _one_error(error, share - len(intro), inspection)
        texts.append(f"{intro}{text}")
        room -= len(texts[-1]) + 2
        hidden, frames = hidden + total - shown, frames + total
    omitted = omitted_of(frames - hidden, frames, "frame") + (SHORTENED if inspection.shortened else ())
    return Description(type_name(value), "\n\n".join(texts), "", omitted)


def _causes(error: BaseException) -> list[tuple[str, BaseException]]:
    """The error, its causes and the errors in its groups, each once, with a line that says which it is."""
    import builtins

    chain = [("", error)]
    for _intro, link in chain:  # the loop appends to it
        context = None if link.__suppress_context__ else link.__context__
        inner: Any = link.exceptions if isinstance(link, getattr(builtins, "BaseExceptionGroup", ())) else ()  # type: ignore[attr-defined]
        candidates = [("It was caused by:\n", link.__cause__), ("It was raised while this was handled:\n", context)]
        candidates += [("One of its errors:\n", other) for other in inner]
        for intro, other in candidates:
            if other is not None and len(chain) < MAX_CAUSES and all(other is not known for _, known in chain):
                chain.append((intro, other))
    return chain


def _one_error(error: BaseException, room: int, inspection: Inspection) -> tuple[str, int, int]:
    """The text of one error, the number of its frames in that text, and of all its frames. The last frames win."""
    from traceback import format_exception_only

    message = str(
        call_with_timeout(error, lambda: "".join(format_exception_only(type(error), error)), "message", inspection)
    ).rstrip()
    message = redact_environment(message) if inspection.masked else message
    if len(message) > max(room, CELL_LENGTH):
        message, inspection.shortened = f"{message[: max(room, CELL_LENGTH) - 1]}…", True
    frames, shown = list(_frames(error.__traceback__)), 0
    room -= len(message) + 24
    while shown < len(frames) and room > len(frames[-1 - shown]):
        shown += 1
        room -= len(frames[-shown]) + 1
    more = [f"… {amount(len(frames) - shown, 'frame')} before"] if shown < len(frames) else []
    return "\n".join([*more, *frames[len(frames) - shown :], message]), shown, len(frames)


def _frames(trace: TracebackType | None) -> Iterator[str]:
    """The user's frames with their lines, and the last library frame between or after them."""
    import linecache
    from traceback import walk_tb

    library, begun = "", False
    for frame, number in walk_tb(trace):
        path, where = frame.f_code.co_filename, f"line {number}, in {frame.f_code.co_name}"
        if inside := _in_library(path):
            library = f"{inside}, {where}"
            continue
        if library and begun:
            yield f"(library) {library}"
        library, begun = "", True
        lines = linecache.getlines(path, frame.f_globals)
        rows = range(max(1, number - 2), min(len(lines), number + 1) + 1)
        code = [f"{'→' if row == number else ' '}{row:>5} {lines[row - 1].rstrip()[:200]}" for row in rows]
        yield "\n".join([f"{_place(path)}, {where}", *code])
    if library:
        yield f"(library) {library}"


def _in_library(path: str) -> str:
    """The path of a file within its library; empty for a file of the user."""
    from sysconfig import get_path

    for mark in ("site-packages", "dist-packages"):
        if f"{os.sep}{mark}{os.sep}" in path:
            return path.rpartition(f"{os.sep}{mark}{os.sep}")[2]
    package = str(Path(__file__).parents[2])
    for folder in (get_path("stdlib"), get_path("platstdlib"), package):
        if path.startswith(folder + os.sep):
            return path[len(folder) + 1 :]
    compiled = not os.path.isabs(path) and not path.startswith("<")
    return path if compiled or path.startswith("<frozen") else ""


def _place(path: str) -> str:
    if path.startswith("<ipython-input-"):
        return f"cell {path.split('-')[2]}"
    return "a notebook cell" if f"{os.sep}ipykernel_" in path else short_path(path)
