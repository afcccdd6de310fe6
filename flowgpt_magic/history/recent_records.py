"""Keep the newest records in little memory: all but the last few are compressed."""

from __future__ import annotations

import pickle
import zlib
from collections import Counter
from typing import Generic, TypeVar

R = TypeVar("R")

RECORDS_PER_PIECE = 100  # compressed together: they have much in common
COMPRESSION_LEVEL = 1  # zlib's; a higher one takes longer and saves little


class RecentRecords(Generic[R]):
    """The ``most`` records added last, by id."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._newest: dict[str, R] = {}
        self._pieces: dict[int, bytes | dict[str, R]] = {}  # oldest first
        self._piece_of: dict[str, int] = {}  # by id, the piece with its newest record; others may have older ones
        self._next = 1

    def add(self, record_id: str, record: R) -> None:
        """Add a record, or replace the one with its id."""
        self._piece_of.pop(record_id, None)
        self._newest.pop(record_id, None)
        self._newest[record_id] = record
        if len(self._newest) >= 2 * RECORDS_PER_PIECE:
            self._compress(list(self._newest)[:RECORDS_PER_PIECE])

    def _compress(self, record_ids: list[str]) -> None:
        self._pieces[self._next] = _packed({record_id: self._newest.pop(record_id) for record_id in record_ids})
        self._piece_of.update(dict.fromkeys(record_ids, self._next))
        self._next += 1
        counts = Counter(self._piece_of.values())
        for piece in list(self._pieces):
            oldest = piece == next(iter(self._pieces))
            if not counts[piece] or (oldest and self._count - counts[piece] >= self._most):
                del self._pieces[piece]
                self._piece_of = {key: other for key, other in self._piece_of.items() if other != piece}

    @property
    def _count(self) -> int:
        return len(self._newest) + len(self._piece_of)

    def get(self, record_id: str) -> R | None:
        """The record with this id."""
        if record_id not in self._piece_of:
            return self._newest.get(record_id)
        return _unpacked(self._pieces[self._piece_of[record_id]])[record_id]

    def all(self) -> list[R]:
        """All records, in the order in which they were added."""
        compressed = [
            record
            for number, piece in self._pieces.items()
            for record_id, record in _unpacked(piece).items()
            if self._piece_of.get(record_id) == number
        ]
        return [*compressed, *self._newest.values()][-self._most :]


def _packed(records: dict[str, R]) -> bytes | dict[str, R]:
    try:
        return zlib.compress(pickle.dumps(records, pickle.HIGHEST_PROTOCOL), COMPRESSION_LEVEL)
    except Exception:  # noqa: BLE001 # a turn may hold anything; what cannot be pickled is kept as it is
        return records


def _unpacked(records: bytes | dict[str, R]) -> dict[str, R]:
    if isinstance(records, dict):
        return records
    unpacked: dict[str, R] = pickle.loads(zlib.decompress(records))  # noqa: S301 # our own
    return unpacked
