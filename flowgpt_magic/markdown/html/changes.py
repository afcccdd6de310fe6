"""A reply as safe HTML for a page, of which each part is sent once while it streams.

A reply is untrusted text. Raw HTML in it is shown as text, and the result contains only the elements, attributes and
addresses that `sanitize` allows. Nothing in it runs; nothing is fetched before a click.

``blocks_of`` renders a whole reply, ``GrowingMarkup`` one that arrives: the page holds a list of blocks, and each
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
``<pre class="fg-plain">``                  text as typed, where it is too long or too deeply nested for Markdown
``<div class="fg-scroll">``                 a table or a displayed formula, which may be wider than the page
=========================================== ===========================================================================

Inside of these: ``<li class="fg-task">`` begins with a box (☐, ☑); ``<button class="fg-image" data-src="…">`` stands
for an image that is fetched when the reader asks for it; links have ``target="_blank"`` and
``rel="noopener noreferrer"``; formulas are MathML, where ``fg-boxed``, ``fg-struck``, ``fg-left`` and ``fg-right`` say
what MathML Core cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowgpt_magic.markdown.html.elements import PageOptions
from flowgpt_magic.markdown.html.growing import GrowingBlocks


@dataclass(frozen=True)
class Change:
    """What changes in a page's list of blocks.

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
    """The blocks of a whole reply; with ``images`` the page fetches images from the web."""
    return _blocks_of(text, PageOptions(images))


def static_blocks_of(text: str) -> list[str]:
    """The blocks of a whole reply for a page without JavaScript: code is coloured, images are links."""
    return _blocks_of(text, PageOptions(static=True))


def _blocks_of(text: str, options: PageOptions) -> list[str]:
    blocks = GrowingBlocks(options)
    blocks.add(text)
    blocks.finish()
    return blocks.finished


class GrowingMarkup:
    """A streaming reply as the blocks of a page and their changes."""

    def __init__(self, *, images: bool = False) -> None:
        self._growing = GrowingBlocks(PageOptions(images))
        self._pieces: list[str] = []
        self._ended = self._finished = False
        self._kept = 0  # blocks of the page that no longer change
        self._open: list[str] = []  # the blocks of the page after them

    def feed(self, text: str) -> None:
        """Add a chunk; it is rendered by the next `change`."""
        self._pieces.append(text)

    def finish(self) -> None:
        """Say that the text has ended; one more change may follow."""
        self._ended = True

    @property
    def blocks(self) -> list[str]:
        """The blocks of a page that has applied every change."""
        return self._growing.finished[: self._kept] + self._open

    def change(self) -> Change | None:
        """What changed since the last call, or None.

        It costs about 1 ms per 1,000 characters that are new or belong to the open block; of a list or table only the
        last item or row counts as open.
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
    """The length of the common beginning of two texts."""
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
