"""A table as HTML, and as text where that cannot be shown."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flowgpt_magic.text import cut, one_line

ONE_LINE = 20  # characters that are kept on one line
LEAST = 8  # characters of a column that are shown, however narrow the table is to be


@runtime_checkable
class Showable(Protocol):
    """What is shown as HTML, and as text where that cannot be."""

    def html(self) -> str:
        """A fragment of a page, with everything in it escaped."""

    def text(self) -> str:
        """The same in lines of text."""


def bundle(shown: Showable) -> dict[str, str]:
    """The display bundle of what our own commands show.

    Front ends look for mathematics in an output of HTML as well. Here a dollar sign is one: a prompt, a price, a name.
    MathJax 3 leaves elements of the class ``mathjax_ignore`` alone, MathJax 2 those of ``tex2jax_ignore``.
    """
    return {
        "text/html": f'<div class="mathjax_ignore tex2jax_ignore">{shown.html()}</div>',
        "text/plain": shown.text(),
    }


@dataclass(frozen=True)
class Table:
    """Rows of text under columns; ``note`` stands below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def html(self) -> str:
        """The table with everything in it escaped."""
        head = "".join(f'<th style="text-align: left">{html.escape(name)}</th>' for name in self.columns)
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in self.rows)
        note = f"<small>{html.escape(self.note)}</small>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def text(self, width: int = 0) -> str:
        """The table in columns of equal width, the widest cut so that it is ``width`` characters wide, if that is."""
        lines = [[one_line(text) for text in row] for row in (self.columns, *self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        widths = _narrowed(widths, width - 2 * (len(widths) - 1)) if width else widths
        shown = [
            "  ".join(cut(text, wide).ljust(wide) for text, wide in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        rule = "  ".join("-" * wide for wide in widths)
        return "\n".join([shown[0], rule, *shown[1:], *textwrap.wrap(one_line(self.note), 100)])


def _narrowed(widths: list[int], room: int) -> list[int]:
    """The widths of columns that have so much room together: the widest made narrower, short ones only at last."""
    for kept in (ONE_LINE, 0):
        limit = max([*widths, LEAST])
        while limit > LEAST and sum(min(each, limit) if each > kept else each for each in widths) > room:
            limit -= 1
        widths = [min(each, limit) if each > kept else each for each in widths]
    return widths


def _cell(text: str) -> str:
    style = "text-align: left" + ("; white-space: nowrap" if len(text) <= ONE_LINE else "")
    return f'<td style="{style}">{html.escape(text)}</td>'
