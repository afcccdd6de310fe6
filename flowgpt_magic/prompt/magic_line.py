"""The line of a magic: its options, its model, and where the prompt begins.

The line is cut as a shell would cut it, but an apostrophe in the words of a prompt is no quote, and the prompt keeps
every space it was typed with.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.prompt import parameter_syntax
from flowgpt_magic.settings import FORMATS, number, one_of, temperature, whole_number

# A cell's line that is none of a prompt: a subcommand that takes the lines below.
ABOVE_TEXT = re.compile(r"\s*(?:edit\s+-?\d+(?:\s+-.*)?|system)\s*")
SEND_INSTEAD = "to send it as a prompt, write %flowgpt -- before it"


@dataclass(frozen=True)
class Option:
    """One flag: its names, what its value is called (empty for a switch), what value it takes, what it does."""

    name: str
    short: str
    value: str
    check: Callable[[str], Any]
    text: str
    many: bool = False  # may it be there more than once?
    json: bool = False  # may its value hold JSON, whose quotes and spaces belong to it?


def variable_name(value: str) -> str:
    """``value``, if a variable can be called so."""
    if value.isidentifier() and not keyword.iskeyword(value):
        return value
    better = re.sub(r"\W+", "_", value).strip("_")
    better = f"_{better}" if better[:1].isdigit() or keyword.iskeyword(better) else better
    raise ValueError(
        f"{value!r} cannot be a variable" + (f"; did you mean {better}?" if better.isidentifier() else ".")
    )


def names(value: str) -> list[str]:
    """A list with commas, without the spaces around them."""
    found = [each.strip() for each in value.split(",")]
    if not all(found):
        raise ValueError("must be names with commas between them, such as frame,out:3")
    return found


FORMATS_SHOWN = ", ".join(FORMATS)
OPTIONS = (
    Option("model", "m", "NAME", str, "who answers: provider:model, a provider, a model or an alias"),
    Option("temperature", "t", "NUMBER", temperature, "0 to 2"),
    Option("max-tokens", "", "NUMBER", whole_number(1), "tokens at which the reply ends, where the provider can"),
    Option(
        "param",
        "P",
        "NAME=VALUE",
        parameter_syntax.read,
        'a parameter of the provider: stop=["END"], extra_body={"top_a": 0.2}; as often as needed',
        many=True,
        json=True,
    ),
    Option("system", "s", "TEXT", str, "system prompt for this turn: a text, or @file"),
    Option("chat", "c", "NAME", str, "the conversation; a new name begins one"),
    Option("format", "f", "NAME", one_of(*FORMATS), f"how the reply is shown: {FORMATS_SHOWN}"),
    Option("out", "o", "VARIABLE", variable_name, "a variable that gets the reply; also: VARIABLE <<"),
    Option(
        "attach",
        "a",
        "NAMES",
        names,
        "send along variables, cell:-1, out:3, err, files; with commas between",
        many=True,
    ),
    Option("raw", "", "", str, "leave {…} in the prompt alone"),
    Option("no-history", "", "", str, "neither send nor keep earlier turns"),
    Option("append", "", "", str, "a new turn even if this cell already has one"),
    Option("cache", "", "", str, "answer from the history if the same request was answered before"),
    Option("refresh", "", "", str, "ask again all the same, and keep the new answer"),
    Option("dry-run", "", "", str, "show what would be sent, and send nothing"),
    Option("next-cell", "", "", str, "put the code of the reply into the next cell"),
    Option("schema", "", "NAME", str, "check the reply by a pydantic model or JSON Schema: a variable, or @file.json"),
    Option("timeout", "", "SECONDS", number(0.001), "silence after which the reply has failed"),
    Option("retries", "", "NUMBER", whole_number(0), "further tries after a failure that came before the first chunk"),
    Option("proxy", "", "URL", str, "an HTTP proxy for this turn"),
    Option("no-stream", "", "", str, "show only the end"),
    Option("quiet", "", "", str, "show nothing"),
    Option("help", "h", "", str, "show this"),
)
MAY_BE_EMPTY = ("system", "proxy")  # to ask without the one that is set
BY_FLAG = {flag: option for option in OPTIONS for flag in (f"--{option.name}", f"-{option.short}") if flag != "-"}


@dataclass
class MagicLine:
    """A magic line, read: option values by name, the first bare word if it names a model, and the prompt's start."""

    options: dict[str, Any] = field(default_factory=dict)
    prompt: str = ""


# What opens a quotation in some language, and what may close it there. Editors make these of the plain ones.
_QUOTES = ("\u201c\u201d\u201c", "\u201e\u201c\u201d", "\u201d\u201d", "\u2018\u2019", "\u201a\u2018\u2019")
_ANGLES = ("\xab\xbb", "\xbb\xab")
TYPOGRAPHIC = re.compile("|".join(rf"{each[0]}(.*?)[{each[1:]}](?!\S)" for each in (*_QUOTES, *_ANGLES)), re.DOTALL)
_DASHES = re.compile("[\u2012-\u2015\u2212]-?(?=[A-Za-z])")  # and of hyphens
_OPTION_WITH_VALUE = re.compile(r"--[\w-]+=")


def _word(line: str, place: int) -> tuple[str, int]:
    """The shell word that begins at ``place``, without its quotes, and where it ends.

    A quote that is never closed is an ordinary character, and typographic ones are quotes around a whole word only.
    """
    given = _OPTION_WITH_VALUE.match(line, place)
    start = given.end() if given else place
    if quoted := TYPOGRAPHIC.match(line, start):
        return line[place:start] + quoted[quoted.lastindex or 0], quoted.end()
    found: list[str] = []
    while place < len(line) and not line[place].isspace():
        character = line[place]
        end = line.find(character, place + 1) if character in "\"'" else -1
        if end > 0:
            found.append(line[place + 1 : end])
            place = end + 1
            continue
        if character == "\\" and line[place + 1 : place + 2] in ("\\", '"', "'", " "):
            place += 1
        found.append(line[place])
        place += 1
    return "".join(found), place


def _skip_spaces(line: str, place: int) -> int:
    while place < len(line) and line[place].isspace():
        place += 1
    return place


def _flag(word: str) -> tuple[str, str | None]:
    """``--name=value`` in two parts; the value is None where there is none."""
    name, equals, value = word.partition("=")
    return (name, value) if word.startswith("--") and equals else (word, None)


def _looks_like_option(word: str) -> bool:
    """Is it one, perhaps an unknown one? Raises ``OptionError`` for one whose hyphens an editor made a dash of."""
    for hyphens in ("-", "--"):
        meant = _DASHES.sub(hyphens, word, count=1)
        if meant != word and _flag(meant)[0] in BY_FLAG:
            raise OptionError(f"{word} begins with a dash: the option is {meant}. Behind -- it belongs to the prompt")
    return bool(re.match(r"--?[A-Za-z]", word))


def _nearest(flag: str) -> str:
    """How a message about an unknown ``flag`` goes on."""
    begun = [each for each in BY_FLAG if each.startswith(flag)] if flag.startswith("--") else []
    return f"; did you mean {' or '.join(begun)}?" if begun else closest(flag, BY_FLAG)


def _read_option(line: str, result: MagicLine, place: int) -> int:
    """Take the option at ``place`` and its value into ``result``; returns where the line goes on."""
    word, end = _word(line, place)
    name, inline = _flag(word)
    option = BY_FLAG.get(name)
    if option is None:
        raise OptionError(f"there is no option {name}{_nearest(name)} -- ends the options; -h shows them")
    if option.name in result.options and not option.many:
        raise OptionError(f"{name} is there twice: which one do you mean?")
    if not option.value:
        if inline is not None:
            raise OptionError(f"{name} takes no value: it is there, or it is not")
        result.options[option.name] = True
        return end
    given = _OPTION_WITH_VALUE.match(line, place)
    start = given.end() if given else _skip_spaces(line, end)
    try:
        value, end = option_value(option, line, start) if start < len(line) else ("", start)
        if not value and (option.name not in MAY_BE_EMPTY or (start == len(line) and not given)):
            raise OptionError(f"{name} needs a value: {name} {option.value} ({option.text})")
        checked = option.check(value)
    except ValueError as error:
        shown = "" if option.json else f" {value}"
        raise OptionError(f"{name}{shown}: {error}") from None
    if option.many:
        checked = [*result.options.get(option.name, []), *(checked if isinstance(checked, list) else [checked])]
    result.options[option.name] = checked
    return end


def option_value(option: Option, line: str, place: int) -> tuple[str, int]:
    """The value of ``option`` that begins at ``place``, without the shell's quotes, and where it ends."""
    return parameter_syntax.cut(line, place, _word) if option.json else _word(line, place)


def read_line(line: str, is_model: Callable[[str], bool]) -> MagicLine:
    """``line`` as options and the beginning of a prompt.

    The first bare word is the model if ``is_model`` says that it names one; every other bare word begins the prompt.
    Raises ``OptionError`` for an unknown option, a value that an option does not take, and an option given twice.
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
            place = _skip_spaces(line, end)
            break
        if _looks_like_option(line[place:end]):
            place = _read_option(line, result, place)
        elif "model" not in result.options and _is_name(line, place, word) and is_model(word):
            result.options["model"] = word
            place = end
        else:
            break
    result.prompt = line[place:]
    parameter_syntax.merged(result.options.get("param", ()))  # raises where one is there twice
    return result


def _is_name(line: str, place: int, word: str) -> bool:
    """Can ``word`` name a model? None holds a space, and what stands in typographic quotes is said, not named."""
    return len(word.split()) == 1 and not TYPOGRAPHIC.match(line, place)


def _checked_out(name: str) -> str:
    try:
        return variable_name(name)
    except ValueError as error:
        raise OptionError(f"{name} <<: {error}") from None


def first_word(line: str) -> tuple[str, int]:
    """The word that ``line`` begins with, cut as a shell would, and where it ends."""
    return _word(line, 0)


def value_at(flag: str, line: str, place: int) -> tuple[str, int]:
    """The value of ``flag`` that begins at ``place``, and where it ends. Raises ``OptionError`` for broken JSON."""
    try:
        return option_value(BY_FLAG[flag], line, place) if flag in BY_FLAG else _word(line, place)
    except ValueError as error:
        raise OptionError(f"{flag}: {error}") from None


def parameter(flag: str, value: str) -> tuple[str, Any]:
    """``NAME=VALUE`` in two parts. Raises ``OptionError`` for what is none."""
    try:
        return parameter_syntax.read(value)
    except ValueError as error:
        raise OptionError(f"{flag}: {error}") from None


def words(line: str) -> list[str]:
    """``line`` cut as a shell would."""
    found, place = [], _skip_spaces(line, 0)
    while place < len(line):
        word, place = _word(line, place)
        found.append(word)
        place = _skip_spaces(line, place)
    return found


def unquoted(rest: str) -> str:
    """``rest`` without the quotes around all of it, if there are any."""
    inside = rest[1:-1]
    plain = len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'"
    return inside if plain or (TYPOGRAPHIC.fullmatch(rest) and rest[0] not in inside) else rest


def nothing_more(subcommand: str, rest: str) -> None:
    """Raise ``OptionError`` where something stands behind a subcommand that takes nothing."""
    if rest:
        raise OptionError(f"%flowgpt {subcommand} takes nothing more; {SEND_INSTEAD}")


def usage() -> str:
    """The options, a line each."""
    rows = []
    for option in OPTIONS:
        names = f"-{option.short}, --{option.name}" if option.short else f"--{option.name}"
        rows.append(f"  {names + ' ' + option.value:<28}{option.text}")
    return "\n".join(rows)
