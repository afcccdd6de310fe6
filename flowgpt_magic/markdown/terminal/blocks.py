"""Code and tables of a Markdown text for a terminal."""

from __future__ import annotations

import functools
import itertools
import re

from flowgpt_magic.markdown.code_lexer import CodeLexer, longest_match
from flowgpt_magic.markdown.formula_bars import hide_bars, show_bars
from flowgpt_magic.markdown.terminal.inline import BOLD, FAINT, Inline, Span, columns, prefix_spans, wrapped

MAX_TABLE_ROWS, MAX_TABLE_SIZE = 200, 65_536  # rows and characters of a table; a longer one is written before its end
NARROWEST = 6  # columns of a table's cell whose text is wrapped

# -- code ------------------------------------------------------------------------------------------------------------

_CODE_LOOKS = {
    tuple(kind.split(".")): look
    for look, kinds in {
        FAINT: "Comment Literal.String.Doc Generic.Prompt",
        BOLD: "Generic.Heading",
        "31": "Generic.Deleted",
        "32": "Literal.String Generic.Inserted",
        "33": "Name.Decorator Name.Attribute",
        "34": "Name.Class Name.Function Name.Tag",
        "35": "Keyword Operator.Word Comment.Preproc Generic.Subheading",
        "36": "Keyword.Type Literal.Number Name.Builtin",
    }.items()
    for kind in kinds.split()
}


@functools.lru_cache(256)
def _code_look(token: tuple[str, ...]) -> str:
    return longest_match(_CODE_LOOKS, token)


class Colours:
    """Colours the lines of a code block as they come."""

    def __init__(self, language: str) -> None:
        self._lexer = CodeLexer(language)

    def spans(self, line: str) -> list[Span]:
        """The line, coloured if the language is known."""
        tokens = self._lexer.tokens(line)
        return [(value.rstrip("\n"), _code_look(token)) for token, value in tokens] or [(line, "")]


# -- tables ----------------------------------------------------------------------------------------------------------


def cells_of(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", hide_bars(line.strip()))
    inner = cells[not cells[0] : len(cells) - (len(cells) > 1 and not cells[-1])]
    return [show_bars(cell.strip().replace("\\|", "|")) for cell in inner]


class TerminalTable:
    """Collects the rows of a table until the widths of its columns are known."""

    def __init__(self, head: str, rule: str, prefix: str, width: int) -> None:
        self.size, self.prefix, self._rows = 0, prefix, [cells_of(head)]
        self._sides = [cell[:1] + cell[-1:] for cell in cells_of(rule)]
        self._room, self._widths = width - columns(prefix), [0]

    def add(self, line: str) -> None:
        """Add a row."""
        self.size += len(line)
        self._rows.append(cells_of(line))

    @property
    def full(self) -> bool:
        """Whether it should be written now."""
        return self._widths != [0] or len(self._rows) > MAX_TABLE_ROWS or self.size > MAX_TABLE_SIZE

    def take(self) -> list[Span]:
        """The rows not written yet; the first call fixes the widths."""
        rows = [[Inline(cell).spans() for cell in row] for row in self._rows]
        self._rows = []
        first = self._widths == [0]
        if first:
            self._fit(rows)
        spans: list[Span] = []
        for number, row in enumerate(rows):
            spans += self._shown(row)
            if first and not number:
                rule = "─┼─".join("─" * width for width in self._widths)
                spans += [*prefix_spans(self.prefix), (rule, FAINT), ("\n", "")]
        return spans

    def _fit(self, rows: list[list[list[Span]]]) -> None:
        """Set the widths to those of the longest cells, with the widest reduced until a row fits."""
        count = max(map(len, rows))
        sizes = [[sum(columns(text) for text, _ in cell) for cell in row] for row in rows]
        wide = [max([1, *(row[n] for row in sizes if n < len(row))]) for n in range(count)]
        room = self._room - 3 * (count - 1)
        limit = min(max(wide), max(room, NARROWEST))
        while limit > NARROWEST and sum(min(width, limit) for width in wide) > room:
            limit -= 1
        self._widths = [min(width, limit) for width in wide]

    def _shown(self, row: list[list[Span]]) -> list[Span]:
        self._widths += [NARROWEST] * (len(row) - len(self._widths))
        cells = [wrapped(cell, width) for cell, width in zip(row, self._widths, strict=False)]
        cells += [[[]]] * (len(self._widths) - len(cells))
        spans: list[Span] = []
        for lines in itertools.zip_longest(*cells, fillvalue=[]):
            spans += prefix_spans(self.prefix)
            for number, (line, width) in enumerate(zip(lines, self._widths, strict=True)):
                side = self._sides[number] if number < len(self._sides) else ""
                spare = max(0, width - sum(columns(text) for text, _ in line))
                before = {"::": spare // 2, "-:": spare}.get(side, 0)
                spans += [(" │ ", FAINT)] if number else []
                spans += [(" " * before, ""), *line, (" " * (spare - before) * (number + 1 < len(self._widths)), "")]
            spans.append(("\n", ""))
        return spans
