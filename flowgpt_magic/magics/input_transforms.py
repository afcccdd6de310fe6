"""What happens to a cell before IPython reads it, so that a prompt can be typed as one likes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Any

CELL_MAGIC = re.compile(r"\s*%%(flowgpt|ai)(?![\w?])")
# A statement that a magic may stand in: an assignment (chained, annotated, augmented), or one behind a colon. IPython
# itself knows only the plain assignment.
STATEMENT_PREFIX = re.compile(
    r"""\s*(?:
        (?:(?:async\s+)?(?:if|elif|else|for|while|with|try|except|finally|def|class|case)\b[^#%]*:\s*)?
        (?:[^#%]*[^\s#%=!<>]\s*=\s*)?
    )""",
    re.VERBOSE,
)
OTHER_MAGIC = re.compile(r"%([a-zA-Z_][\w.]*)[ \t]+(.*)", re.DOTALL)
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
    found = CELL_MAGIC.match(lines[start]) if start < len(lines) else None
    if found is None or found[1] != name:
        return lines
    line = lines[start].strip().removeprefix(f"%%{name}").strip()
    body = "".join(lines[start + 1 :]) or "\n"
    return [f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"]


def keep_question_marks(lines: list[str], name: str = "flowgpt") -> list[str]:
    """An input transformer: IPython takes a line that ends with ``?`` for a call for help, and drops the rest of it.

    The magic may stand behind an assignment, behind a colon (``if ready: %flowgpt why?``), or behind another magic
    (``%time %flowgpt why?``), and its line may go on after a backslash.
    """
    kept, quotes, place = [], 0, 0
    while place < len(lines):
        line, count = lines[place], 1
        if quotes % 2 == 0 and f"%{name}" in line:  # and not in the middle of a string
            while line.endswith("\\\n") and place + count < len(lines):
                line += lines[place + count]
                count += 1
            line = _as_call(line, name)
        quotes += len(TRIPLE_QUOTES.findall(line))
        kept += line.splitlines(keepends=True) if count > 1 else [line]
        place += count
    return kept


def _as_call(line: str, name: str) -> str:
    """The call of the magic on a line that ends with ``?``; any other line as it is."""
    if not line.rstrip().endswith("?"):
        return line
    start = line.index("%")
    before, magic = line[:start], OTHER_MAGIC.fullmatch(line[start:])
    balanced = before.count("'") % 2 == before.count('"') % 2 == 0
    if magic is None or not balanced or not STATEMENT_PREFIX.fullmatch(before):
        return line
    if magic[1] != name and not re.search(rf"(?<!%)%{name}[ \t]", magic[2]):
        return line
    # IPython joins the lines of a magic in the same way.
    argument = re.sub(r"\s*\\\n", " ", magic[2]).rstrip()
    return f"{before}get_ipython().run_line_magic({magic[1]!r}, {argument!r})\n"


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
    return complete_cell(lines) != lines or bool(CELL_MAGIC.match(code))
