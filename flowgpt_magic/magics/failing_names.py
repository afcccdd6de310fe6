"""The variables in the lines where an error occurred: what they are, and which cells made them."""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import isroutine
from types import FrameType, ModuleType
from typing import Any

from flowgpt_magic.magics.failed_cells import TIMED, CellCode, cells_so_far, frames_of
from flowgpt_magic.prompt.describe.code import is_cell

MAX_NAMES = 8
MAX_CELLS = 4  # that made the variables
SIMPLE = (str, bytes, int, float, complex, bool, type(None))
_IPYTHON = re.compile(r"_+i*|_i?[0-9]+|In|Out|get_ipython|exit|quit")
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class FailingName:
    """A variable in a line that failed. ``names`` are all names of this value there, such as that of an argument."""

    names: tuple[str, ...]
    value: object

    @property
    def is_code(self) -> bool:
        """Is it a function or a class? Its cell says what it is."""
        return isinstance(self.value, type) or isroutine(self.value)


def failing_names(error: BaseException) -> list[FailingName]:
    """The variables in the lines of cells that an error passed through, the innermost line first.

    Modules are left out, and functions and classes of modules.
    """
    values: dict[str, object] = {}
    trees: dict[str, ast.Module | None] = {}
    lines = set()
    for frame, line in reversed(list(frames_of(error))):
        if (frame.f_code, line) in lines:  # a function that calls itself: its innermost call counts
            continue
        lines.add((frame.f_code, line))
        for name in _names(frame, line, trees):
            value = _value(name, frame)
            if value is not _MISSING and not _is_library(value):
                values.setdefault(name, value)
    return _merged(values)[:MAX_NAMES]


_MISSING = object()


def _is_library(value: object) -> bool:
    is_code = isinstance(value, type) or isroutine(value)
    return isinstance(value, ModuleType) or (is_code and getattr(value, "__module__", "") != "__main__")


def _merged(values: Mapping[str, object]) -> list[FailingName]:
    """The variables with those of the same object together."""
    merged: list[FailingName] = []
    for name, value in values.items():
        same = [place for place, other in enumerate(merged) if other.value is value and not isinstance(value, SIMPLE)]
        if same:
            merged[same[0]] = FailingName((*merged[same[0]].names, name), value)
        else:
            merged.append(FailingName((name,), value))
    return merged


def _names(frame: FrameType, line: int, trees: dict[str, ast.Module | None]) -> list[str]:
    """The names in a line, such as ``frame`` or ``self.frame``. ``trees`` keeps the parsed cells by their files."""
    file = frame.f_code.co_filename
    if file in TIMED:
        return [name for name in frame.f_code.co_names if not _IPYTHON.fullmatch(name)]
    if not is_cell(file):
        return []
    if file not in trees:
        trees[file] = _parsed("".join(linecache.getlines(file)))
    tree = trees[file]
    if tree is None:
        return []
    names = dict.fromkeys(name for part in _at(tree, line) for name in _names_in(part))
    return [name for name in names if not _IPYTHON.fullmatch(name)]


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # it has changed since
        return None


def _at(tree: ast.Module, line: int) -> list[ast.AST]:
    """The innermost statement at a line; of a compound statement, such as a loop, its head."""
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    around = [node for node in statements if node.lineno <= line <= (node.end_lineno or node.lineno)]
    if not around:
        return []
    innermost = max(around, key=lambda node: (node.lineno, -(node.end_lineno or 0), node.col_offset))
    if not isinstance(innermost, (*_SCOPES, ast.If, ast.For, ast.While, ast.With, ast.Try)):
        return [innermost]
    fields = ((name, value) for name, value in ast.iter_fields(innermost) if name not in _BODIES)
    values = (value for _name, field in fields for value in (field if isinstance(field, list) else [field]))
    return [value for value in values if isinstance(value, ast.AST)]


def _names_in(part: ast.AST) -> Iterator[str]:
    """The names that are read, in their order; also ``self.frame``, if the object has such an attribute."""
    nodes = [node for node in ast.walk(part) if isinstance(node, (ast.Name, ast.Attribute))]
    changed = part.target if isinstance(part, ast.AugAssign) else None
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node.ctx, ast.Load) or node is changed:
            name = ast.unparse(node)
            if re.fullmatch(r"\w+(\.\w+)?", name):
                yield name


def _value(name: str, frame: FrameType) -> object:
    """The value of a name in a frame. No property is run: of an object only its own dictionary is read."""
    first, _dot, attribute = name.partition(".")
    value = frame.f_locals.get(first, frame.f_globals.get(first, _MISSING))
    if not attribute or value is _MISSING:
        return value
    own = getattr(value, "__dict__", None)
    readable = isinstance(own, dict) and not isinstance(value, (ModuleType, type)) and not attribute.startswith("_")
    return own.get(attribute, _MISSING) if readable and isinstance(own, dict) else _MISSING


def making_cells(
    variables: Sequence[FailingName], sent: Sequence[CellCode], names: Mapping[str, Any]
) -> list[CellCode]:
    """The last cells that made the variables, in their order, without those that are ``sent`` already.

    A cell that only changes a variable, as ``frame = frame.dropna()`` does, is not the last one: it needs another.
    """
    wanted = {name.partition(".")[0] for variable in variables for name in variable.names}
    cells: list[CellCode] = []
    for code, cell in reversed(cells_so_far(names)[:-1]):
        uses = _uses(code) if wanted and len(cells) < MAX_CELLS else []
        made = {name for name, _line, is_made in uses if is_made} & wanted
        if made and not any(cell.source.strip() == other.source.strip() for other in sent):
            line = max(line for name, line, is_made in uses if is_made and name in made)
            cells.insert(0, CellCode(cell.source, line, cell.label))
        wanted -= {name for name in made if not _is_read_first(name, uses)}
    return cells


def _is_read_first(name: str, uses: Sequence[tuple[str, int, bool]]) -> bool:
    """Does a cell need an earlier value of ``name`` for its own, as in ``frame = frame.dropna()``?"""
    made = min(line for other, line, is_made in uses if is_made and other == name)
    return any(other == name and line <= made for other, line, is_made in uses if not is_made)


def _uses(code: str) -> list[tuple[str, int, bool]]:
    """The names that a cell uses outside of functions and classes, with the line, and whether they are made there."""
    try:
        waiting: list[ast.AST] = [ast.parse(code)]
    except (SyntaxError, ValueError):
        return []
    uses: list[tuple[str, int, bool]] = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            uses.append((node.id, node.lineno, isinstance(node.ctx, ast.Store)))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            uses.append((node.name, node.lineno, True))
        if not isinstance(node, _SCOPES):
            waiting += ast.iter_child_nodes(node)
    return uses
