"""The corrected cell in the reply to ``%flowgpt fix``, and how it differs from the cell that failed."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from typing import TYPE_CHECKING

from flowgpt_magic.control_characters import clean
from flowgpt_magic.errors import OptionError
from flowgpt_magic.notebook.code_cells import code_cells, compiles
from flowgpt_magic.redaction import MASK, redact_environment

if TYPE_CHECKING:
    from flowgpt_magic.magics.failed_cells import CellCode

BETTER_MODEL = (
    "a better model may do it: %flowgpt fix -m NAME asks another one, "
    "%flowgpt install-model --list shows some to install"
)
COMPARED = 10_000  # characters of a cell that are compared
MANY_LINES = 1_000  # of a cell; then lines that occur often are not compared
FEW = 0.5  # of the lines of the failed cell; a shorter correction may be a part of it only


@dataclass(frozen=True)
class Correction:
    """The ``source`` that corrects the code of ``cell``. It is shown as the difference between them."""

    cell: CellCode
    source: str

    def text(self) -> str:
        """The difference to the failed cell, as a unified diff without secrets."""
        before, after = (redact_environment(text).split("\n") for text in (self.cell.source, self.source))
        name = self.cell.label.strip(" ()") or "the cell that failed"
        return clean("\n".join(unified_diff(before, after, name, "corrected", lineterm="")))

    def html(self) -> str:
        """The same as HTML: lines that are new are green, those that are gone are red."""
        lines = (f'<span style="{_style(line)}">{html.escape(line)}\n</span>' for line in self.text().split("\n"))
        return f'<pre style="overflow-x: auto">{"".join(lines)}</pre>'

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The lines of both cells, with secrets: ``-`` before a line of the failed cell, ``+`` of the corrected one,
        a space of both."""
        before, after = self.cell.source.split("\n"), self.source.split("\n")
        rows: list[tuple[str, str]] = []
        matcher = SequenceMatcher(None, before, after, autojunk=len(before) > MANY_LINES)
        for kind, start, end, first, last in matcher.get_opcodes():
            if kind == "equal":
                rows += [(" ", line) for line in before[start:end]]
            else:
                rows += [*(("-", line) for line in before[start:end]), *(("+", line) for line in after[first:last])]
        return rows

    @property
    def warning(self) -> str:
        """What may be wrong with the corrected code; empty if nothing is seen."""
        if not compiles(self.source) and not self.source.startswith("%%"):
            return "careful: the corrected code is not valid Python"
        if MASK in self.source and MASK not in self.cell.source:
            return f"careful: {MASK} in the corrected code stands for a secret that was not sent"
        before, after = _line_count(self.cell.source), _line_count(self.source)
        if after < before * FEW:
            return f"careful: the correction has {after} of {before} lines; it may be a part of the cell only"
        return ""


def _style(line: str) -> str:
    """The colours of a line of a diff; they can be read on light and on dark pages."""
    colours = {"+": "46, 160, 67", "-": "218, 54, 51"}
    mark = line[:1]
    if line.startswith(("+++", "---", "@@")) or mark not in colours:
        return "display: block" + ("; opacity: 0.7" if line.startswith(("+++", "---", "@@")) else "")
    return f"display: block; background: rgba({colours[mark]}, 0.22)"


def _line_count(source: str) -> int:
    return sum(bool(line.strip()) for line in source.split("\n"))


def correction_in(text: str, cells: Sequence[CellCode]) -> Correction:
    """The correction in the reply ``text``; see ``find_correction``."""
    from flowgpt_magic.replies.code_blocks import code_blocks_of  # its parser takes a while to load

    return find_correction([(block.language, block) for block in code_blocks_of(text)], cells)


def find_correction(blocks: Sequence[tuple[str, str]], cells: Sequence[CellCode]) -> Correction:
    """The correction among the code blocks of a reply, of the cell among ``cells`` that it is most similar to.

    A block that repeats a cell unchanged is no correction. If the reply only installs packages, they are installed
    before the code of the first cell. Raises ``OptionError`` if there is no correction.
    """
    sources = code_cells(blocks).sources
    if not sources:
        raise OptionError(f"the reply to %flowgpt fix contains no code to apply; {BETTER_MODEL}")
    failed = {cell.source.strip() for cell in cells}
    masked = {redact_environment(source) for source in failed}
    changed = [source for source in sources if source.strip() not in failed | masked]
    if not changed:
        raise OptionError(f"the reply to %flowgpt fix repeats the code that failed; {BETTER_MODEL}")
    code = [source for source in changed if not _installs(source)]
    if not code:
        return Correction(cells[0], "\n".join([*changed, cells[0].source]))
    pairs = [(cell, source) for source in reversed(code) for cell in cells]
    cell, source = max(pairs, key=lambda pair: _similarity(pair[0].source, pair[1]))  # of equals the last one
    return Correction(cell, _with_secrets(source, cell.source))


def _installs(source: str) -> bool:
    return all(line.startswith(("%pip ", "#")) for line in source.split("\n"))


def _similarity(before: str, after: str) -> float:
    return SequenceMatcher(None, before[:COMPARED], after[:COMPARED], autojunk=False).ratio()


def _with_secrets(source: str, before: str) -> str:
    """``source`` with the secrets of the failed cell, which the model was sent as ``***``."""
    masked = {
        hidden.strip(): line.strip()
        for line, hidden in zip(before.split("\n"), redact_environment(before).split("\n"), strict=False)
        if MASK in hidden and hidden != line
    }
    lines = source.split("\n")
    return "\n".join(line.replace(line.strip(), masked.get(line.strip(), line.strip()), 1) for line in lines)
