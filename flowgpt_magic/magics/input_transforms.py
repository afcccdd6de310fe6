"""Input transformers: protect the text of a prompt from IPython's own syntax."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Any

CELL_MAGIC = re.compile(r"\s*%%(flowgpt|ai)(?![\w?])")
# What may precede a line magic: an assignment (also chained, annotated or augmented) or a statement with a colon.
# IPython itself accepts only a plain assignment.
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
    """Translate a cell that begins with the magic ``name``, perhaps below comments; other cells are unchanged.

    IPython accepts a cell magic only in the first line and only with a body, and it removes the prompts of a pasted
    session (``>>>``, ``In [3]:``). So this runs before its own transformers, and makes the call that they would make.
    """
    above = list(takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines))
    start = len(above)
    magic = CELL_MAGIC.match(lines[start]) if start < len(lines) else None
    if magic is None or magic[1] != name:
        return lines
    line = lines[start].strip().removeprefix(f"%%{name}").strip()
    body = "".join(lines[start + 1 :]) or "\n"
    return [f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"]


def keep_question_marks(lines: list[str], name: str = "flowgpt") -> list[str]:
    """Translate line magics that end with ``?``, which IPython would read as a request for help.

    The magic may follow an assignment, a colon (``if ready: %flowgpt why?``) or another magic (``%time %flowgpt
    why?``), and its line may continue after a backslash.
    """
    result, quotes, place = [], 0, 0
    while place < len(lines):
        line, count = lines[place], 1
        if quotes % 2 == 0 and f"%{name}" in line:  # not inside a string
            while line.endswith("\\\n") and place + count < len(lines):
                line += lines[place + count]
                count += 1
            line = _as_call(line, name)
        quotes += len(TRIPLE_QUOTES.findall(line))
        result += line.splitlines(keepends=True) if count > 1 else [line]
        place += count
    return result


def _as_call(line: str, name: str) -> str:
    """The call of the magic in a line that ends with ``?``; other lines are unchanged."""
    if not line.rstrip().endswith("?"):
        return line
    start = line.index("%")
    before, magic = line[:start], OTHER_MAGIC.fullmatch(line[start:])
    balanced = before.count("'") % 2 == before.count('"') % 2 == 0
    if magic is None or not balanced or not STATEMENT_PREFIX.fullmatch(before):
        return line
    if magic[1] != name and not re.search(rf"(?<!%)%{name}[ \t]", magic[2]):
        return line
    # IPython joins the lines of a magic in this way, too.
    argument = re.sub(r"\s*\\\n", " ", magic[2]).rstrip()
    return f"{before}get_ipython().run_line_magic({magic[1]!r}, {argument!r})\n"


def keep_automagic_question(lines: list[str], on: Callable[[str], bool]) -> list[str]:
    """The same for a cell of one line without the percent sign; ``on`` tells whether automagic applies to a name."""
    magic = AUTOMAGIC.fullmatch(lines[0]) if len(lines) == 1 else None
    if magic is None or not on(magic[2]):
        return lines
    return [f"{magic[1]}get_ipython().run_line_magic({magic[2]!r}, {magic[3].rstrip()!r})\n"]


def _not_while_typing(transform: Any) -> Any:
    """Exclude ``transform`` from IPython's check whether a cell in a terminal is complete.

    Without it, a cell is complete after an empty line.
    """
    transform.has_side_effects = True  # IPython skips such transformers in that check
    return transform


TRANSFORMERS = (_not_while_typing(complete_cell), keep_question_marks)
AI_TRANSFORMERS = (_not_while_typing(partial(complete_cell, name="ai")), partial(keep_question_marks, name="ai"))


def is_whole_cell(request: dict[str, Any]) -> bool:
    """Return whether the whole cell is a ``%%flowgpt`` magic, without another one around it such as ``%%time``."""
    code = str(request.get("content", {}).get("code", ""))
    lines = code.splitlines(keepends=True)
    return complete_cell(lines) != lines or bool(CELL_MAGIC.match(code))
