"""Parse parameters on a magic line: ``NAME=VALUE``, where the value may be JSON with spaces.

JSON needs no quotes around it, but may have them, around the value or around ``NAME=VALUE``. Any other value is one
word of a shell: a number, ``true``, ``false``, ``null`` or a text.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from flowgpt_magic.errors import OptionError
from flowgpt_magic.settings.parameters import EXTRA_BODY, joined

Cut = Callable[[str, int], tuple[str, int]]

EXAMPLES = ('stop=["END"]', f'{EXTRA_BODY}={{"repetition_penalty": 1.1}}')
MAX_QUOTED = 100  # characters of a value in an error message
_BEGIN = re.compile(r"""(["']?)([A-Za-z_]\w*)=(?=["']?[\[{"])""")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?!\S)')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORDS = {"True": True, "False": False, "None": None}  # as Python writes them
_SEVERAL = re.compile(rf"{_NUMBER.pattern}\s*,\s*[A-Za-z_]\w*=")
_CURLY = str.maketrans("\u201c\u201d\u201e\u2018\u2019", '"""\'\'')
_HIDDEN = re.compile(r"""["']?extra_headers=""")  # a value there may be a key, written by mistake


def cut(line: str, place: int, word: Cut) -> tuple[str, int]:
    """The parameter at ``place`` without the quotes of a shell, and where it ends.

    ``word`` splits off a word as a shell does it. Raises ``ValueError`` for invalid JSON.
    """
    begin = _BEGIN.match(line, place)
    if begin:
        around, name = begin.groups()
        for inside in ("", *line[begin.end()].strip("[{")):
            start = begin.end() + len(inside)
            end = _json_end(line, start)
            closed = end + len(inside + around)
            if end > start and line[end:closed] == inside + around and not line[closed : closed + 1].strip():
                return f"{name}={line[start:end]}", closed
    if quoted := _QUOTED.match(line, place):
        text = re.sub(r'\\(["\\])', r"\1", quoted[1])
        if "\\" in quoted[1] and _is_json(text.partition("=")[2]):
            return text, quoted.end()
    parameter, end = word(line, place)
    if begin and line[begin.end()] in "[{" and not begin[1] and not _is_json(parameter.partition("=")[2]):
        raise ValueError(_invalid(begin[2], _raw(line, begin.end())))
    return parameter, end


def _json_end(line: str, start: int) -> int:
    """Where the JSON value at ``start`` ends; 0 if there is none."""
    try:
        return int(_decoder.raw_decode(line, start)[1])
    except (ValueError, RecursionError, _ConstantError):
        return 0


def read(text: str) -> tuple[str, Any]:
    """The name and the value of ``NAME=VALUE``. A value that is not JSON is text.

    Raises ``ValueError`` for an invalid name and for invalid JSON.
    """
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        better = re.sub(r"\W+", "_", name).strip("_")
        meant = f" Did you mean {better}={value}?" if equals and better.isidentifier() and better != name else ""
        raise ValueError(f"must be name=value without spaces around the =, such as top_p=0.9.{meant}")
    if not value:
        raise ValueError(f'has no value: write {name}="" for an empty text, or {name}=null to leave the parameter out')
    return name, _value(name, value)


def _value(name: str, text: str) -> Any:
    value = text.strip()
    if value in _WORDS:
        return _WORDS[value]
    if _NUMBER.fullmatch(value) and not re.match(r"[+-]?0\d", value):
        return _number(name, value)
    if _SEVERAL.match(value):
        raise ValueError(f"is read as one value, {value}: write -P before each parameter")
    try:
        return _decoder.decode(value)
    except _ConstantError as error:
        raise ValueError(f"is {error}, a number that JSON does not have") from None
    except (ValueError, RecursionError):
        if value.startswith(("[", "{")):
            raise ValueError(_invalid(name, value)) from None
        return text


def _number(name: str, text: str) -> int | float:
    """A number. It is an integer if it has no decimal point, such as 1e3."""
    try:
        if re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        number = float(text)
    except ValueError:
        raise ValueError(f"has too many digits for {name}") from None
    if not math.isfinite(number):
        raise ValueError(f"is too large a number: {text[:MAX_QUOTED]}")
    return int(number) if "." not in text and number.is_integer() else number


class _ConstantError(Exception):
    """``NaN`` or ``Infinity``, which Python's decoder accepts and JSON does not have."""


def _no_constant(name: str) -> Any:
    raise _ConstantError(name)


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def _is_json(text: str) -> bool:
    try:
        _decoder.decode(text)
    except (ValueError, RecursionError, _ConstantError):
        return False
    return True


def _raw(line: str, start: int) -> str:
    """The text at ``start`` as typed, up to the bracket that probably ends it."""
    end = max(line.rfind("]", start), line.rfind("}", start)) + 1
    return line[start:end] if end > start else line[start:].split(" ")[0]


def _invalid(name: str, text: str) -> str:
    """What is wrong with invalid JSON, and how to write it."""
    if name == "extra_headers":
        return 'cannot be read as JSON: write extra_headers={"X-Title": "a title", "api-key": "$NAME_OF_A_VARIABLE"}'
    try:
        _decoder.decode(text)
        why = ""
    except _ConstantError as error:
        why = f"JSON has no number {error}"
    except RecursionError:
        why = "it is nested too deeply"
    except json.JSONDecodeError as error:
        why = f"{error.msg} at character {error.pos + 1}"
    except ValueError as error:  # a number with thousands of digits
        why = str(error)
    quoted = text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"
    corrected = _corrected(text)
    advice = f"write {name}={corrected}" if corrected else f"JSON needs double quotes, as in {EXAMPLES[0]}"
    return f"is read as {quoted}, which is not JSON ({why}); {advice}"


def _corrected(invalid: str) -> str:
    """What was probably meant by invalid JSON; empty if that is unclear."""
    straight = invalid.translate(_CURLY)
    bare = re.sub(r"(?<![\w\"'])(?!(?:true|false|null)\b)[A-Za-z_][\w./-]*", lambda word: f'"{word[0]}"', invalid)
    for text in (straight, bare):
        for reading in (_decoder.decode, ast.literal_eval):
            try:
                written = json.dumps(reading(text), ensure_ascii=False, allow_nan=False)
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, _ConstantError):
                continue
            return written if len(written) <= MAX_QUOTED else ""
    return ""


def merged(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The parameters of one line; several ``extra_body`` are merged.

    Raises ``OptionError`` for one that is given twice.
    """
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        parameters[name] = _merged(name, parameters[name], value) if name in parameters else value
    return parameters


def _merged(name: str, before: Any, value: Any) -> Any:
    if name not in (EXTRA_BODY, "extra_headers") or not (isinstance(before, dict) and isinstance(value, dict)):
        raise OptionError(f"-P {name}=… is given twice")
    if twice := _twice(before, value):
        raise OptionError(f"-P {name}=… gives {twice} twice")
    return joined(before, value)


def _twice(before: dict[str, Any], value: dict[str, Any]) -> str:
    """The first field that both have, as a path with dots."""
    for name in before.keys() & value.keys():
        if isinstance(before[name], dict) and isinstance(value[name], dict):
            if inner := _twice(before[name], value[name]):
                return f"{name}.{inner}"
        else:
            return name
    return ""
