"""Tab completion for ``%%flowgpt`` and ``%flowgpt``: what is typed there, and what could stand there instead.

Whoever presses Tab runs no code of an object and waits for nobody: of a value only that is listed which is known
without asking it, and what may take long is looked up on another thread and is there the next time.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flowgpt_magic import options, settings
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.plain_text import cut
from flowgpt_magic.references import resolve, secret_name, steps

if TYPE_CHECKING:
    from flowgpt_magic.desk import Desk
    from flowgpt_magic.journal import Journal

T = TypeVar("T")
LIMIT = 200  # items
SEEN = 10_000  # files of a folder, columns and keys that are looked at
AROUND = 50_000  # characters before and behind a brace that decide whether a reference begins there
PATIENCE = 0.015  # seconds that the history is waited for; a provider's module is, once, for longer
PATIENCE_TO_IMPORT = 1.0

_CELL = re.compile(r"(?:[ \t]*(?:#[^\n]*|%%(?:time|timeit|prun|capture)\b[^\n]*)?\r?\n)*[ \t]*%%flowgpt(?=\s)")
_LINE = re.compile(r"[ \t]*(?:[\w.,\[\] ]+=[ \t]*)?%flowgpt(?=\s)")
_ASSIGNED = re.compile(r"\s*[^\s\d-]\S*\s+<<(?=\s)")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\\[\\"' ]|\S)*""")  # as ``options`` cuts a line
_OPEN = re.compile(r""""[^"]*\Z|'[^']*\Z""")
_CLAIM = re.compile(r"[\w.-]+[:/]\S+")
_TO_ESCAPE = re.compile(r"""[\s"']|\\(?=[\\"' ])""")
_ATTRIBUTE = re.compile(r"(.+)\.([^.\[\]{}\s]*)")
_KEY = re.compile(r"""(.+)\[(?:(["'])([^"'\\\n{}]*)|(-?[0-9]*))""")
_PROBE = "flowgpt_probe"
_MISSING = object()
_of_class: Any = type.__dict__["__dict__"].__get__  # what a metaclass has no say in
_bases: Any = type.__dict__["__mro__"].__get__
_name_of: Any = type.__dict__["__name__"].__get__


@dataclass(frozen=True)
class Item:
    """Something to insert; ``type`` says in a few words what it is. IPython reads both."""

    text: str
    type: str = ""


@dataclass(frozen=True)
class Found:
    """The items that could stand between ``start`` and the cursor, the best first."""

    start: int
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Known:
    """What can be named: the names with IPython's own, ``hidden`` ones, and what is asked when needed.

    ``commands`` are the subcommands and what they do; ``files`` gives what is in a folder.
    """

    names: Mapping[str, object] = field(default_factory=dict)
    hidden: Mapping[str, object] = field(default_factory=dict)
    commands: Callable[[], Mapping[str, str]] = dict
    models: Callable[[], Sequence[Item]] = tuple
    conversations: Callable[[], Sequence[str]] = tuple
    files: Callable[[str], Iterable[Item]] = lambda _folder: ()


def complete(text: str, cursor: int, known: Known) -> Found | None:
    """What could stand at ``cursor`` in the cell ``text``; None where that is none of our magics.

    Each item begins with what stands between ``Found.start`` and the cursor, in small letters or capitals.
    """
    cell = _CELL.match(text)
    if cell and cell.end() < cursor:
        end = text.find("\n", cell.end())
        if not 0 <= end < cursor:
            return _on_line(text, cell.end(), cursor, known, first=False)
        return Found(cursor) if "--raw" in text[cell.end() : end].split() else _reference(text, end, cursor, known)
    line = _LINE.match(text, text.rfind("\n", 0, cursor) + 1)
    return _on_line(text, line.end(), cursor, known) if line and line.end() < cursor else None


def _on_line(text: str, place: int, cursor: int, known: Known, *, first: bool = True) -> Found:
    """On a magic's line from ``place`` on; ``first`` says whether a subcommand may stand there."""
    if assigned := _ASSIGNED.match(text, place, cursor):
        place, first = assigned.end(), False
    used: set[str] = set()
    option: options.Option | None = None
    while (end := _end(text, place := _skip(text, place, cursor), cursor, value=option is not None)) < cursor:
        word = text[place:end]
        name, equals, _value = word.partition("=")
        if option:
            option = None
        elif first and word in known.commands():
            return _argument(word, text, end, cursor, known)
        elif re.match(r"--?[A-Za-z]", word):
            given = options.BY_FLAG.get(name)
            used |= {given.name} if given and not given.many else set()
            option = given if given and given.value and not equals else None
        elif "model" not in used and word != "--" and _is_model(word, known):
            used.add("model")
        else:
            return Found(cursor) if "raw" in used else _reference(text, end if word == "--" else place, cursor, known)
        first, place = False, end
    typed = text[place:cursor]
    flag, equals, _value = typed.partition("=")
    if option:
        return _value_of(VALUES.get(option.name, _nothing), text, place, cursor, known)
    if equals and flag.startswith("--"):
        given = options.BY_FLAG.get(flag)
        return _value_of(VALUES.get(given.name if given else "", _nothing), text, place + len(flag) + 1, cursor, known)
    if typed.startswith("-"):
        flags = {flag: option for flag, option in options.BY_FLAG.items() if option.name not in used}
        return _best(text, place, cursor, [Item(flag, cut(option.text, 60)) for flag, option in flags.items()])
    if "{" in typed:
        return Found(cursor) if "raw" in used else _reference(text, place, cursor, known)
    subcommands = [Item(name, about) for name, about in known.commands().items()] if first else []
    return _best(text, place, cursor, [*subcommands, *(() if "model" in used else known.models())])


def _argument(command: str, text: str, place: int, cursor: int, known: Known) -> Found:
    """Behind a subcommand: its first argument, or the options that it takes as a prompt does."""
    place = _skip(text, place, cursor)
    whole = command in WHOLE
    end = cursor if whole else _end(text, place, cursor, value=True)
    if command in ASKING and (text.startswith("-", place) or end < cursor):
        return _on_line(text, place, cursor, known, first=False)
    if end < cursor:
        second = _setting(text[place:end]) if command == "set" else SECOND.get(command, _nothing)
        return _value_of(second, text, _skip(text, end, cursor), cursor, known)
    return _value_of(ARGUMENTS.get(command, _nothing), text, place, cursor, known, whole=whole)


def _value_of(source: Source, text: str, start: int, cursor: int, known: Known, *, whole: bool = False) -> Found:
    """A value, perhaps in quotes that are still open, and written so that it is read back as it is.

    ``whole`` says that it is the rest of the line, where a space needs no quotes.
    """
    opened = _OPEN.match(text, start, cursor)
    quote = text[start] if opened else ""
    start += len(quote)
    if source is _attached:  # one of several, with commas between
        start = max(start, text.rfind(",", start, cursor) + 1)
        start += len(text[start:cursor]) - len(text[start:cursor].lstrip())
    typed = text[start:cursor]
    items = []
    for item in source(known, typed if quote or whole else re.sub(r"""\\([\\"' ])""", r"\1", typed)):
        if quote:
            closing = "" if text.startswith(quote, cursor) or item.type == "folder" else quote
            items += [] if quote in item.text else [Item(item.text + closing, item.type)]
        elif whole:
            items += [item] if " ".join(options.words(item.text)) == item.text else []
        else:
            items.append(Item(_TO_ESCAPE.sub(r"\\\g<0>", item.text), item.type))
    return _best(text, start, cursor, items)


def _best(text: str, start: int, cursor: int, items: Iterable[Item]) -> Found:
    """The items that begin as it is typed, those with the same capitals first; no line holds what cannot be shown."""
    typed = text[start:cursor]
    folded = typed.casefold()
    found = {each.text: each for each in items if each.text.casefold().startswith(folded) and each.text.isprintable()}
    same_letters = sorted(found.values(), key=lambda each: not each.text.startswith(typed))
    return Found(start, tuple(same_letters[:LIMIT]))


def _skip(text: str, place: int, cursor: int) -> int:
    while place < cursor and text[place].isspace():
        place += 1
    return place


def _end(text: str, place: int, cursor: int, *, value: bool) -> int:
    """Where the word at ``place`` ends, at the latest at the cursor; in a ``value`` a quote may be open still."""
    inner = re.compile(r"--[\w-]+=").match(text, place, cursor)
    start = inner.end() if inner else place
    if (value or inner) and _OPEN.match(text, start, cursor):
        return cursor
    found = _WORD.match(text, place, cursor)
    return found.end() if found else cursor


def _is_model(word: str, known: Known) -> bool:
    name = "".join(options.words(word))
    return bool(_CLAIM.fullmatch(name) and "://" not in name) or any(each.text == name for each in known.models())


# References


def _reference(text: str, place: int, cursor: int, known: Known) -> Found:
    """In a prompt that begins at ``place``: a variable, an attribute or a key behind an open brace."""
    brace = text.rfind("{", place, cursor)
    fragment = text[brace + 1 : cursor]
    if brace < 0 or "}" in fragment or "\n" in fragment:
        return Found(cursor)
    around = f"{text[max(place, brace - AROUND) : brace]}{{{_PROBE}}}{text[cursor : cursor + AROUND]}"
    if _PROBE not in resolve(around, {_PROBE: 0}, lambda _name, _value: "").used:
        return Found(cursor)  # JSON, code or a formula
    key, attribute = _KEY.fullmatch(fragment), _ATTRIBUTE.fullmatch(fragment)
    if key and steps(key[1]):
        start = cursor - len(key[3] if key[2] else key[4])
        closing = "" if text.startswith((key[2] or "]", "]"), cursor) else f"{key[2] or ''}]"
        return _best(text, start, cursor, _key_items(_static(key[1], known), key[2] or "", closing))
    if attribute and steps(attribute[1]):
        return _best(text, cursor - len(attribute[2]), cursor, _attribute_items(_static(attribute[1], known)))
    return _best(text, brace + 1, cursor, _variables(known, fragment))


def _variables(known: Known, typed: str) -> list[Item]:
    """The user's names that begin so, without those of secrets: they would not be sent."""
    folded = typed.casefold()
    fitting = [
        name
        for name in list(known.names)
        if type(name) is str
        and name.casefold().startswith(folded)
        and (typed or not name.startswith("_"))
        and (known.names.get(name) is not known.hidden.get(name, _MISSING) or name in ("In", "Out"))
    ]
    fitting.sort(key=lambda name: (not name.startswith(typed), name.casefold(), name))
    good = (name for name in fitting if steps(name) and not secret_name(name))
    return [Item(name, _type_name(known.names.get(name))) for name in islice(good, LIMIT)]


def _attribute_items(value: object) -> Iterator[Item]:
    """What ``dir`` would list, without asking the value, and the columns of a table."""
    columns = [(dict.fromkeys(_columns(value)), "column")]
    for attributes, kind in [*columns, *((each, "attribute") for each in _attributes(value))]:
        for name in sorted(each for each in list(attributes) if type(each) is str):
            if name.isidentifier() and steps(f"x.{name}") and not secret_name(name):
                yield Item(name, kind)


def _attributes(value: object) -> list[Mapping[Any, object]]:
    """Where Python would look for an attribute: in the value, in its class and in those that it is derived from."""
    bases = _bases(type(value))
    if type in bases:
        return [_of_class(each) for each in (*_bases(value), *bases)]
    own: Any = next((_of_class(each)["__dict__"] for each in bases if "__dict__" in _of_class(each)), None)
    has_own = type(own) in (GetSetDescriptorType, MemberDescriptorType)  # and not a property of the user's
    return [*([own.__get__(value)] if has_own else []), *(_of_class(each) for each in bases)]


def _key_items(value: Any, quote: str, closing: str) -> Iterator[Item]:
    """Keys of a dict and names of columns as they are written between brackets."""
    keys = islice(dict.keys(value), SEEN) if dict in _bases(type(value)) else _columns(value)
    for key in list(keys):
        if type(key) is int and not quote and steps(f"x[{key}]"):
            yield Item(f"{key}{closing}", "key")
        elif type(key) is str and not secret_name(key):
            mark = quote or ("'" if '"' in key else '"')
            if steps(f"x[{mark}{key}{mark}]"):
                yield Item(f"{key}{closing}" if quote else f"{mark}{key}{mark}{closing}", "key")


def _columns(value: object) -> list[Any]:
    """The columns of a pandas table; a class derived from it may compute them, and is left alone."""
    table = getattr(sys.modules.get("pandas"), "DataFrame", None)
    return list(islice(value.columns, SEEN)) if table is not None and type(value) is table else []  # type: ignore[attr-defined]


def _static(reference: str, known: Known) -> object:
    """The value that a reference leads to, as far as that is known without running anything."""
    value: object = known.names
    for step in steps(reference):
        if step.kind == "attribute":
            found = (each[step.value] for each in _attributes(value) if step.value in each)
            value = next(found, _MISSING)
            if any("__get__" in _of_class(each) for each in _bases(type(value))):
                return _MISSING  # a property, or something else that computes
        elif dict in _bases(type(value)):
            value = dict.get(value, step.value, _MISSING)  # type: ignore[call-overload]
        elif type(value) in (list, tuple) and isinstance(step.value, int):
            value = value[step.value] if -len(value) <= step.value < len(value) else _MISSING  # type: ignore[index, arg-type]
        else:
            return _MISSING
    return value


def _type_name(value: object) -> str:
    return str(_name_of(type(value)))


# What values there are

Source = Callable[[Known, str], Iterable[Item]]


def _nothing(_known: Known, _typed: str) -> Iterable[Item]:
    return ()


def _models(known: Known, _typed: str) -> Iterable[Item]:
    return known.models()


def _providers(known: Known, _typed: str) -> Iterable[Item]:
    return [each for each in known.models() if each.type == "provider"]


def _aliases(known: Known, _typed: str) -> Iterable[Item]:
    return [each for each in known.models() if each.type.startswith("alias of")]


def _conversations(known: Known, typed: str) -> Iterable[Item]:
    fitting = (name for name in known.conversations() if name.casefold().startswith(typed.casefold()))
    return [Item(name, "conversation") for name in islice(fitting, LIMIT)]


def _files(known: Known, typed: str) -> Iterator[Item]:
    folder = re.sub(r"[^/]*\Z", "", typed)
    for item in known.files(folder):
        if typed != folder or not item.text.startswith("."):
            yield Item(folder + item.text, item.type)


def _system(known: Known, typed: str) -> Iterable[Item]:
    return [Item(f"@{each.text}", each.type) for each in _files(known, typed[1:])] if typed.startswith("@") else ()


def _attached(known: Known, typed: str) -> Iterator[Item]:
    base = _ATTRIBUTE.fullmatch(typed)
    if base and steps(base[1]) and base[1].partition(".")[0] in known.names:
        yield from (Item(f"{base[1]}.{each.text}", each.type) for each in _attribute_items(_static(base[1], known)))
        return
    yield from _variables(known, typed)
    yield from (Item("cell:", "an earlier cell"), Item("out:", "its output"), Item("err", "the last error"))
    yield from (each for each in _files(known, typed) if "," not in each.text)


def _words(*words: str, kind: str = "") -> Source:
    return lambda _known, _typed: [Item(word, kind) for word in words]


def _setting(name: str) -> Source:
    """The values of a setting, where they can be listed."""
    default = getattr(settings.TABLE.get(name), "default", None)
    return _words("on", "off") if isinstance(default, bool) else VALUES.get(name, _nothing)


VALUES: dict[str, Source] = {
    "model": _models,
    "format": _words(*settings.FORMATS, kind="format"),
    "chat": _conversations,
    "system": _system,
    "attach": _attached,
    "schema": _variables,
}
ARGUMENTS: dict[str, Source] = {
    **dict.fromkeys(("use", "rm", "rename", "branch"), _conversations),
    **dict.fromkeys(("export", "import", "adopt"), _files),
    **dict.fromkeys(("nested", "ai-alias"), _words("on", "off")),
    **dict.fromkeys(("dealias", "delete", "update"), _aliases),
    "model": _models,
    **dict.fromkeys(("models", "list"), _providers),
    "explain": _variables,
    "set": lambda _known, _typed: [Item(name, cut(row.metadata["help"], 60)) for name, row in settings.TABLE.items()],
    "help": lambda known, _typed: [Item(name, about) for name, about in known.commands().items()],
}
SECOND: dict[str, Source] = dict.fromkeys(("alias", "register", "update"), _models)  # an argument behind another
WHOLE = ("use", "rm", "adopt")  # take the rest of the line for one name
ASKING = ("retry", "fix", "explain")  # take options


# Within IPython


class Context(Protocol):
    """What IPython tells a matcher: the cell, and where the cursor is in it."""

    full_text: str
    cursor_line: int
    cursor_position: int


class Nothing:
    """No items. IPython lets all its own matchers answer where ours has none, unless it seems to have some."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Item]:
        return iter(())


def matcher(context: Context, shell: Any, desk: Desk | None) -> dict[str, Any]:
    """For IPython's completer; ``desk`` is None where the magics were not used yet."""
    text = context.full_text
    cursor = sum(len(line) + 1 for line in text.split("\n")[: context.cursor_line]) + context.cursor_position
    found = complete(text, cursor, _known(shell, desk))
    if found is None:
        return {"completions": [], "suppress": False}
    # JupyterLab breaks what an item is at a space, and shows the first word only.
    items = [Item(each.text, each.type.replace(" ", "\N{NO-BREAK SPACE}")) for each in found.items]
    return {
        "completions": items or Nothing(),
        "matched_fragment": text[found.start : cursor],
        "suppress": True,
        "ordered": True,
    }


def _known(shell: Any, desk: Desk | None) -> Known:
    names = shell.user_ns
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if error is not None:
        names = {**names, "Err": error}
    return Known(names, shell.user_ns_hidden, _all_commands, _all_models, lambda: _all_conversations(desk), _folder)


def _all_commands() -> dict[str, str]:
    from flowgpt_magic.commands import COMMANDS

    about = {name: (run.__doc__ or "").partition("\n")[0].partition(": ``")[0] for name, run in COMMANDS.items()}
    return {name: cut(text.replace("``", "").rstrip("."), 60) for name, text in about.items()}


def _all_models() -> Sequence[Item]:
    """Aliases, providers and their models; no provider is asked, because one might ask a server."""

    def look() -> Sequence[Item]:
        from flowgpt_magic import aliases, models

        found: list[Item] = []
        with suppress(FlowGptError):
            found += [Item(each.name, f"alias of {each.target}") for each in aliases.load().values()]
        found += [Item(name, "provider") for name in models.provider_names()]
        bare: dict[str, list[Item]] = {}
        for name in models.provider_names():
            with suppress(Exception):  # a plug-in is foreign code
                provider = models.find_provider(name)
                own = list(provider.models) or [provider.default_model]
                found += [Item(f"{name}:{model}", "model") for model in own if model]
                for model in (*own, *provider.model_aliases):
                    bare.setdefault(model, []).append(Item(model, f"model of {name}"))
        return [*found, *(owners[0] for owners in bare.values() if len(owners) == 1)]

    return _in_time("models", look, PATIENCE_TO_IMPORT)


def _all_conversations(desk: Desk | None) -> Sequence[str]:
    """The newest first. Without a notebook that was found for a cell there are none: a completion is no cell."""
    try:
        journal: Journal | None = desk.journal if desk else None
    except FlowGptError:  # of a setting: the next cell says so
        journal = None
    if desk is None or journal is None or journal._notebook is None:
        return ["main"]

    names = _in_time(f"conversations in {journal.location} of {journal.place.key}", journal.names, PATIENCE)
    return list(dict.fromkeys([desk.current, *reversed(names), "main"]))


def _folder(folder: str) -> list[Item]:
    """What is in a folder, folders with a slash."""
    with suppress(OSError, ValueError), os.scandir(os.path.expanduser(folder) or ".") as entries:
        found = [(each.name, each.is_dir()) for each in islice(entries, SEEN)]
        return [Item(f"{name}/" if folder else name, "folder" if folder else "file") for name, folder in sorted(found)]
    return []


_last: dict[str, Sequence[Any]] = {}
_looking: dict[str, threading.Thread] = {}


def _in_time(key: str, look: Callable[[], Sequence[T]], patience: float) -> Sequence[T]:
    """What ``look`` returns, if it does within ``patience`` seconds; else what it returned last."""

    def run() -> None:
        with suppress(Exception):  # whatever is wrong is said where it is used
            _last[key] = look()

    if key not in _looking or not _looking[key].is_alive():
        _looking[key] = threading.Thread(target=run, name=f"flowgpt_magic {key}", daemon=True)
        _looking[key].start()
    _looking[key].join(patience)
    return _last.get(key, ())
