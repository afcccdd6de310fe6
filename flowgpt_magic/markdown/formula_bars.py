r"""Hide the bars of formulas from the table parser, so that they do not end cells.

``| $|x|$ | absolute value |`` has two cells in JupyterLab, which looks for formulas before tables. Here tables are
found first. So the bars in formulas are replaced by characters that clean text does not have, and restored later.

In a table ``\|`` can also be a bar that does not end a cell. An even number of them in a formula are norms, as in TeX;
a single one is a bar.
"""

from __future__ import annotations

import bisect
import re
from typing import TYPE_CHECKING

from flowgpt_magic.markdown.formulas import find_formula

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

_HIDDEN = "\x04"  # clean text has no control characters
_ROW = re.compile(r"^(?=[^\n]*\|)(?=[^\n]*(?:\$|\\[(\[]|\\begin\{))(?![^\n]*\]:)[^\n]+", re.MULTILINE)
_TICKS = re.compile("`+")
_STOP = re.compile(r"`+|\$\$?|\\[\s\S]?")
_SEPARATOR = re.compile(r"\s\|\s")
_GROUPED = re.compile(r"\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\]|\{(?:[^{}]|\{[^{}]*\})*\}")


def hide_bars(text: str) -> str:
    """The text with placeholders of the same length for the bars in formulas, in lines that may be table rows."""
    if "|" not in text or ("$" not in text and "\\" not in text):
        return text
    return _ROW.sub(lambda row: _hidden(row[0]), text)


def show_bars(text: str) -> str:
    """The text with its bars restored."""
    return text.replace("\x05", "\\").replace(_HIDDEN, "|") if _HIDDEN in text or "\x05" in text else text


def _hidden(line: str) -> str:
    ticks: dict[int, list[int]] = {}
    for run in _TICKS.finditer(line):
        ticks.setdefault(len(run[0]), []).append(run.start())
    parts: list[str] = []
    at = written = 0
    while stop := _STOP.search(line, at):
        at = stop.end()
        if stop[0][0] == "`":
            places = ticks[len(stop[0])]
            after = bisect.bisect_left(places, at)
            at = places[after] + len(stop[0]) if after < len(places) else at
            continue
        match = find_formula(line, stop.start(), len(line))
        if match is None:
            continue
        at = match[2]
        formula = line[stop.start() : at]
        if "|" in formula and not _is_two_cells(formula):
            parts += [line[written : stop.start()], _without_bars(formula)]
            written = at
    return "".join([*parts, line[written:]])


def _is_two_cells(formula: str) -> bool:
    """Whether a bar more likely ends a cell: it has spaces around it, and the formula looks like prices."""
    free = _GROUPED.sub("", formula.replace("\\|", "  "))
    return _SEPARATOR.search(free) is not None and (
        formula[1:2].isspace() or formula[-2:-1].isspace() or formula[1:2].isdigit() or formula[-2:-1].isdigit()
    )


def _without_bars(formula: str) -> str:
    if formula.count("\\|") % 2:
        return re.sub(r"(?<!\\)\|", _HIDDEN, formula)
    return formula.replace("\\|", "\x05" + _HIDDEN).replace("|", _HIDDEN)


def _hide(state: StateCore) -> None:
    state.src = hide_bars(state.src)


def _show(state: StateCore) -> None:
    if _HIDDEN not in state.src:
        return
    state.src = show_bars(state.src)
    for token in state.tokens:
        token.content, token.info = show_bars(token.content), show_bars(token.info)
        if "source" in token.meta:
            token.meta["source"] = show_bars(token.meta["source"])


def keep_bars(parser: MarkdownIt) -> None:
    """Make a parser ignore the bars in formulas when it looks for table cells."""
    parser.core.ruler.after("normalize", "hide_bars", _hide)
    parser.core.ruler.after("block", "show_bars", _show)
