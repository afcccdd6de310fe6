"""What happens to a cell before IPython reads it, so that a prompt can be typed as one likes."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

CELL = re.compile(r"\s*%%flowgpt(?![\w?])")
QUESTION = re.compile(r"(\s*(?:[\w.,\[\] ]+=\s*)?)%flowgpt[ \t](.*\?\s*)")
TRIPLE_QUOTES = re.compile(r"\"{3}|'{3}")


def complete_cell(lines: list[str]) -> list[str]:
    """An input transformer for cells that begin with ``%%flowgpt``, perhaps below comments; leaves others alone.

    IPython knows a cell magic only in the first line, and refuses one without a body before it is called.
    """
    above = list(takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines))
    start = len(above)
    if start == len(lines) or not CELL.match(lines[start]):
        return lines
    first, body = lines[start], lines[start + 1 :]
    return [first if first.endswith("\n") else f"{first}\n", *(body or ["\n"])]


def keep_question_marks(lines: list[str]) -> list[str]:
    """An input transformer: IPython takes a line that ends with ``?`` for a call for help, and drops the rest of it."""
    if lines and CELL.match(lines[0]):
        return lines
    kept, quotes = [], 0
    for line in lines:
        found = QUESTION.fullmatch(line)
        if found and quotes % 2 == 0:  # and not in the middle of a string
            line = f"{found[1]}get_ipython().run_line_magic('flowgpt', {found[2].rstrip()!r})\n"
        quotes += len(TRIPLE_QUOTES.findall(line))
        kept.append(line)
    return kept


TRANSFORMERS = (complete_cell, keep_question_marks)


def is_whole_cell(request: dict[str, Any]) -> bool:
    """Is the cell one ``%%flowgpt`` magic, and not a magic around it, such as ``%%time``?"""
    code = str(request.get("content", {}).get("code", ""))
    lines = code.splitlines(keepends=True)
    return complete_cell(lines) != lines or bool(CELL.match(code))
