"""Complete what is typed in a ``%%flowgpt`` cell or on a ``%flowgpt`` line.

Completion runs no code of the user's objects and waits for no server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from flowgpt_magic.completion.names import (
    ATTRIBUTE,
    ITEM_OF,
    MAX_CANDIDATES,
    Candidate,
    attributes,
    keys,
    value_of,
    variables,
)
from flowgpt_magic.completion.values import (
    OPTION_VALUES,
    SUBCOMMAND_ARGUMENTS,
    Arguments,
    CompletionSources,
    Source,
    attachments,
    no_candidates,
    setting_values,
    several_models,
    subcommand_names,
    template_slots,
)
from flowgpt_magic.errors import OptionError
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.references import resolve, steps
from flowgpt_magic.text import cut

BRACE_CONTEXT = 50_000  # characters before and after a brace that decide whether it opens a reference

_CELL = re.compile(r"(?:[ \t]*(?:#[^\n]*|%%(?:time|timeit|prun|capture)\b[^\n]*)?\r?\n)*[ \t]*%%(flowgpt|ai)(?=\s)")
_LINE = re.compile(r"[ \t]*(?:[\w.,\[\] ]+=[ \t]*)?%(flowgpt|ai)(?=\s)")
_AUTOMAGIC = re.compile(r"[ \t]*(flowgpt|ai)(?=\s)(?![ \t]*=)")  # IPython applies it to cells of one line only
_ASSIGNED = re.compile(r"\s*[^\s\d-]\S*\s+<<(?=\s)")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\\[\\"' ]|\S)*""")  # as ``magic_line`` splits a line
_OPEN = re.compile(r""""[^"]*\Z|'[^']*\Z""")
_CLAIM = re.compile(r"[\w.-]+[:/]\S+")
TYPOGRAPHIC_MARKS = tuple(magic_line.CLOSING.keys() - {'"', "'"})
_TO_ESCAPE = re.compile(r"""[\s"']|\\(?=[\\"' ])""")
_PROBE = "flowgpt_probe"
ABOVE_TEXT = ("template",)  # subcommands with arguments that a cell may begin with
PARAM = magic_line.BY_FLAG["-P"]


@dataclass(frozen=True)
class Completion:
    """What could replace the text between ``start`` and the cursor, the best first."""

    start: int
    candidates: tuple[Candidate, ...] = ()


def complete(text: str, cursor: int, sources: CompletionSources) -> Completion | None:
    """Complete the cell ``text`` at ``cursor``; None where no magic of ours stands there.

    Each candidate begins with the text between ``start`` and the cursor, in lower or upper case.
    """
    cell = _CELL.match(text)
    if cell and cell[1] in sources.magics and cell.end() < cursor:
        end = text.find("\n", cell.end())
        if not 0 <= end < cursor:
            return _on_line(text, cell.end(), cursor, sources, first=False)
        is_raw = "--raw" in text[cell.end() : end].split()
        return Completion(cursor) if is_raw else _reference(text, end, cursor, sources)
    line = _LINE.match(text, text.rfind("\n", 0, cursor) + 1)
    if line is None and sources.automagic and "\n" not in text.rstrip():
        line = _AUTOMAGIC.match(text)
        line = None if line and line[1] in sources.names else line  # the user's variable hides a magic
    is_ours = line and line[1] in sources.magics and line.end() < cursor
    return _on_line(text, line.end(), cursor, sources) if line and is_ours else None


def _on_line(text: str, place: int, cursor: int, sources: CompletionSources, *, first: bool = True) -> Completion:
    """Complete a magic line that begins at ``place``; ``first`` says whether a subcommand may stand there."""
    begin = place
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
        elif word in sources.commands() and (first or (word in ABOVE_TEXT and text[begin:place].isspace())):
            return _argument(word, text, end, cursor, sources)
        elif re.match(r"--?[A-Za-z]", word):
            flagged = magic_line.BY_FLAG.get(name)
            used |= {flagged.name} if flagged and not flagged.many else set()
            option = flagged if flagged and flagged.value and not equals else None
        elif "model" not in used and word != "--" and _is_model(word, sources):
            used.add("model")
        else:
            begin = end if word == "--" else place
            return Completion(cursor) if "raw" in used else _reference(text, begin, cursor, sources)
        first, place = False, end
    if option:
        return _value_of(OPTION_VALUES.get(option.name, no_candidates), text, place, cursor, sources)
    return _word_of(text, place, cursor, sources, used, first=first)


def _word_of(
    text: str, place: int, cursor: int, sources: CompletionSources, used: set[str], *, first: bool
) -> Completion:
    """Complete the last word: an option not ``used`` yet, a subcommand, a model, or a reference in a prompt."""
    typed = text[place:cursor]
    flag, equals, _value = typed.partition("=")
    if equals and flag.startswith("--"):
        flagged = magic_line.BY_FLAG.get(flag)
        source = OPTION_VALUES.get(flagged.name if flagged else "", no_candidates)
        return _value_of(source, text, place + len(flag) + 1, cursor, sources)
    if typed.startswith("-"):
        unused = [(flag, option) for flag, option in magic_line.BY_FLAG.items() if option.name not in used]
        flags = [Candidate(flag, f"option: {cut(option.text, 60)}") for flag, option in unused]
        return _best(text, place, cursor, flags)
    if "{" in typed:
        return Completion(cursor) if "raw" in used else _reference(text, place, cursor, sources)
    subcommands = list(subcommand_names(sources, typed)) if first else []
    wait = not _best(text, place, cursor, subcommands).candidates
    return _best(text, place, cursor, [*subcommands, *(() if "model" in used else sources.models(wait=wait))])


def _argument(command: str, text: str, place: int, cursor: int, sources: CompletionSources) -> Completion:
    """Complete the argument of a subcommand: a value, a flag, or the options and prompt of those that ask."""
    arguments = SUBCOMMAND_ARGUMENTS.get(command, Arguments())
    place = _skip(text, place, cursor)
    if arguments.whole:
        return _value_of(arguments.values[0], text, place, cursor, sources, whole=True)
    if arguments.asks:
        named = bool(arguments.values) and not text.startswith("-", place)
        end = _end(text, place, cursor, value=True) if named else place
        line = text[end:cursor]
        if command in ABOVE_TEXT and end < cursor and not re.search(r"\s-|[{=]\S*\Z", line):
            start = cursor if line[-1].isspace() else cursor - len(line.split()[-1])
            return _best(text, start, cursor, template_slots(text[place:end], line))
        if end < cursor or not named:
            return _with_flags(_on_line(text, end, cursor, sources, first=False), text, cursor, arguments.flags)
    bare, unused = [], dict(arguments.flags)
    flag: Source | None = None
    while (
        end := _end(text, place, cursor, value=True, option=PARAM if flag is OPTION_VALUES["param"] else None)
    ) < cursor:
        word = text[place:end]
        name, equals, _value = word.partition("=")
        if flag:
            flag = None
        elif name in unused:
            source = unused[name] if magic_line.BY_FLAG.get(name) is PARAM else unused.pop(name)
            flag = None if equals else source
        else:
            bare.append(word)
        place = _skip(text, end, cursor)
    typed = text[place:cursor]
    name, equals, _value = typed.partition("=")
    if not flag and typed.startswith("-") and arguments.flags:
        if equals:
            return _value_of(unused.get(name) or no_candidates, text, place + len(name) + 1, cursor, sources)
        return _best(text, place, cursor, [Candidate(name, "option") for name in unused])
    value_sources = (*arguments.values, setting_values(bare[0])) if command == "set" and bare else arguments.values
    source = value_sources[len(bare)] if len(bare) < len(value_sources) else no_candidates
    return _value_of(flag or source, text, place, cursor, sources)


def _with_flags(completion: Completion, text: str, cursor: int, flags: Iterable[str]) -> Completion:
    """``completion`` with the flags of a subcommand before the options of a prompt, where these are completed."""
    if not text[completion.start : cursor].startswith("-"):
        return completion
    own = [Candidate(flag, "option") for flag in flags if flag not in text[: completion.start].split()]
    return _best(text, completion.start, cursor, [*own, *completion.candidates])


def _value_of(
    source: Source, text: str, start: int, cursor: int, sources: CompletionSources, *, whole: bool = False
) -> Completion:
    """Complete a value, perhaps inside open quotes. Candidates are quoted so that they are read back unchanged.

    ``whole`` says that the value is the rest of the line, where a space needs no quotes.
    """
    opened = _OPEN.match(text, start, cursor)
    quote = text[start] if opened else ""
    start += len(quote)
    if source in (attachments, several_models):  # one of several, separated by commas
        start = max(start, text.rfind(",", start, cursor) + 1)
        start += len(text[start:cursor]) - len(text[start:cursor].lstrip())
    typed = text[start:cursor]
    items = []
    for item in source(sources, typed if quote or whole else re.sub(r"""\\([\\"' ])""", r"\1", typed)):
        if quote:
            closing = "" if text.startswith(quote, cursor) or item.type == "folder" else quote
            items += [] if quote in item.text else [Candidate(item.text + closing, item.type)]
        elif whole:
            items += [item] if " ".join(magic_line.words(item.text)) == item.text else []
        elif item.text[:1] in TYPOGRAPHIC_MARKS:  # which a backslash does not make ordinary
            items += [] if '"' in item.text or "\\" in item.text else [Candidate(f'"{item.text}"', item.type)]
        else:
            items.append(Candidate(_TO_ESCAPE.sub(r"\\\g<0>", item.text), item.type))
    return _best(text, start, cursor, items)


def _best(text: str, start: int, cursor: int, items: Iterable[Candidate]) -> Completion:
    """The candidates that begin with the typed text, those in the same case first."""
    typed = text[start:cursor]
    folded = typed.casefold()
    fitting = {item.text: item for item in items if item.text.casefold().startswith(folded) and item.text.isprintable()}
    same_case_first = sorted(fitting.values(), key=lambda item: not item.text.startswith(typed))
    return Completion(start, tuple(same_case_first[:MAX_CANDIDATES]))


def _skip(text: str, place: int, cursor: int) -> int:
    while place < cursor and text[place].isspace():
        place += 1
    return place


def _end(text: str, place: int, cursor: int, *, value: bool, option: magic_line.Option | None = None) -> int:
    """Where the word at ``place`` ends, at most at the cursor.

    A ``value`` may have an open quote. The value of an ``option`` that takes JSON may have spaces.
    """
    if option and option.json:
        with suppress(ValueError, OptionError):
            closed = magic_line.option_value(option, text[:cursor], place)[1]
            return closed if _is_closed(text[place:closed]) else cursor
        return cursor
    inner = re.compile(r"--[\w-]+=").match(text, place, cursor)
    start = inner.end() if inner else place
    if (value or inner) and _OPEN.match(text, start, cursor):
        return cursor
    if (value or inner) and (quoted := magic_line.TYPOGRAPHIC.match(text, start, cursor)):
        return quoted.end()
    word = _WORD.match(text, place, cursor)
    return word.end() if word else cursor


def _is_closed(value: str) -> bool:
    """Are all double quotes in ``value`` closed?"""
    return value.replace('\\"', "").count('"') % 2 == 0


def _is_model(word: str, sources: CompletionSources) -> bool:
    name = "".join(magic_line.words(word))
    if "," in name:
        return all(_is_model(part, sources) for part in name.split(","))
    return bool(_CLAIM.fullmatch(name) and "://" not in name) or any(model.text == name for model in sources.models())


def _reference(text: str, place: int, cursor: int, sources: CompletionSources) -> Completion:
    """Complete a variable, an attribute or a key after an open brace in a prompt that begins at ``place``."""
    brace = text.rfind("{", place, cursor)
    fragment = text[brace + 1 : cursor]
    if brace < 0 or "}" in fragment or "\n" in fragment:
        return Completion(cursor)
    context = f"{text[max(place, brace - BRACE_CONTEXT) : brace]}{{{_PROBE}}}{text[cursor : cursor + BRACE_CONTEXT]}"
    if _PROBE not in resolve(context, {_PROBE: 0}, lambda _name, _value: "").used:
        return Completion(cursor)  # JSON, code or a formula
    key, attribute = ITEM_OF.fullmatch(fragment), ATTRIBUTE.fullmatch(fragment)
    if key and steps(key[1]):
        start = cursor - len(key[3] if key[2] else key[4])
        closing = "" if text.startswith((key[2] or "]", "]"), cursor) else f"{key[2] or ''}]"
        return _best(text, start, cursor, keys(value_of(key[1], sources.names), key[2] or "", closing))
    if attribute and steps(attribute[1]):
        return _best(text, cursor - len(attribute[2]), cursor, attributes(value_of(attribute[1], sources.names)))
    return _best(text, brace + 1, cursor, variables(sources.names, sources.hidden, fragment))
