"""Tables for display, as HTML and as text."""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flowgpt_magic.text import cut, one_line

NO_WRAP_LENGTH = 20  # characters; shorter cells are not wrapped
MIN_COLUMN_WIDTH = 8  # characters, however narrow the table
PADDING = "padding: 0.4em 0.35em"  # seven columns fit into an output of 620 pixels
_NUMBER = re.compile(r"≈? ?[-+]?\d[\d,]*(?:\.\d+)?(?: ?(?:%|ms|s|min|h|[kMGT]i?B|B))?")


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
    """Rows of text with column headings; columns of numbers are right-aligned.

    ``note`` is shown below, line by line. A line that begins with ``%`` is a command to copy: it is not wrapped.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def html(self) -> str:
        """The table as HTML; all text is escaped."""
        sides = self._sides
        head = "".join(
            f'<th style="text-align: {side}; {PADDING}">{html.escape(name)}</th>'
            for name, side in zip(self.columns, sides, strict=True)
        )
        body = "".join("<tr>" + "".join(map(_cell, row, sides)) + "</tr>" for row in self.rows)
        lines = "<br>".join(map(_note_line, self.note.split("\n")))
        note = f"<small>{lines}</small>" if self.note else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div style="overflow-x: auto">{table}</div>{note}'

    def text(self, width: int = 0) -> str:
        """The table with aligned columns. With a ``width`` in characters, the widest columns are cut to fit."""
        lines = [[one_line(text) for text in row] for row in (self.columns, *self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        widths = _narrowed(widths, width - 2 * (len(widths) - 1)) if width else widths
        places = [str.rjust if side == "right" else str.ljust for side in self._sides]
        text_rows = [
            "  ".join(place(cut(text, wide), wide) for text, wide, place in zip(line, widths, places, strict=True))
            for line in lines
        ]
        text_rows = [row.rstrip() for row in text_rows]
        rule = "  ".join("-" * wide for wide in widths)
        notes = [line for text in self.note.split("\n") for line in _wrapped(one_line(text))]
        return "\n".join([text_rows[0], rule, *text_rows[1:], *notes])

    @property
    def _sides(self) -> list[str]:
        """The side on which the text of each column stands."""
        columns = ([row[place] for row in self.rows] for place in range(len(self.columns)))
        return ["right" if _are_numbers(column) else "left" for column in columns]


def _wrapped(line: str) -> list[str]:
    return [line] if line.startswith("%") else textwrap.wrap(line, 100)


def _note_line(line: str) -> str:
    text = html.escape(line)
    return f"<code>{text}</code>" if line.startswith("%") else text


def _are_numbers(column: list[str]) -> bool:
    texts = [text for text in column if text]
    return bool(texts) and all(map(_NUMBER.fullmatch, texts))


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


def _cell(text: str, side: str) -> str:
    style = f"text-align: {side}; {PADDING}" + ("; white-space: nowrap" if len(text) <= NO_WRAP_LENGTH else "")
    return f'<td style="{style}">{html.escape(text)}</td>'
