"""What happens to a cell before IPython reads it, so that a prompt can be typed as one likes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Any

CELL = re.compile(r"\s*%%(flowgpt|ai)(?![\w?])")
QUESTION = re.compile(r"(\s*(?:[\w.,\[\] ]+=\s*)?)%(flowgpt|ai)[ \t](.*\?\s*)")
AUTOMAGIC = re.compile(r"(\s*)(flowgpt|ai)[ \t]+(?!=)(.*\?\s*)")
TRIPLE_QUOTES = re.compile(r"\"{3}|'{3}")


def complete_cell(lines: list[str], name: str = "flowgpt") -> list[str]:
    """An input transformer for cells that begin with the magic ``name``, perhaps below comments; leaves others alone.

    IPython knows a cell magic only in the first line, refuses one without a body before it is called, and takes the
    prompts of a pasted session (``>>>``, ``In [3]:``) away. So this comes before its own transformers, and gives them
    the call that they would make of the cell.
    """
    above = list(takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines))
    start = len(above)
    found = CELL.match(lines[start]) if start < len(lines) else None
    if found is None or found[1] != name:
        return lines
    line = lines[start].strip().removeprefix(f"%%{name}").strip()
    body = "".join(lines[start + 1 :]) or "\n"
    return [f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"]


def keep_question_marks(lines: list[str], name: str = "flowgpt") -> list[str]:
    """An input transformer: IPython takes a line that ends with ``?`` for a call for help, and drops the rest of it."""
    kept, quotes = [], 0
    for line in lines:
        found = QUESTION.fullmatch(line)
        if found and found[2] == name and quotes % 2 == 0:  # and not in the middle of a string
            line = f"{found[1]}get_ipython().run_line_magic({name!r}, {found[3].rstrip()!r})\n"
        quotes += len(TRIPLE_QUOTES.findall(line))
        kept.append(line)
    return kept


def keep_automagic_question(lines: list[str], on: Callable[[str], bool]) -> list[str]:
    """The same for a cell of one line in which the percent sign is missing; ``on`` says whether a magic may be so."""
    found = AUTOMAGIC.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or not on(found[2]):
        return lines
    return [f"{found[1]}get_ipython().run_line_magic({found[2]!r}, {found[3].rstrip()!r})\n"]


def _not_while_typing(transform: Any) -> Any:
    """Let IPython say without it when a cell in a terminal is whole: not before a line is left empty."""
    transform.has_side_effects = True  # that is why IPython leaves some out when it only wants to know
    return transform


TRANSFORMERS = (_not_while_typing(complete_cell), keep_question_marks)
AI_TRANSFORMERS = (_not_while_typing(partial(complete_cell, name="ai")), partial(keep_question_marks, name="ai"))


def is_whole_cell(request: dict[str, Any]) -> bool:
    """Is the cell one ``%%flowgpt`` magic, and not a magic around it, such as ``%%time``?"""
    code = str(request.get("content", {}).get("code", ""))
    lines = code.splitlines(keepends=True)
    return complete_cell(lines) != lines or bool(CELL.match(code))
