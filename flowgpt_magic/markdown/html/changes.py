"""A reply as HTML for a page: harmless, and sent once while it streams.

A reply is text from a stranger. Its Markdown is read here, raw HTML in it is text, and what goes to the page consists
of the few elements, attributes and addresses in `allowed_html`. Nothing in it runs; nothing is fetched before a click.

``blocks_of`` makes a whole reply, ``GrowingMarkup`` one that arrives: the page holds a list of blocks, and each
``Change`` says what is new in it. Each block is one element:

=========================================== ===========================================================================
``<p>``, ``<h3>`` … ``<h6>``, ``<hr>``,     as in any page; headings begin at the third level. ``dir="auto"`` lets each
``<ul>``, ``<ol>``, ``<blockquote>``        block go the way its words go
``<pre data-language="…">``                 a block of code, with the word after its fence or nothing. After the code
                                            there may be ``<span data-runs="…">``: what its characters are, see
                                            `highlight`. A long code has several such blocks; those after the first
                                            have ``data-part="2"`` … , and their texts joined are the code
``<pre class="fg-tex">``, ``<code           TeX that is not a formula yet, or cannot be typeset
class="fg-tex">``
``<pre class="fg-plain">``                  text as it was typed, where it is too long or too deep to be read
``<div class="fg-scroll">``                 a table or a displayed formula, which may be wider than the page
=========================================== ===========================================================================

Inside of these: ``<li class="fg-task">`` begins with a box (☐, ☑); ``<button class="fg-image" data-src="…">`` stands
for an image that is fetched when the reader asks for it; links have ``target="_blank"`` and
``rel="noopener noreferrer"``; formulas are MathML, where ``fg-boxed``, ``fg-struck``, ``fg-left`` and ``fg-right`` say
what MathML Core cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowgpt_magic.markdown.html.elements import Looks
from flowgpt_magic.markdown.html.growing import GrowingBlocks


@dataclass(frozen=True)
class Change:
    """What is new in a page's list of blocks.

    The first ``keep`` blocks stay. Of the block after them the first ``cut`` UTF-16 code units (as JavaScript counts)
    of its HTML stay, and it goes on with ``add``; where ``cut`` is 0 and ``add`` empty, there is no such block. Then
    come ``blocks``, and nothing else::

        block = (page[keep] ?? "").slice(0, cut) + add
        page = [...page.slice(0, keep), ...(block ? [block] : []), ...blocks]
    """

    keep: int
    cut: int
    add: str
    blocks: tuple[str, ...]


def blocks_of(text: str, *, images: bool = False) -> list[str]:
    """The blocks of a whole reply; ``images`` lets pictures from the web in, which are fetched then."""
    return _blocks_of(text, Looks(images))


def static_blocks_of(text: str) -> list[str]:
    """The blocks of a whole reply for a page without a script: code is coloured, an image is a link to it."""
    return _blocks_of(text, Looks(static=True))


def _blocks_of(text: str, looks: Looks) -> list[str]:
    blocks = GrowingBlocks(looks)
    blocks.add(text)
    blocks.finish()
    return blocks.finished


class GrowingMarkup:
    """A reply while it streams, as the blocks of a page and how they change."""

    def __init__(self, *, images: bool = False) -> None:
        self._growing = GrowingBlocks(Looks(images))
        self._pieces: list[str] = []
        self._ended = self._finished = False
        self._kept = 0  # blocks of the page that do not change
        self._open: list[str] = []  # and those after them

    def feed(self, text: str) -> None:
        """Take more text; it is read when somebody asks for the change."""
        self._pieces.append(text)

    def finish(self) -> None:
        """No more text comes. One change may still be left."""
        self._ended = True

    @property
    def blocks(self) -> list[str]:
        """The blocks of a page that has seen every change up to the last one."""
        return self._growing.finished[: self._kept] + self._open

    def change(self) -> Change | None:
        """What is new since the last call, or None if nothing is.

        It costs about a millisecond for each thousand characters that are new, and as much for those of the block that
        is open: of a list or a table, only for those of its last item or row.
        """
        if not self._pieces and self._ended == self._finished:
            return None
        self._growing.add("".join(self._pieces))
        self._pieces.clear()
        if self._ended:
            self._growing.finish()
            self._finished = True
        else:
            self._growing.draw()
        return self._difference()

    def _difference(self) -> Change | None:
        finished, revised = self._growing.finished, self._growing.revised
        keep = min([self._kept, *revised])
        old = [revised.get(place, finished[place]) for place in range(keep, self._kept)] + self._open
        new = finished[keep:] + self._growing.open
        self._kept, self._open = len(finished), self._growing.open
        same = next((place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), None)
        if same is None:
            same = min(len(old), len(new))
        if same == len(old) == len(new):
            return None
        if same == min(len(old), len(new)):
            return Change(keep + same, 0, "", tuple(new[same:]))
        stays = _same(old[same], new[same])
        return Change(keep + same, _units(old[same][:stays]), new[same][stays:], tuple(new[same + 1 :]))


def _same(one: str, other: str) -> int:
    """How many characters at the beginning of both are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(other[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def _units(text: str) -> int:
    """The length of a text in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
