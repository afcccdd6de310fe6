"""Characters that were cut in two: JSON can hold one half of a surrogate pair, a text cannot."""

from __future__ import annotations

import re

HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """``text`` with two halves in a row as one character, and one that stands alone as the sign for that."""
    if text.isascii() or not HALF_CHARACTER.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class WholeCharacters:
    """Mends characters that a server cut in two, one half at the end of a chunk and the other in the next one."""

    def __init__(self) -> None:
        self._half = ""

    def mend(self, chunk: str) -> str:
        """``chunk`` as text; a first half at its end is kept for the next one."""
        if not self._half and (chunk.isascii() or not HALF_CHARACTER.search(chunk)):
            return chunk
        chunk = self._half + chunk
        self._half = chunk[-1] if "\ud800" <= chunk[-1] <= "\udbff" else ""
        return whole(chunk.removesuffix(self._half) if self._half else chunk)

    def mend_each(self, chunks: list[str]) -> list[str]:
        """The same for several that came together; an empty one is left out."""
        if not self._half and not HALF_CHARACTER.search("".join(chunks)):
            return chunks if all(chunks) else list(filter(None, chunks))
        return list(filter(None, map(self.mend, chunks)))

    def rest(self) -> str:
        """A half whose other one never came, as the sign for that."""
        return whole(self._half)
