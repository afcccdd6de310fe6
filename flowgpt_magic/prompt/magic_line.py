"""Parse the line of a magic: its options, its model, and where the prompt begins.

Words are split as a shell does it. But an apostrophe in a prompt is no quote, and the prompt keeps all its spaces.
"""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.prompt import parameter_syntax
from flowgpt_magic.settings import FORMATS, THINK, number, one_of, temperature, whole_number
from flowgpt_magic.text import cut

# The first line of a cell that is a subcommand and takes the lines below it.
ABOVE_TEXT = re.compile(r"\s*(?:edit\s+-?\d+(?:\s+-.*)?|system|template\s+\w[\w.-]*(?:\s+(?:[^\W\d]\w*=|-).*)?)\s*")
SEND_INSTEAD = "to send it as a prompt, write %flowgpt -- before it"


@dataclass(frozen=True)
class Option:
    """One option of the magic line.

    Args:
        name: the long flag without its hyphens.
        short: the letter of the short flag; empty if there is none.
        value: what the help calls the value; empty for a switch.
        check: turns the text of the value into the value; raises ``ValueError``.
        text: what the option does, for the help.
        many: whether it may be given several times; not by default.
        json: whether the value may be JSON, with quotes and spaces of its own; not by default.
    """

    name: str
    short: str
    value: str
    check: Callable[[str], Any]
    text: str
    many: bool = False
    json: bool = False


def variable_name(value: str) -> str:
    """``value``, if it is a valid name of a variable. Raises ``ValueError``."""
    if value.isidentifier() and not keyword.iskeyword(value):
        return value
    better = re.sub(r"\W+", "_", value).strip("_")
    better = f"_{better}" if better[:1].isdigit() or keyword.iskeyword(better) else better
    raise ValueError(
        f"{value!r} is not a valid name of a variable" + (f"; did you mean {better}?" if better.isidentifier() else ".")
    )


def names(value: str) -> list[str]:
    """Names separated by commas, without the spaces around them; a comma may be part of the name of a file.

    Raises ``ValueError``.
    """
    parts = value.split(",")
    listed: list[str] = []
    while parts:
        count = next((count for count in range(len(parts), 1, -1) if _is_file(",".join(parts[:count]))), 1)
        listed.append(",".join(parts[:count]).strip())
        del parts[:count]
    if not all(listed):
        raise ValueError("must be names separated by commas, such as frame,out:3")
    return listed


def _is_file(name: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(name.strip().removesuffix("!")))
    except ValueError:  # a NUL
        return False


FORMATS_SHOWN = ", ".join(FORMATS)
OPTIONS = (
    Option("model", "m", "NAME", str, "provider:model, a provider, a model or an alias; a,b asks several at once"),
    Option("temperature", "t", "NUMBER", temperature, "0 to 2"),
    Option("think", "", "LEVEL", one_of(*THINK), f"how much a reasoning model thinks: {', '.join(THINK)}"),
    Option("max-tokens", "", "NUMBER", whole_number(1), "the longest reply, in tokens, if the provider supports it"),
    Option(
        "param",
        "P",
        "NAME=VALUE",
        parameter_syntax.read,
        'a parameter of the provider: stop=["END"], extra_body={"top_a": 0.2}; can be repeated',
        many=True,
        json=True,
    ),
    Option("system", "s", "TEXT", str, "the system prompt for this turn: a text, or @file"),
    Option("chat", "c", "NAME", str, "the conversation; a new name starts one"),
    Option("format", "f", "NAME", one_of(*FORMATS), f"how the reply is shown: {FORMATS_SHOWN}"),
    Option("out", "o", "VARIABLE", variable_name, "store the reply in a variable; also: VARIABLE <<"),
    Option(
        "attach",
        "a",
        "NAMES",
        names,
        "attach variables, cell:-1, out:3, err, files, folders, src/**/*.py or a.pdf#3-5, separated by commas",
        many=True,
    ),
    Option("raw", "", "", str, "send {…} in the prompt as typed"),
    Option("no-history", "", "", str, "neither send nor keep earlier turns"),
    Option("append", "", "", str, "add a turn instead of replacing the one of this cell"),
    Option("cache", "", "", str, "answer from the history if it has a reply to the same request"),
    Option("refresh", "", "", str, "with --cache: send the request anyway, and cache the new reply"),
    Option("dry-run", "", "", str, "show what would be sent; send nothing"),
    Option("next-cell", "", "", str, "put the code of the reply into the next cell"),
    Option(
        "schema", "", "NAME", str, "validate the reply: a pydantic model or JSON Schema in a variable, or @file.json"
    ),
    Option("timeout", "", "SECONDS", number(0.001), "fail if the provider is silent for so long"),
    Option("retries", "", "NUMBER", whole_number(0), "further attempts after a failure before the first chunk"),
    Option("proxy", "", "URL", str, "the HTTP proxy for this turn"),
    Option("no-stream", "", "", str, "show the reply only when it is complete"),
    Option("quiet", "", "", str, "do not show the reply"),
    Option("help", "h", "", str, "show this help"),
)
MAY_BE_EMPTY = ("system", "proxy")  # to send the prompt without the one in the settings
BY_FLAG = {flag: option for option in OPTIONS for flag in (f"--{option.name}", f"-{option.short}") if flag != "-"}


@dataclass
class MagicLine:
    """A parsed magic line: the values of the options by name, and the beginning of the prompt.

    ``verbatim`` is true if ``--`` stands before the prompt. ``is_bare_model`` is true if the model is a bare word.
    """

    options: dict[str, Any] = field(default_factory=dict)
    prompt: str = ""
    verbatim: bool = field(default=False, compare=False)
    is_bare_model: bool = field(default=False, compare=False)


# An opening quotation mark and those that close it, in several languages. Editors insert them for plain quotes.
_QUOTES = ("\u201c\u201d\u201c", "\u201e\u201c\u201d", "\u201d\u201d", "\u2018\u2019", "\u201a\u2018\u2019")
_ANGLES = ("\xab\xbb", "\xbb\xab")
TYPOGRAPHIC = re.compile("|".join(rf"{marks[0]}(.*?)[{marks[1:]}](?!\S)" for marks in (*_QUOTES, *_ANGLES)), re.DOTALL)
CLOSING = {marks[0]: marks[1:] for marks in ('""', "''", *_QUOTES, *_ANGLES)}  # by their opening quotation mark
_DASHES = re.compile("[\u2012-\u2015\u2212]-?(?=[A-Za-z])")  # which editors insert for hyphens
_OPTION_WITH_VALUE = re.compile(r"--[\w-]+=")


def _word(line: str, place: int) -> tuple[str, int]:
    """The shell word at ``place`` without its quotes, and where it ends.

    A quote that is never closed is an ordinary character. Typographic quotes count only around a whole word.
    """
    option = _OPTION_WITH_VALUE.match(line, place)
    start = option.end() if option else place
    if quoted := TYPOGRAPHIC.match(line, start):
        return line[place:start] + quoted[quoted.lastindex or 0], quoted.end()
    characters: list[str] = []
    while place < len(line) and not line[place].isspace():
        character = line[place]
        end = line.find(character, place + 1) if character in "\"'" else -1
        if end > 0:
            characters.append(line[place + 1 : end])
            place = end + 1
            continue
        if character == "\\" and line[place + 1 : place + 2] in ("\\", '"', "'", " "):
            place += 1
        characters.append(line[place])
        place += 1
    return "".join(characters), place


def _skip_spaces(line: str, place: int) -> int:
    while place < len(line) and line[place].isspace():
        place += 1
    return place


def _flag(word: str) -> tuple[str, str | None]:
    """The name and the value of ``--name=value``; None if there is no value."""
    name, equals, value = word.partition("=")
    return (name, value) if word.startswith("--") and equals else (word, None)


def _looks_like_option(word: str) -> bool:
    """Is ``word`` an option, known or not? Raises ``OptionError`` if an editor has turned its hyphens into a dash."""
    for hyphens in ("-", "--"):
        meant = _DASHES.sub(hyphens, word, count=1)
        if meant != word and _flag(meant)[0] in BY_FLAG:
            raise OptionError(f"{word} begins with a dash: the option is {meant}. After -- it belongs to the prompt")
    return bool(re.match(r"--?[A-Za-z]", word))


def _nearest(flag: str) -> str:
    """The suggestion for an unknown ``flag``."""
    longer = [known for known in BY_FLAG if known.startswith(flag)] if flag.startswith("--") else []
    return f"; did you mean {' or '.join(longer)}?" if longer else closest(flag, BY_FLAG)


def _read_option(line: str, result: MagicLine, place: int) -> int:
    """Add the option at ``place`` to ``result``. Returns where the line goes on."""
    word, end = _word(line, place)
    name, inline = _flag(word)
    option = BY_FLAG.get(name)
    if option is None:
        raise OptionError(f"there is no option {name}{_nearest(name)} -- ends the options; -h shows them")
    if option.name in result.options and not option.many:
        raise OptionError(f"{name} is given twice")
    if not option.value:
        if inline is not None:
            raise OptionError(f"{name} takes no value")
        result.options[option.name] = True
        return end
    assigned = _OPTION_WITH_VALUE.match(line, place)
    start = assigned.end() if assigned else _skip_spaces(line, end)
    try:
        value, end = option_value(option, line, start) if start < len(line) else ("", start)
        if not value and (option.name not in MAY_BE_EMPTY or (start == len(line) and not assigned)):
            raise OptionError(f"{name} needs a value: {name} {option.value} ({option.text})")
        checked = option.check(value)
    except ValueError as error:
        shown = "" if option.json else f" {value}"
        raise OptionError(f"{name}{shown}: {error}") from None
    if option.many:
        checked = [*result.options.get(option.name, []), *(checked if isinstance(checked, list) else [checked])]
    result.options[option.name] = checked
    return end


def _value(line: str, place: int) -> tuple[str, int]:
    """The value at ``place`` as ``_word`` reads it. Raises ``OptionError`` if its opening quote is never closed."""
    value, end = _word(line, place)
    quote, after = line[place : place + 1], line[place + 1 :]
    if quote in CLOSING and value.startswith(quote) and not any(mark in after for mark in CLOSING[quote]):
        shown = f"{quote}{cut(after, 40)}"
        raise OptionError(f"the quote before {shown} is never closed: write {CLOSING[quote][0]} where the value ends")
    return value, end


def option_value(option: Option, line: str, place: int) -> tuple[str, int]:
    """The value of ``option`` at ``place`` without the quotes of a shell, and where it ends.

    Raises ``OptionError`` for a quote that is never closed.
    """
    return parameter_syntax.cut(line, place, _value) if option.json else _value(line, place)


def read_line(line: str, is_model: Callable[[str], bool]) -> MagicLine:
    """Parse ``line`` into options and the beginning of a prompt.

    The first bare word is the model if ``is_model`` says so. Any other bare word begins the prompt. Raises
    ``OptionError`` for an unknown option, a value that an option does not take, and an option that is given twice.
    """
    result = MagicLine()
    assigned = re.match(r"\s*([^\s\d-]\S*)\s+<<(?=\s|$)", line)
    place = 0
    if assigned:
        result.options["out"] = _checked_out(assigned[1])
        place = assigned.end()
    while (place := _skip_spaces(line, place)) < len(line):
        word, end = _word(line, place)
        if line[place:end] == "--":
            place, result.verbatim = _skip_spaces(line, end), True
            break
        if _looks_like_option(line[place:end]):
            place = _read_option(line, result, place)
        elif "model" not in result.options and _is_name(line, place, word) and is_model(word):
            result.options["model"], result.is_bare_model = word, True
            place = end
        else:
            break
    result.prompt = line[place:]
    parameter_syntax.merged(result.options.get("param", ()))  # raises if one is given twice
    return result


def _is_name(line: str, place: int, word: str) -> bool:
    """Can ``word`` be the name of a model? No name has a space, and typographic quotes mark text."""
    return len(word.split()) == 1 and not TYPOGRAPHIC.match(line, place)


def _checked_out(name: str) -> str:
    try:
        return variable_name(name)
    except ValueError as error:
        raise OptionError(f"{name} <<: {error}") from None


def first_word(line: str) -> tuple[str, int]:
    """The first word of ``line``, split as a shell does it, and where it ends."""
    return _word(line, 0)


def value_at(flag: str, line: str, place: int) -> tuple[str, int]:
    """The value of ``flag`` at ``place``, and where it ends. Raises ``OptionError`` for invalid JSON."""
    try:
        return option_value(BY_FLAG[flag], line, place) if flag in BY_FLAG else _value(line, place)
    except ValueError as error:
        raise OptionError(f"{flag}: {error}") from None


def parameter(flag: str, value: str) -> tuple[str, Any]:
    """The name and the value of ``NAME=VALUE``. Raises ``OptionError`` for other text."""
    try:
        return parameter_syntax.read(value)
    except ValueError as error:
        raise OptionError(f"{flag}: {error}") from None


def words(line: str) -> list[str]:
    """The words of ``line``, split as a shell does it."""
    parts, place = [], _skip_spaces(line, 0)
    while place < len(line):
        word, place = _word(line, place)
        parts.append(word)
        place = _skip_spaces(line, place)
    return parts


def unquoted(rest: str) -> str:
    """``rest`` without quotes around the whole of it."""
    inside = rest[1:-1]
    plain = len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'"
    return inside if plain or (TYPOGRAPHIC.fullmatch(rest) and rest[0] not in inside) else rest


def nothing_more(subcommand: str, rest: str) -> None:
    """Raise ``OptionError`` if ``rest``, the argument of a subcommand that takes none, is not empty."""
    if rest:
        raise OptionError(f"%flowgpt {subcommand} takes no arguments; {SEND_INSTEAD}")
