"""A block as its items come: a list or a table grows at its end, and what is there stays."""

from __future__ import annotations

from flowgpt_magic.markdown.html.elements import TABLE_BODY, Looks
from flowgpt_magic.markdown.html.render import Known, markup_of, row_of

TABLE = "table_open"
# What the HTML of a block begins with, the end of that, and what it ends with.
_FRAMES = {
    "bullet_list_open": ("<ul", ">", "</ul>"),
    "ordered_list_open": ("<ol", ">", "</ol>"),
    TABLE: ('<div class="fg-scroll"><table', TABLE_BODY, "</tbody></table></div>"),
}


class Block:
    """A block of some kind, made of the Markdown of its items, of its rows (the first with the head), or of all of it.

    ``number`` is that of the first item of an ordered list, ``rule`` the line below the head of a table.
    """

    def __init__(self, kind: str = "", number: int | None = None, rule: str = "") -> None:
        self.kind, self.number, self.rule = kind, number, rule
        self.html = ""  # without its end
        self.sources: list[str] = []
        self.size = 0  # characters
        self.defined = 0  # references that were known when it began
        self._begin, self._inside, self.end = _FRAMES.get(kind, ("", "", ""))

    def add(self, source: str, size: int, looks: Looks, known: Known) -> str:
        """Take an item or a row, or all of the block; what came out as something else is not taken, but returned."""
        if self.html and self.kind == TABLE:
            self.html += row_of(source, self.rule, looks, known)
        else:
            html = markup_of(source, looks, known, number=None if self.html else self.number)
            if not html.startswith(self._begin) or not html.endswith(self.end):
                return html
            start = html.find(self._inside) + len(self._inside) if self.html else 0
            self.html += html[start : len(html) - len(self.end)]
        if not self.sources:
            self.defined = len(known.references)
        self.sources.append(source)
        self.size += size
        return ""

    def with_open(self, html: str) -> str:
        """The block with its open end, which may begin with the next item and have other blocks after that."""
        if not self.html:
            return html
        start = html.find(self._inside) if html.startswith(self._begin) else -1
        return self.html + (self.end + html if start < 0 else html[start + len(self._inside) :])

    def again(self, looks: Looks, known: Known) -> str:
        """The HTML of the whole block with what is known now."""
        block = Block(self.kind, self.number, self.rule)
        for source in self.sources:
            known.spare += 4 * len(source)
            block.add(source, 0, looks, known)
        return block.html + block.end
