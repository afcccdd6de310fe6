"""Join the halves of surrogate pairs: JSON may contain a half, UTF-8 text may not."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def join_surrogates(text: str) -> str:
    """``text`` with two matching halves joined to one character, and a lone half replaced by U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class SurrogateJoiner:
    """Joins pairs that a server has split, with one half at the end of a chunk and the other in the next one."""

    def __init__(self) -> None:
        self._half = ""

    def join(self, chunk: str) -> str:
        """``chunk`` with joined pairs; a first half at its end is kept for the next chunk."""
        if not self._half and (chunk.isascii() or not _SURROGATE.search(chunk)):
            return chunk
        chunk = self._half + chunk
        self._half = chunk[-1] if "\ud800" <= chunk[-1] <= "\udbff" else ""
        return join_surrogates(chunk.removesuffix(self._half) if self._half else chunk)

    def join_all(self, chunks: list[str]) -> list[str]:
        """Like ``join`` for several chunks; empty ones are left out."""
        if not self._half and not _SURROGATE.search("".join(chunks)):
            return chunks if all(chunks) else list(filter(None, chunks))
        return list(filter(None, map(self.join, chunks)))

    def finish(self) -> str:
        """U+FFFD for a half whose other half never came, else nothing."""
        return join_surrogates(self._half)
