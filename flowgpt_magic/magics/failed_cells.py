"""The cells of the notebook that an error passed through, as they were typed."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from traceback import walk_tb
from types import FrameType
from typing import Any

from flowgpt_magic.prompt.describe.code import is_cell
from flowgpt_magic.redaction import redact_environment

MAX_SENT_CAUSES = 6  # errors of a chain whose cells are sent
MARK_LENGTH = 60  # characters, at most, of the lines that say what an excerpt leaves out

# Code that ``%time`` runs has another file name than its cell. Older IPython catches its error, so that the cell is not
# among the frames of the traceback.
TIMED = ("<timed eval>", "<timed exec>")
_TIMES = re.compile(r"run_(?:cell|line)_magic\('time'")


@dataclass(frozen=True)
class CellCode:
    """The code of a cell, the line of interest, and a label such as `` (In[3])``."""

    source: str
    line: int = 1
    label: str = ""


def failed_cells(error: BaseException, names: Mapping[str, Any]) -> list[CellCode]:
    """The cells in the traceback of an error, each once, the outermost first; ``names`` are the user's variables."""
    places = dict(_places(error))
    cells: list[CellCode] = []
    for file, line in places.items():
        if not is_cell(file):
            continue
        cell = _as_typed("".join(linecache.getlines(file)), line, names)
        if not any(cell.source.strip() in other.source for other in cells):  # a magic may run a part of its cell
            cells.append(cell)
    if any(file in TIMED for file in places) and not any("%time" in cell.source for cell in cells):
        cells[:0] = _timed(error, names)
    return cells


def _timed(error: BaseException, names: Mapping[str, Any]) -> list[CellCode]:
    """The last cell with ``%time`` that contains all names of the code that failed."""
    frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
    used, line = next((set(code.co_names), line) for code, line in frames if code.co_filename in TIMED)
    for code, cell in reversed(cells_so_far(names)[:-1]):
        if _TIMES.search(code) and used <= set(re.findall(r"\w+", cell.source)):
            magic = next(place for place, text in enumerate(cell.source.split("\n"), 1) if "%time" in text)
            return [replace(cell, line=magic + line if "%%time" in cell.source else magic)]
    return []


def causes(error: BaseException) -> list[BaseException]:
    """An error, its causes and the members of its group, as Python shows them: a limited number, each once."""
    visited: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(visited) < MAX_SENT_CAUSES:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or any(current is other for other in visited):
            continue
        visited.append(current)
        inner = getattr(current, "exceptions", ())  # of a group
        context = None if current.__suppress_context__ else current.__context__
        waiting += [current.__cause__, context, *(inner if isinstance(inner, tuple) else ())]
    return visited


def frames_of(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """The frames and lines in the tracebacks of an error and its causes."""
    for cause in causes(error):
        yield from walk_tb(cause.__traceback__)


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    """The files and lines in the tracebacks of an error and its causes."""
    for cause in causes(error):
        for frame, line in walk_tb(cause.__traceback__):
            yield frame.f_code.co_filename, line
        if isinstance(cause, SyntaxError) and cause.filename:
            yield cause.filename, cause.lineno or 1


def _as_typed(source: str, line: int, names: Mapping[str, Any]) -> CellCode:
    """The cell as it was typed; if it is not among the inputs any more, the code that IPython ran."""
    same = [cell for code, cell in cells_so_far(names) if code.rstrip() == source.rstrip()]
    return replace(same[-1], line=line) if same else CellCode(source, line)


def cells_so_far(names: Mapping[str, Any]) -> list[tuple[str, CellCode]]:
    """For each cell so far the code that Python ran and the cell as typed; the last one is the running cell."""
    inputs = names.get("In")
    codes = inputs[1:] if isinstance(inputs, list) else []
    # Counted from the end: after %reset, IPython clears the list but continues the numbers.
    last = max((int(name[2:]) for name in names if re.fullmatch("_i[0-9]+", name)), default=len(codes))
    cells = []
    for number, code in enumerate(map(str, codes), last - len(codes) + 1):
        typed = names.get(f"_i{number}")
        cell = CellCode((typed if isinstance(typed, str) else code).strip("\n"), label=f" (In[{number}])")
        cells.append((code, cell))
    return cells


def excerpt(text: str, line: int, room: int) -> str:
    """``text``, or as many lines around ``line`` as fit into ``room`` characters, and how many lines are left out."""
    if len(text) <= room:
        return text
    room = max(room - MARK_LENGTH, 0)
    lines = text.split("\n")
    first = last = min(max(line, 1), len(lines)) - 1
    used, grown = len(lines[first]), True
    while grown:
        grown = False
        for place in (first - 1, last + 1):
            if 0 <= place < len(lines) and used + len(lines[place]) + 1 <= room:
                first, last, grown = min(first, place), max(last, place), True
                used += len(lines[place]) + 1
    above = [f"# … {first} lines above"] if first else []
    below = [f"# … {len(lines) - 1 - last} lines below"] if last < len(lines) - 1 else []
    return "\n".join([*above, "\n".join(lines[first : last + 1])[:room], *below])


def block(words: str, cell: CellCode, room: int) -> str:
    """``words`` and a cell in a code block whose fence is longer than any backticks in the cell; secrets are masked."""
    source = redact_environment(cell.source)
    fence = "`" * (max((len(run) for run in re.findall(r"`{3,}", source)), default=2) + 1)
    return f"{words}{cell.label}:\n\n{fence}python\n{excerpt(source, cell.line, room)}\n{fence}"
