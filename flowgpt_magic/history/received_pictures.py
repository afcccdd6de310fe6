"""The pictures that pages have sent to this process, and those that the history has."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from flowgpt_magic.history.records import PictureRecord
from flowgpt_magic.prompt.pictures import Picture

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

MOST_HELD = 64 * 2**20  # bytes of the pictures received last, which are found although the history is off

Query = Callable[["History"], "frozenset[str] | Picture | None"]


class ReceivedPictures:
    """Pictures by the SHA-256 of their content.

    Args:
        save: saves a picture in the history.
        read: runs a query on the history; returns None if it cannot be read.
    """

    def __init__(
        self, save: Callable[[PictureRecord], None], read: Callable[[Query], frozenset[str] | Picture | None]
    ) -> None:
        self._save, self._read = save, read
        self._held: OrderedDict[str, Picture] = OrderedDict()
        self._digests: dict[str, str] = {}  # by the digest of what a page sent, with metadata: that of the picture
        self._arrived = threading.Condition()

    def keep(self, picture: Picture, received: bytes = b"") -> None:
        """Keep a picture, once; ``received`` is its content as the page sent it."""
        with self._arrived:
            if received and received != picture.content:
                self._digests[hashlib.sha256(received).hexdigest()] = picture.digest
            self._held[picture.digest] = picture
            self._held.move_to_end(picture.digest)
            while len(self._held) > 1 and sum(len(held.content) for held in self._held.values()) > MOST_HELD:
                self._held.popitem(last=False)
            self._arrived.notify_all()
        self._save(PictureRecord(picture, asked=False, added=time.time()))

    def find(self, beginning: str) -> Picture | None:
        """The picture whose digest begins so, also one of an earlier kernel."""
        with self._arrived:
            picture = self._among_held(beginning)
        if picture is None:
            found = self._read(lambda history: history.picture(beginning))
            picture = found if isinstance(found, Picture) else None
        return picture

    def wait(self, beginning: str, seconds: float) -> Picture | None:
        """The same for a picture that a page may be sending now: wait at most ``seconds`` for it."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._among_held(beginning) is not None, seconds)
            return self._among_held(beginning)

    def missing(self, digests: Collection[str]) -> list[str]:
        """Those of these digests whose pictures nobody has sent yet."""
        with self._arrived:
            unknown = [digest for digest in digests if self._among_held(digest) is None]
        stored = self._read(lambda history: history.pictures_among(unknown)) if unknown else None
        return [digest for digest in unknown if not isinstance(stored, frozenset) or digest not in stored]

    def unlock(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._arrived = threading.Condition()

    def _among_held(self, beginning: str) -> Picture | None:
        for received, digest in self._digests.items():
            if received.startswith(beginning):
                return self._held.get(digest)
        return next((picture for digest, picture in self._held.items() if digest.startswith(beginning)), None)
