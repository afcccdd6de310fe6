"""Describe functions, classes and modules by their source or their ``help``."""

from __future__ import annotations

import os
from contextlib import suppress
from types import ModuleType
from typing import Any

from flowgpt_magic.prompt.describe.budget import Description, Inspection, omitted_of, type_name


def lines_of(headline: str, text: str, fence: str, room: int) -> Description:
    """``text`` in a code block, up to the last line that fits."""
    text = text.strip("\n")
    beginning = text if len(text) <= room else text[: max(0, room)].rpartition("\n")[0]
    if not beginning:  # not even the first line fits
        return Description(headline, text, fence)
    return Description(headline, beginning, fence, omitted_of(beginning.count("\n") + 1, text.count("\n") + 1, "line"))


def code(value: Any, inspection: Inspection) -> Description | None:
    """Describe a function or a class by its source, or its ``help`` if there is none; a module by its names."""
    import inspect

    if isinstance(value, ModuleType):
        return _help(f"module {value.__name__} {vars(value).get('__version__', '')}".rstrip(), value, inspection.room)
    is_class = isinstance(value, type)
    if not is_class and not any(map(inspect.isroutine, (value, inspect.getattr_static(value, "__wrapped__", None)))):
        return None
    headline = f"{'class' if is_class else 'function'} {getattr(value, '__qualname__', type_name(value))}"
    if source := (_class_in_a_cell(value) if is_class else "") or _source(value):
        return lines_of(headline, source, "python", inspection.room)
    return _help(f"{headline}, source unknown", value, inspection.room)


def _source(value: Any) -> str:
    from inspect import getsource
    from textwrap import dedent

    try:
        source = dedent(getsource(value))
    except Exception:  # noqa: BLE001 - it reads and parses files and runs loaders
        return ""
    return source if not isinstance(value, type) or f"class {value.__name__}" in source else ""


def is_cell(file: str) -> bool:
    """Is ``file`` the name that IPython gave to the code of a cell?

    An entry of ``linecache`` for a file has a modification time. IPython before 8.0 sets one for cells too, but no such
    file exists.
    """
    import linecache

    entry = linecache.cache.get(file, ())
    return len(entry) == 4 and (entry[1] is None or not os.path.exists(file))


def _class_in_a_cell(kind: type) -> str:
    """The source of a class defined in a notebook. Before Python 3.13 a class does not know its file."""
    import ast
    import linecache

    if kind.__module__ != "__main__":
        return ""
    own = {getattr(getattr(member, "__code__", None), "co_filename", "") for member in vars(kind).values()}
    cells = [name for name in list(linecache.cache) if is_cell(name)]
    for name in [*own.intersection(cells), *reversed(cells)]:
        lines = linecache.getlines(name)
        try:
            tree = ast.parse("".join(lines) if any(kind.__name__ in line for line in lines) else "")
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno])
    return ""


def _help(headline: str, value: Any, room: int) -> Description:
    from inspect import getdoc, signature

    doc = getdoc(value) or ""
    with suppress(TypeError, ValueError):  # a module, or it is written in C
        doc = f"{signature(value)}\n{doc}"
    beginning = doc[: room * 2 // 3].rstrip()
    public: list[str] = []
    if isinstance(value, (ModuleType, type)):
        public = [str(name) for name in vars(value).get("__all__") or dir(value) if not str(name).startswith("_")]
    names = sorted(public)
    while names and len(beginning) + len(", ".join(names)) + 20 > room:
        del names[len(names) // 2 :]
    below = f"\n\nPublic names: {', '.join(names)}" if names else ""
    omitted = omitted_of(len(beginning), len(doc.rstrip()), "character") + omitted_of(len(names), len(public), "name")
    return Description(headline, f"{beginning}{below}".strip(), None, omitted)
