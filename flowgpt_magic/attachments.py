"""What values, cells and files look like to a language model, as text of a limited size.

Nothing is sent by accident: what is called like a secret is refused, or masked inside of something else, until the user
says that it is meant.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from re import findall
from types import FunctionType, MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from flowgpt_magic.attachment_kinds import (
    CELL,
    SHORTENED,
    Look,
    Shown,
    Trouble,
    amount,
    array,
    brief,
    container,
    headline,
    not_all,
    own_repr,
    python_number,
    said,
    short,
    table,
    type_name,
)
from flowgpt_magic.errors import FlowGptError, closest
from flowgpt_magic.notebook import short_path
from flowgpt_magic.plain_text import cut, one_line
from flowgpt_magic.references import look_up, names_secret, secret_file

if TYPE_CHECKING:
    from types import TracebackType

CHARACTERS = 4  # of a token, about
AROUND = 90  # characters of the lines around a body, at most
CAUSES = 6  # errors that are shown of a chain of them
FILES = 2_000  # of a folder that are looked at


class AttachmentError(FlowGptError):
    """What is to be attached is not there, is no text, or looks like a secret."""


@dataclass(frozen=True)
class Attachment:
    """Something to send along; ``cut`` says whether ``text`` leaves something out."""

    label: str
    text: str
    cut: bool


@dataclass(frozen=True)
class _Cell:
    number: int
    source: str


def describe(name: str, value: object, budget: int, *, forced: bool = False) -> str:
    """``value`` for a language model, in at most ``budget`` tokens, and a line that says what was left out.

    Values under names of secrets in it are masked, unless ``forced``. Raises ``AttachmentError`` only for the path of
    a file that cannot be sent. An object's own code is waited for, for two seconds in all.
    """
    return _described(name, value, budget, forced)[0]


def _described(name: str, value: object, budget: int, forced: bool) -> tuple[str, bool]:
    limit = max(0, budget) * CHARACTERS
    look = Look(limit - min(AROUND + len(cut(name)), limit // 2), masked=not forced)
    try:
        shown = next(shown for kind in KINDS if (shown := kind(value, look)) is not None)
    except FlowGptError:
        raise
    except Exception:  # noqa: BLE001 - an object may do anything, and a library change; a repr might have secrets
        shown = Shown("", own_repr(value, look) if headline(value) else f"<{type_name(value)} that cannot be read>")
    return _fitted(cut(name), shown, limit)


def _fitted(name: str, shown: Shown, limit: int) -> tuple[str, bool]:
    head, foot, left_out = "", "", list(shown.cut)
    if shown.headline:
        head = f"{name}: {one_line(shown.headline)}" + ("\n" if shown.body else "")
    if shown.fence is not None and shown.body:
        longest = max(map(len, findall("`{3,}", shown.body)), default=2)
        fence = "`" * (longest + 1) if longest < AROUND else "~~~~"
        head, foot = f"{head}{fence}{shown.fence}\n", f"\n{fence}"
    room = limit - len(head) - len(foot)
    text = f"{head}{shown.body[: max(0, room)]}{foot}"
    left_out += not_all(max(0, room), len(shown.body), "character")
    if room < 0:
        left_out, text = [*left_out, "the rest of this line"], text[:limit]
    return (f"{text}\n… {', '.join(left_out)} are not shown" if left_out else text), bool(left_out)


def _own_words(value: Any, look: Look) -> Shown | None:
    """What an object says for this very purpose: a text, or one by its MIME type."""
    from inspect import iscoroutine, iscoroutinefunction
    from json import dumps

    for name in ("_repr_llm_", "_ai_repr_"):
        method = None if isinstance(value, type) else getattr(type(value), name, None)
        if not callable(method) or iscoroutinefunction(method):
            continue
        found = said(value, lambda name=name: getattr(value, name)(), name, look)  # type: ignore[misc]
        if iscoroutine(found):
            found.close()
        if isinstance(found, dict):
            texts = {str(kind): each for kind, each in found.items() if isinstance(each, str)}
            best = [texts[kind] for kind in ("text/markdown", "text/plain", *texts) if kind in texts]
            data = found.get("application/json")
            found = best[0] if best else dumps(data) if data is not None else None
        if isinstance(found, str) and not isinstance(found, Trouble):
            return Shown("", found)
    return None


def _text(value: object, look: Look) -> Shown | None:
    if isinstance(value, str):
        return Shown("", str.__str__(value))
    if isinstance(value, _Cell):
        return _lines(f"In[{value.number}]", value.source, "python", look.room)
    if isinstance(value, (bytes, bytearray)):
        first = bytes(value[: max(1, look.room // 4)])
        left_out = not_all(len(first), len(value), "byte")
        return Shown(f"{type_name(value)}, {amount(len(value), 'byte')}", repr(first), "", left_out)
    return None


def _lines(headline: str, text: str, fence: str, room: int) -> Shown:
    """``text`` in a block, up to the last line that has room."""
    text = text.strip("\n")
    kept = text if len(text) <= room else text[: max(0, room)].rpartition("\n")[0]
    if not kept:  # not even the first line has room
        return Shown(headline, text, fence)
    return Shown(headline, kept, fence, not_all(kept.count("\n") + 1, text.count("\n") + 1, "line"))


def _code(value: Any, look: Look) -> Shown | None:
    """A function or a class by its source, else by what ``help`` says of it; a module by its names."""
    import inspect

    if isinstance(value, ModuleType):
        return _help(f"module {value.__name__} {vars(value).get('__version__', '')}".rstrip(), value, look.room)
    is_class = isinstance(value, type)
    if not is_class and not any(map(inspect.isroutine, (value, inspect.getattr_static(value, "__wrapped__", None)))):
        return None
    headline = f"{'class' if is_class else 'function'} {getattr(value, '__qualname__', type_name(value))}"
    if source := (_class_in_a_cell(value) if is_class else "") or _source(value):
        return _lines(headline, source, "python", look.room)
    return _help(f"{headline}, source unknown", value, look.room)


def _source(value: Any) -> str:
    from inspect import getsource
    from textwrap import dedent

    try:
        source = dedent(getsource(value))
    except Exception:  # noqa: BLE001 - it reads files, parses them and runs loaders; without a source there is the help
        return ""
    return source if not isinstance(value, type) or f"class {value.__name__}" in source else ""


def _class_in_a_cell(kind: type) -> str:
    """The source of a class that was written in a notebook; before Python 3.13 a class does not know its file."""
    import ast
    import linecache

    if kind.__module__ != "__main__":
        return ""
    own = {getattr(getattr(each, "__code__", None), "co_filename", "") for each in vars(kind).values()}
    cells = [name for name, entry in linecache.cache.items() if len(entry) == 4 and entry[1] is None]
    for name in [*own.intersection(cells), *reversed(cells)]:
        lines = linecache.getlines(name)
        try:
            tree = ast.parse("".join(lines) if any(kind.__name__ in line for line in lines) else "")
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno])
    return ""


def _help(headline: str, value: Any, room: int) -> Shown:
    from inspect import getdoc, signature

    doc = getdoc(value) or ""
    with suppress(TypeError, ValueError):  # a module, or it is written in C
        doc = f"{signature(value)}\n{doc}"
    kept = doc[: room * 2 // 3].rstrip()
    public: list[str] = []
    if isinstance(value, (ModuleType, type)):
        public = [str(name) for name in vars(value).get("__all__") or dir(value) if not str(name).startswith("_")]
    names = sorted(public)
    while names and len(kept) + len(", ".join(names)) + 20 > room:
        del names[len(names) // 2 :]
    below = f"\n\nPublic names: {', '.join(names)}" if names else ""
    left_out = not_all(len(kept), len(doc.rstrip()), "character") + not_all(len(names), len(public), "name")
    return Shown(headline, f"{kept}{below}".strip(), None, left_out)


def _error(value: object, look: Look) -> Shown | None:
    """An exception with the user's own lines, and those that led to it."""
    if not isinstance(value, BaseException):
        return None
    chain, room = _causes(value), look.room
    texts, hidden, frames = [], 0, 0
    for number, (words, each) in enumerate(chain):
        share = room if number == len(chain) - 1 else room // 2
        text, shown, there = _one_error(each, share - len(words), look)
        texts.append(f"{words}{text}")
        room -= len(texts[-1]) + 2
        hidden, frames = hidden + there - shown, frames + there
    left_out = not_all(frames - hidden, frames, "frame") + (SHORTENED if look.shortened else ())
    return Shown(type_name(value), "\n\n".join(texts), "", left_out)


def _causes(error: BaseException) -> list[tuple[str, BaseException]]:
    """The error, and those it came from or consists of, each once."""
    import builtins

    found = [("", error)]
    for _words, each in found:  # it grows
        context = None if each.__suppress_context__ else each.__context__
        inner: Any = each.exceptions if isinstance(each, getattr(builtins, "BaseExceptionGroup", ())) else ()  # type: ignore[attr-defined]
        further = [("It was caused by:\n", each.__cause__), ("It came up while this was handled:\n", context)]
        further += [("One of its errors:\n", other) for other in inner]
        for words, other in further:
            if other is not None and len(found) < CAUSES and all(other is not known for _, known in found):
                found.append((words, other))
    return found


def _one_error(error: BaseException, room: int, look: Look) -> tuple[str, int, int]:
    """The text of one error, how many of its frames that shows, and how many there are; the last come first."""
    from traceback import format_exception_only

    message = str(said(error, lambda: "".join(format_exception_only(type(error), error)), "message", look)).rstrip()
    if len(message) > max(room, CELL):
        message, look.shortened = f"{message[: max(room, CELL) - 1]}…", True
    frames, kept = list(_frames(error.__traceback__)), 0
    room -= len(message) + 24
    while kept < len(frames) and room > len(frames[-1 - kept]):
        kept += 1
        room -= len(frames[-kept]) + 1
    more = [f"… {amount(len(frames) - kept, 'frame')} before"] if kept < len(frames) else []
    return "\n".join([*more, *frames[len(frames) - kept :], message]), kept, len(frames)


def _frames(trace: TracebackType | None) -> Iterator[str]:
    """The frames of a user with their lines; of libraries' frames between and after them only the last."""
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
    """The path of a file inside of its library, "" for a file of the user's."""
    from sysconfig import get_path

    for mark in ("site-packages", "dist-packages"):
        if f"{os.sep}{mark}{os.sep}" in path:
            return path.rpartition(f"{os.sep}{mark}{os.sep}")[2]
    for folder in (get_path("stdlib"), get_path("platstdlib"), str(Path(__file__).parent.parent / "flowgpt_magic")):
        if path.startswith(folder + os.sep):
            return path[len(folder) + 1 :]
    compiled = not os.path.isabs(path) and not path.startswith("<")
    return path if compiled or path.startswith("<frozen") else ""


def _place(path: str) -> str:
    if path.startswith("<ipython-input-"):
        return f"cell {path.split('-')[2]}"
    return "a notebook cell" if f"{os.sep}ipykernel_" in path else short_path(path)


def _file(value: object, look: Look) -> Shown | None:
    """A file of text; of a folder the names that are in it."""
    if not isinstance(value, Path) or not os.path.lexists(value):
        return None
    if look.masked and secret_file(value):
        raise _refused(str(value))
    try:
        status = value.stat()
        if stat.S_ISDIR(status.st_mode):
            names = sorted(each.name for each in islice(os.scandir(value), FILES))
            return _lines(f"folder {value.name}", "\n".join(names), "", look.room)
        if not stat.S_ISREG(status.st_mode):
            raise AttachmentError(f"{value} is neither a file nor a folder")
        with value.open("rb") as file:
            data = file.read(look.room * CHARACTERS + 1)
    except OSError as error:
        raise AttachmentError(f"{value} cannot be read: {error.strerror or error}") from None
    if look.masked and b"PRIVATE KEY-----" in data:
        raise _refused(str(value))
    text, encoding = _decoded(data, value, len(data) < status.st_size)
    kept = text[: look.room]
    whole = len(kept) == len(text) and len(data) == status.st_size
    left_out = () if whole else not_all(len(kept.encode(encoding)), status.st_size, "byte")
    return Shown(f"file {value.name}, {amount(status.st_size, 'byte')}", kept.rstrip("\n"), value.suffix[1:], left_out)


def _decoded(data: bytes, path: Path, more: bool) -> tuple[str, str]:
    """The text that ``data``, the beginning of a file, is, and its encoding; ``more`` says that the file goes on."""
    from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder

    encodings = ("utf-16",) if data.startswith((BOM_UTF16_BE, BOM_UTF16_LE)) else ("utf-8-sig", "latin-1")
    for encoding in encodings:
        try:
            text = getincrementaldecoder(encoding)().decode(data, not more)
        except UnicodeDecodeError:
            continue
        if not any(char < " " and char not in "\t\n\r\f\x1b" for char in text):
            return text.replace("\r\n", "\n"), encoding
    raise AttachmentError(f"{path} is not a text file: only text can be sent along")


def _figure(value: Any, look: Look) -> Shown | None:
    """A figure or axes of matplotlib in words: titles, labels, legends, and what is plotted over which range."""
    kind: Any = getattr(sys.modules.get("matplotlib.figure"), "Figure", ())
    axes: Any = getattr(sys.modules.get("matplotlib.axes"), "Axes", ())
    if not isinstance(value, (kind, axes) if kind and axes else ()):
        return None
    each_axes = value.axes if isinstance(value, kind) else [value]
    title = cut(value.get_suptitle()) if isinstance(value, kind) and hasattr(value, "get_suptitle") else ""
    lines = [line for number, each in enumerate(each_axes, 1) for line in _axes_lines(each, number)]
    shown: list[str] = []
    while len(shown) < len(lines) and sum(map(len, shown)) + len(shown) + len(lines[len(shown)]) <= look.room:
        shown.append(lines[len(shown)])
    what = f"matplotlib figure, {len(each_axes)} axes" if isinstance(value, kind) else "matplotlib axes"
    left_out = not_all(len(shown), len(lines), "line")
    return Shown(f"{what}, {title!r}" if title else what, "\n".join(shown), None, left_out)


def _axes_lines(axes: Any, number: int) -> Iterator[str]:
    yield f"- axes {number}: {cut(axes.get_title())!r}"
    for way, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        low, high = axis.get_view_interval()
        yield f"  - {way}: {cut(axis.get_label_text())!r}, {axis.get_scale()}, {brief(low)} to {brief(high)}"
    if legend := axes.get_legend():
        yield f"  - legend: {', '.join(cut(each.get_text()) for each in legend.get_texts())}"
    for line in axes.lines:
        x, y = line.get_xdata(orig=False), line.get_ydata(orig=False)
        yield f"  - line {cut(str(line.get_label()))!r}: {amount(len(x), 'point')}, x {_extent(x)}, y {_extent(y)}"
    for bars in axes.containers:
        heights = [each.get_height() for each in bars if hasattr(each, "get_height")]
        yield f"  - bars {cut(str(bars.get_label()))!r}: {len(bars)}, heights {_extent(heights)}"
    for points in axes.collections:
        places = points.get_offsets()
        yield f"  - {type_name(points)} {cut(str(points.get_label()))!r}: {amount(len(places), 'point')}, " + (
            f"x {_extent(places[:, 0])}, y {_extent(places[:, 1])}"
        )
    for image in axes.images:
        yield f"  - image of {image.get_array().shape}, {_extent(image.get_array())}"


def _extent(numbers: Any) -> str:
    numpy: Any = sys.modules["numpy"]
    found = numpy.asarray(numbers, dtype=float)
    found = found[numpy.isfinite(found)]
    return f"{brief(found.min())} to {brief(found.max())}" if found.size else "none"


def _anything(value: object, look: Look) -> Shown:
    value = python_number(value)
    return Shown("", short(value, look.room, look) if isinstance(value, (int, float)) else own_repr(value, look))


KINDS = (_own_words, _text, _error, _file, table, array, _figure, _code, container, _anything)


def attach(
    specs: Sequence[str],
    names: Mapping[str, object],
    *,
    budget: int,
    forced: bool = False,
    cells: Sequence[str] = (),
    outputs: Mapping[int, object] = MappingProxyType({}),
    error: BaseException | None = None,
    folder: Path | None = None,
) -> list[Attachment]:
    """What ``specs`` ask for, each once, in at most ``budget`` tokens in all, and a line each that says what was cut.

    A spec is a reference such as ``frame`` or ``table["a"][0]``, ``cell:3`` or ``cell:-1``, ``out:3``, ``err``, or the
    path of a text file, from ``folder`` on. ``cells`` is IPython's ``In`` up to the cell before this one, so the first
    is no cell. A secret is sent only if ``forced`` or its spec ends in ``!``. Raises ``AttachmentError``.
    """
    sources = _Sources(names, cells, outputs, error, folder or Path())
    wanted = list(dict.fromkeys(spec.strip() for spec in specs if spec.strip()))
    found: list[Attachment] = []
    for number, spec in enumerate(wanted):
        name = spec.removesuffix("!").rstrip()
        meant = forced or name != spec
        text, was_cut = _described(name, sources.find(name, meant), budget // (len(wanted) - number), meant)
        budget = max(0, budget - -(-len(text) // CHARACTERS))
        found.append(Attachment(name, text, was_cut))
    return found


def _refused(name: str) -> AttachmentError:
    return AttachmentError(f"{name} looks like a secret, so it is not sent; if you mean it: --attach {name}!")


@dataclass(frozen=True)
class _Sources:
    """Where attachments come from."""

    names: Mapping[str, object]
    cells: Sequence[str]
    outputs: Mapping[int, object]
    error: BaseException | None
    folder: Path

    def find(self, name: str, meant: bool) -> object:
        """The value that ``name`` means. Raises ``AttachmentError``, also for a secret that is not ``meant``."""
        kind, colon, number = name.partition(":")
        if colon and kind in ("cell", "out"):
            return self._numbered(name, kind, number)
        if name == "err" and not (self.error is None and name in self.names):
            if self.error is None:
                raise AttachmentError("err: there was no error yet")
            return self.error
        try:
            value = look_up(name, self.names)
        except LookupError:
            path = self._path(name)
            if path is not None:
                if not meant and secret_file(path):
                    raise _refused(name) from None
                return path
            known = closest(name, self._known(name))
            raise AttachmentError(f"{name}: there is no variable and no file of this name{known}") from None
        if not meant and names_secret(name) and not isinstance(value, (FunctionType, ModuleType, type)):
            raise _refused(name)
        return value

    def _numbered(self, name: str, kind: str, number: str) -> object:
        cells = {place: _Cell(place, source) for place, source in enumerate(self.cells) if place}
        there: Mapping[int, object] = cells if kind == "cell" else self.outputs
        order = sorted(there)
        try:
            wanted = int(number)
            return there[order[wanted] if wanted < 0 else wanted]
        except ValueError:
            raise AttachmentError(f"{name}: {kind} is followed by a number, as in {kind}:3 or {kind}:-1") from None
        except LookupError:
            last = f"the last one is {kind}:{order[-1]}" if order else "there is none yet"
            raise AttachmentError(f"{name}: there is no such {kind}; {last}") from None

    def _path(self, name: str) -> Path | None:
        try:
            path = self.folder / Path(name).expanduser()
            return path if path.exists() else None
        except (OSError, ValueError, RuntimeError):  # letters that no file name has; no home folder
            return None

    def _known(self, name: str) -> list[str]:
        """Everything that could have been meant: variables, attributes of the one that is named, files."""
        known = [each for each in self.names if not each.startswith("_")]
        base = name.rpartition(".")[0]
        with suppress(Exception):  # what a user's object does when asked must not hide that a name is wrong
            known += [f"{base}.{each}" for each in dir(look_up(base, self.names)) if not each.startswith("_")]
        folder = os.path.dirname(name)
        with suppress(OSError, ValueError, RuntimeError), os.scandir(self.folder / Path(folder).expanduser()) as files:
            known += [os.path.join(folder, each.name) for each in islice(files, FILES)]
        return known
