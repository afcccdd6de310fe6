"""Parameters as they are written on the line of a magic: ``NAME=VALUE``, where a value may be JSON with spaces in it.

JSON is read as it stands, quotes and all. A shell's quotes may be around it, or around the whole; anything else is cut
as the shell would, and is a number, ``true``, ``false``, ``null`` or a text.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from flowgpt_magic.errors import OptionError
from flowgpt_magic.settings.parameters import BODY, joined

Cut = Callable[[str, int], tuple[str, int]]

EXAMPLES = ('stop=["END"]', f'{BODY}={{"repetition_penalty": 1.1}}')
MAX_QUOTED = 100  # characters of what was read, in an error
_BEGIN = re.compile(r"""(["']?)([A-Za-z_]\w*)=(?=["']?[\[{"])""")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?!\S)')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORDS = {"True": True, "False": False, "None": None}  # as Python writes them
_SEVERAL = re.compile(rf"{_NUMBER.pattern}\s*,\s*[A-Za-z_]\w*=")
_CURLY = str.maketrans("\u201c\u201d\u201e\u2018\u2019", '"""\'\'')
_HIDDEN = re.compile(r"""["']?extra_headers=""")  # what stands there by mistake may be a key


def cut(line: str, place: int, word: Cut) -> tuple[str, int]:
    """The parameter that begins at ``place``, without the shell's quotes, and where it ends.

    ``word`` cuts a word as the shell does. Raises ``ValueError`` for JSON that is broken.
    """
    begun = _BEGIN.match(line, place)
    if begun:
        around, name = begun.groups()
        for inside in ("", *line[begun.end()].strip("[{")):
            start = begun.end() + len(inside)
            end = _json_end(line, start)
            closed = end + len(inside + around)
            if end > start and line[end:closed] == inside + around and not line[closed : closed + 1].strip():
                return f"{name}={line[start:end]}", closed
    if quoted := _QUOTED.match(line, place):
        text = re.sub(r'\\(["\\])', r"\1", quoted[1])
        if "\\" in quoted[1] and _is_json(text.partition("=")[2]):
            return text, quoted.end()
    found, end = word(line, place)
    if begun and line[begun.end()] in "[{" and not begun[1] and not _is_json(found.partition("=")[2]):
        raise ValueError(_broken(begun[2], _raw(line, begun.end())))
    return found, end


def _json_end(line: str, start: int) -> int:
    """Where the JSON ends that begins at ``start``; 0 where it is none."""
    try:
        return int(_decoder.raw_decode(line, start)[1])
    except (ValueError, RecursionError, _ConstantError):
        return 0


def read(text: str) -> tuple[str, Any]:
    """``NAME=VALUE`` in two parts; the value is JSON where it is that, and text where it is not.

    Raises ``ValueError`` for a name that is none, and for JSON that is broken.
    """
    name, equals, given = text.partition("=")
    if not (equals and name.isidentifier()):
        better = re.sub(r"\W+", "_", name).strip("_")
        meant = f" Did you mean {better}={given}?" if equals and better.isidentifier() and better != name else ""
        raise ValueError(f"must be name=value without spaces around the =, such as top_p=0.9.{meant}")
    if not given:
        raise ValueError(f'has no value: write {name}="" for an empty text, or {name}=null to leave the parameter out')
    return name, _value(name, given)


def _value(name: str, text: str) -> Any:
    given = text.strip()
    if given in _WORDS:
        return _WORDS[given]
    if _NUMBER.fullmatch(given) and not re.match(r"[+-]?0\d", given):
        return _number(name, given)
    if _SEVERAL.match(given):
        raise ValueError(f"is read as one value, {given}: write -P before each parameter")
    try:
        return _decoder.decode(given)
    except _ConstantError as error:
        raise ValueError(f"is {error}, a number that JSON does not have") from None
    except (ValueError, RecursionError):
        if given.startswith(("[", "{")):
            raise ValueError(_broken(name, given)) from None
        return text


def _number(name: str, given: str) -> int | float:
    """A number; one without a point is whole, such as 1e3."""
    try:
        if re.fullmatch(r"[+-]?\d+", given):
            return int(given)
        found = float(given)
    except ValueError:
        raise ValueError(f"has too many digits for {name}") from None
    if not math.isfinite(found):
        raise ValueError(f"is a larger number than there is one of: {given[:MAX_QUOTED]}")
    return int(found) if "." not in given and found.is_integer() else found


class _ConstantError(Exception):
    """``NaN`` or ``Infinity``, which Python's JSON has and others do not."""


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
    """What stands at ``start`` as it was typed, up to the bracket that seems to end it."""
    end = max(line.rfind("]", start), line.rfind("}", start)) + 1
    return line[start:end] if end > start else line[start:].split(" ")[0]


def _broken(name: str, given: str) -> str:
    """What is wrong with JSON that cannot be read, and how to write it."""
    if name == "extra_headers":
        return 'cannot be read as JSON: write extra_headers={"X-Title": "a title", "api-key": "$NAME_OF_A_VARIABLE"}'
    try:
        _decoder.decode(given)
        why = ""
    except _ConstantError as error:
        why = f"{error} is no number that JSON has"
    except RecursionError:
        why = "it is nested too deeply"
    except json.JSONDecodeError as error:
        why = f"{error.msg} at character {error.pos + 1}"
    except ValueError as error:  # a number with thousands of digits
        why = str(error)
    shown = given if len(given) <= MAX_QUOTED else f"{given[:MAX_QUOTED]}…"
    meant = _meant(given)
    write = f"write {name}={meant}" if meant else f"texts and names stand in double quotes, as in {EXAMPLES[0]}"
    return f"is read as {shown}, which is no JSON ({why}); {write}"


def _meant(given: str) -> str:
    """What was probably meant by JSON that is broken; empty if nothing can be told."""
    straight = given.translate(_CURLY)
    bare = re.sub(r"(?<![\w\"'])(?!(?:true|false|null)\b)[A-Za-z_][\w./-]*", lambda word: f'"{word[0]}"', given)
    for text in (straight, bare):
        for reading in (_decoder.decode, ast.literal_eval):
            try:
                written = json.dumps(reading(text), ensure_ascii=False, allow_nan=False)
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, _ConstantError):
                continue
            return written if len(written) <= MAX_QUOTED else ""
    return ""


def merged(given: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """All parameters of one line; several ``extra_body`` are merged.

    Raises ``OptionError`` for one that is there twice.
    """
    found: dict[str, Any] = {}
    for name, value in given:
        if name in found:
            value = _merged(name, found[name], value)
        found[name] = value
    return found


def _merged(name: str, before: Any, value: Any) -> Any:
    if name not in (BODY, "extra_headers") or not (isinstance(before, dict) and isinstance(value, dict)):
        raise OptionError(f"-P {name}=… is there twice: which one do you mean?")
    if twice := _twice(before, value):
        raise OptionError(f"-P {name}=… gives {twice} twice: which one do you mean?")
    return joined(before, value)


def _twice(before: dict[str, Any], value: dict[str, Any]) -> str:
    """The first field that both give, as a path with dots."""
    for name in before.keys() & value.keys():
        if isinstance(before[name], dict) and isinstance(value[name], dict):
            if inner := _twice(before[name], value[name]):
                return f"{name}.{inner}"
        else:
            return name
    return ""
