"""Tables for display, as HTML and as text."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flowgpt_magic.text import cut, one_line

NO_WRAP_LENGTH = 20  # characters; shorter cells are not wrapped
MIN_COLUMN_WIDTH = 8  # characters, however narrow the table


@runtime_checkable
class Showable(Protocol):
    """Can be shown as HTML, or as text in front ends without HTML."""

    def html(self) -> str:
        """An HTML fragment; all text is escaped."""

    def text(self) -> str:
        """The same as lines of text."""


def bundle(content: Showable) -> dict[str, str]:
    """The display bundle for the output of a command.

    Front ends look for formulas between dollar signs in HTML too. Here a dollar sign is just that, as in a price.
    MathJax 3 skips elements of the class ``mathjax_ignore``, MathJax 2 those of ``tex2jax_ignore``.
    """
    return {
        "text/html": f'<div class="mathjax_ignore tex2jax_ignore">{content.html()}</div>',
        "text/plain": content.text(),
    }


@dataclass(frozen=True)
class Table:
    """Rows of text with column headings; ``note`` is shown below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def html(self) -> str:
        """The table as HTML; all text is escaped."""
        head = "".join(f'<th style="text-align: left">{html.escape(name)}</th>' for name in self.columns)
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in self.rows)
        note = f"<small>{html.escape(self.note)}</small>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def text(self, width: int = 0) -> str:
        """The table with aligned columns. With a ``width`` in characters, the widest columns are cut to fit."""
        lines = [[one_line(text) for text in row] for row in (self.columns, *self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        widths = _narrowed(widths, width - 2 * (len(widths) - 1)) if width else widths
        text_rows = [
            "  ".join(cut(text, wide).ljust(wide) for text, wide in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        rule = "  ".join("-" * wide for wide in widths)
        return "\n".join([text_rows[0], rule, *text_rows[1:], *textwrap.wrap(one_line(self.note), 100)])


def _narrowed(widths: list[int], room: int) -> list[int]:
    """The column widths cut to ``room`` in total: the widest columns first, short ones last."""
    for protected in (NO_WRAP_LENGTH, 0):
        limit = max([*widths, MIN_COLUMN_WIDTH])
        while limit > MIN_COLUMN_WIDTH and sum(_limited(widths, limit, protected)) > room:
            limit -= 1
        widths = _limited(widths, limit, protected)
    return widths


def _limited(widths: list[int], limit: int, protected: int) -> list[int]:
    return [min(width, limit) if width > protected else width for width in widths]


def _cell(text: str) -> str:
    style = "text-align: left" + ("; white-space: nowrap" if len(text) <= NO_WRAP_LENGTH else "")
    return f'<td style="{style}">{html.escape(text)}</td>'
