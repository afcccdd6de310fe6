"""Values that are described to a model, and what a description must be."""

from __future__ import annotations

import dataclasses
import enum
import linecache
import re
import textwrap
import time
from typing import Any, NamedTuple

import pydantic

from flowgpt_magic.prompt.attachments import describe

TIMES = "\N{MULTIPLICATION SIGN}"
NOTICE = re.compile(r"… .* are not shown")
LONGEST_NOTICE = 200  # characters


def split(text: str) -> tuple[str, str]:
    """A description, and the line that says what is left out of it, "" if nothing is."""
    body, _newline, last = text.rpartition("\n")
    return (body, last) if NOTICE.fullmatch(last) else (text, "")


def fits(text: str, budget: int) -> bool:
    body, notice = split(text)
    return len(body) <= 4 * budget and len(notice) <= LONGEST_NOTICE


def notice(value: object, budget: int) -> str:
    text = describe("it", value, budget)
    assert fits(text, budget)
    return split(text)[1]


def in_a_cell(source: str, number: int = 7) -> dict[str, Any]:
    """What ``source`` defines, as if it had been run in a cell of a notebook."""
    source = textwrap.dedent(source)
    name = f"<ipython-input-{number}-abcdef>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), names)
    return names


def raised(call: Any, *args: Any) -> BaseException:
    try:
        call(*args)
    except BaseException as error:
        return error
    raise AssertionError


@dataclasses.dataclass
class Point:
    x: int
    y: list[int]
    password: str = "s3cr3t"
    quiet: int = dataclasses.field(default=3, repr=False)


class Pair(NamedTuple):
    left: int
    right: str


class Model(pydantic.BaseModel):
    size: int = 1
    token: str = "s3cr3t"


class Plain:
    def __init__(self) -> None:
        self.size = 1
        self.api_key = "s3cr3t"
        self._own = 2


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no\nway")


class Leaving:
    def __repr__(self) -> str:
        raise SystemExit


class Slow:
    asked = 0

    def __repr__(self) -> str:
        Slow.asked += 1
        time.sleep(30)
        return "at last"


class Color(enum.IntEnum):
    RED = 1
