"""Tab completion for ``%%flowgpt`` and ``%flowgpt``: what is typed there, and what could stand there instead.

Whoever presses Tab runs no code of an object and waits for nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from flowgpt_magic.completion.names import (
    ATTRIBUTE,
    KEY,
    LIMIT,
    Item,
    attributes,
    keys,
    value_of,
    variables,
)
from flowgpt_magic.completion.values import (
    ARGUMENTS,
    VALUES,
    Known,
    Source,
    Takes,
    attached,
    nothing,
    of_setting,
)
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.references import resolve, steps
from flowgpt_magic.text import cut

AROUND = 50_000  # characters before and behind a brace that decide whether a reference begins there

_CELL = re.compile(r"(?:[ \t]*(?:#[^\n]*|%%(?:time|timeit|prun|capture)\b[^\n]*)?\r?\n)*[ \t]*%%(flowgpt|ai)(?=\s)")
_LINE = re.compile(r"[ \t]*(?:[\w.,\[\] ]+=[ \t]*)?%(flowgpt|ai)(?=\s)")
_AUTOMAGIC = re.compile(r"[ \t]*(flowgpt|ai)(?=\s)(?![ \t]*=)")  # of one line: IPython knows it in no other cell
_ASSIGNED = re.compile(r"\s*[^\s\d-]\S*\s+<<(?=\s)")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\\[\\"' ]|\S)*""")  # as ``options`` cuts a line
_OPEN = re.compile(r""""[^"]*\Z|'[^']*\Z""")
_CLAIM = re.compile(r"[\w.-]+[:/]\S+")
_TO_ESCAPE = re.compile(r"""[\s"']|\\(?=[\\"' ])""")
_PROBE = "flowgpt_probe"
PARAM = magic_line.BY_FLAG["-P"]


@dataclass(frozen=True)
class Found:
    """The items that could stand between ``start`` and the cursor, the best first."""

    start: int
    items: tuple[Item, ...] = ()


def complete(text: str, cursor: int, known: Known) -> Found | None:
    """What could stand at ``cursor`` in the cell ``text``; None where that is none of our magics.

    Each item begins with what stands between ``Found.start`` and the cursor, in small letters or capitals.
    """
    cell = _CELL.match(text)
    if cell and cell[1] in known.magics and cell.end() < cursor:
        end = text.find("\n", cell.end())
        if not 0 <= end < cursor:
            return _on_line(text, cell.end(), cursor, known, first=False)
        return Found(cursor) if "--raw" in text[cell.end() : end].split() else _reference(text, end, cursor, known)
    line = _LINE.match(text, text.rfind("\n", 0, cursor) + 1)
    if line is None and known.automagic and "\n" not in text.rstrip():
        line = _AUTOMAGIC.match(text)
        line = None if line and line[1] in known.names else line  # the user's own goes before a magic
    ours = line and line[1] in known.magics and line.end() < cursor
    return _on_line(text, line.end(), cursor, known) if line and ours else None


def _on_line(text: str, place: int, cursor: int, known: Known, *, first: bool = True) -> Found:
    """On a magic's line from ``place`` on; ``first`` says whether a subcommand may stand there."""
    if assigned := _ASSIGNED.match(text, place, cursor):
        place, first = assigned.end(), False
    used: set[str] = set()
    option: magic_line.Option | None = None
    while (
        end := _end(text, place := _skip(text, place, cursor), cursor, value=option is not None, option=option)
    ) < cursor:
        word = text[place:end]
        name, equals, _value = word.partition("=")
        if option:
            option = None
        elif first and word in known.commands():
            return _argument(word, text, end, cursor, known)
        elif re.match(r"--?[A-Za-z]", word):
            given = magic_line.BY_FLAG.get(name)
            used |= {given.name} if given and not given.many else set()
            option = given if given and given.value and not equals else None
        elif "model" not in used and word != "--" and _is_model(word, known):
            used.add("model")
        else:
            return Found(cursor) if "raw" in used else _reference(text, end if word == "--" else place, cursor, known)
        first, place = False, end
    if option:
        return _value_of(VALUES.get(option.name, nothing), text, place, cursor, known)
    return _word_of(text, place, cursor, known, used, first=first)


def _word_of(text: str, place: int, cursor: int, known: Known, used: set[str], *, first: bool) -> Found:
    """The word that is typed just now: an option that is not ``used`` yet, a subcommand, a model, or of a prompt."""
    typed = text[place:cursor]
    flag, equals, _value = typed.partition("=")
    if equals and flag.startswith("--"):
        given = magic_line.BY_FLAG.get(flag)
        return _value_of(VALUES.get(given.name if given else "", nothing), text, place + len(flag) + 1, cursor, known)
    if typed.startswith("-"):
        flags = {flag: option for flag, option in magic_line.BY_FLAG.items() if option.name not in used}
        return _best(text, place, cursor, [Item(flag, cut(option.text, 60)) for flag, option in flags.items()])
    if "{" in typed:
        return Found(cursor) if "raw" in used else _reference(text, place, cursor, known)
    subcommands = [Item(name, about) for name, about in known.commands().items()] if first else []
    wait = not _best(text, place, cursor, subcommands).items
    return _best(text, place, cursor, [*subcommands, *(() if "model" in used else known.models(wait=wait))])


def _argument(command: str, text: str, place: int, cursor: int, known: Known) -> Found:
    """Behind a subcommand: one of its values or flags, or the options that it takes as a prompt does."""
    takes = ARGUMENTS.get(command, Takes())
    place = _skip(text, place, cursor)
    if takes.whole:
        return _value_of(takes.values[0], text, place, cursor, known, whole=True)
    if takes.asks:
        named = bool(takes.values) and not text.startswith("-", place)
        end = _end(text, place, cursor, value=True) if named else place
        if end < cursor or not named:
            return _on_line(text, end, cursor, known, first=False)
    bare, left = [], dict(takes.flags)
    flag: Source | None = None
    while (end := _end(text, place, cursor, value=True, option=PARAM if flag is VALUES["param"] else None)) < cursor:
        word = text[place:end]
        name, equals, _value = word.partition("=")
        if flag:
            flag = None
        elif name in left:
            source = left[name] if magic_line.BY_FLAG.get(name) is PARAM else left.pop(name)
            flag = None if equals else source
        else:
            bare.append(word)
        place = _skip(text, end, cursor)
    typed = text[place:cursor]
    name, equals, _value = typed.partition("=")
    if not flag and typed.startswith("-") and takes.flags:
        if equals:
            return _value_of(left.get(name) or nothing, text, place + len(name) + 1, cursor, known)
        return _best(text, place, cursor, [Item(each, "option") for each in left])
    sources = (*takes.values, of_setting(bare[0])) if command == "set" and bare else takes.values
    source = sources[len(bare)] if len(bare) < len(sources) else nothing
    return _value_of(flag or source, text, place, cursor, known)


def _value_of(source: Source, text: str, start: int, cursor: int, known: Known, *, whole: bool = False) -> Found:
    """A value, perhaps in quotes that are still open, and written so that it is read back as it is.

    ``whole`` says that it is the rest of the line, where a space needs no quotes.
    """
    opened = _OPEN.match(text, start, cursor)
    quote = text[start] if opened else ""
    start += len(quote)
    if source is attached:  # one of several, with commas between
        start = max(start, text.rfind(",", start, cursor) + 1)
        start += len(text[start:cursor]) - len(text[start:cursor].lstrip())
    typed = text[start:cursor]
    items = []
    for item in source(known, typed if quote or whole else re.sub(r"""\\([\\"' ])""", r"\1", typed)):
        if quote:
            closing = "" if text.startswith(quote, cursor) or item.type == "folder" else quote
            items += [] if quote in item.text else [Item(item.text + closing, item.type)]
        elif whole:
            items += [item] if " ".join(magic_line.words(item.text)) == item.text else []
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


def _end(text: str, place: int, cursor: int, *, value: bool, option: magic_line.Option | None = None) -> int:
    """Where the word at ``place`` ends, at the latest at the cursor; in a ``value`` a quote may be open still.

    It may be JSON with spaces where it is the value of an ``option`` that takes that.
    """
    if option and option.json:
        with suppress(ValueError):
            closed = magic_line.option_value(option, text[:cursor], place)[1]
            return closed if _is_closed(text[place:closed]) else cursor
        return cursor
    inner = re.compile(r"--[\w-]+=").match(text, place, cursor)
    start = inner.end() if inner else place
    if (value or inner) and _OPEN.match(text, start, cursor):
        return cursor
    if (value or inner) and (quoted := magic_line.TYPOGRAPHIC.match(text, start, cursor)):
        return quoted.end()
    found = _WORD.match(text, place, cursor)
    return found.end() if found else cursor


def _is_closed(value: str) -> bool:
    """Is there no quote in it that is still open?"""
    return value.replace('\\"', "").count('"') % 2 == 0


def _is_model(word: str, known: Known) -> bool:
    name = "".join(magic_line.words(word))
    return bool(_CLAIM.fullmatch(name) and "://" not in name) or any(each.text == name for each in known.models())


def _reference(text: str, place: int, cursor: int, known: Known) -> Found:
    """In a prompt that begins at ``place``: a variable, an attribute or a key behind an open brace."""
    brace = text.rfind("{", place, cursor)
    fragment = text[brace + 1 : cursor]
    if brace < 0 or "}" in fragment or "\n" in fragment:
        return Found(cursor)
    around = f"{text[max(place, brace - AROUND) : brace]}{{{_PROBE}}}{text[cursor : cursor + AROUND]}"
    if _PROBE not in resolve(around, {_PROBE: 0}, lambda _name, _value: "").used:
        return Found(cursor)  # JSON, code or a formula
    key, attribute = KEY.fullmatch(fragment), ATTRIBUTE.fullmatch(fragment)
    if key and steps(key[1]):
        start = cursor - len(key[3] if key[2] else key[4])
        closing = "" if text.startswith((key[2] or "]", "]"), cursor) else f"{key[2] or ''}]"
        return _best(text, start, cursor, keys(value_of(key[1], known.names), key[2] or "", closing))
    if attribute and steps(attribute[1]):
        return _best(text, cursor - len(attribute[2]), cursor, attributes(value_of(attribute[1], known.names)))
    return _best(text, brace + 1, cursor, variables(known.names, known.hidden, fragment))
