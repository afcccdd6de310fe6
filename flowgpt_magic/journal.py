"""This process's part of the history: one notebook, its conversations, and what is being asked just now.

Which notebook this is, is found out once and then stays: a conversation goes on where it is though the file is renamed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from flowgpt_magic import settings
from flowgpt_magic.errors import ConversationNotFoundError, HistoryError, ProviderError
from flowgpt_magic.kernels import this_kernel
from flowgpt_magic.messages import Turn, Usage
from flowgpt_magic.notebook import Place, cell_ids, find_place, likely_origin, place_of
from flowgpt_magic.records import (
    ChangeRecord,
    ConversationRecord,
    ConversationSummary,
    Hit,
    NotebookRecord,
    Record,
)
from flowgpt_magic.saver import Saver
from flowgpt_magic.timeline import Timeline

if TYPE_CHECKING:
    from flowgpt_magic.history import History
    from flowgpt_magic.reply import Reply

T = TypeVar("T")
FILE = "history.sqlite3"
Chunks = AsyncGenerator[str | Usage, None]


@dataclass
class Kept:
    """A conversation as this process knows it; every ``Conversation`` of one name shares it."""

    record: ConversationRecord
    timeline: Timeline
    lock: threading.RLock = field(default_factory=threading.RLock)
    saved: bool = False


class Journal:
    """Keeps the conversations of the notebook at ``place`` in the history at ``location``."""

    def __init__(self, place: Place, location: str) -> None:
        self.place = place
        self.location = location
        self.kernel = this_kernel()
        self.troubles: list[str] = []  # what the person has not been told yet
        self._saver = Saver(location, warn=self.troubles.append)
        self._notebook: NotebookRecord | None = None
        self._notebook_saved = False
        self._kept: dict[str, Kept] = {}
        self._asked: dict[str, Reply] = {}
        self._lock = threading.RLock()

    def take_troubles(self) -> list[str]:
        """What went wrong with the file since the last call, a line each."""
        taken, self.troubles[:] = list(self.troubles), []
        return taken

    def close(self) -> None:
        """Write what is not written yet."""
        self._saver.close()

    def flush(self) -> bool:
        """Wait until everything is written; was it?"""
        return self._saver.flush()

    def read(self, ask: Callable[[History], T], otherwise: T) -> T:
        """What ``ask`` finds in the history; ``otherwise``, and a line for the person, where it cannot be read."""
        if self.location == "off":
            return otherwise
        try:
            return self._saver.read(ask)
        except HistoryError as error:
            self.troubles.append(str(error))
            return otherwise

    # The notebook

    @property
    def notebook(self) -> NotebookRecord:
        """This notebook, found in the history or new."""
        with self._lock:
            if self._notebook is None:
                self._notebook = self.read(self._find_notebook, None) or self._new_notebook()
            return self._notebook

    def _new_notebook(self) -> NotebookRecord:
        now, place = time.time(), self.place
        return NotebookRecord(uuid4().hex, place.key, place.label, place.kind, place.path, now, now)

    def _find_notebook(self, history: History) -> NotebookRecord | None:
        found = history.notebook(self.place.key)
        if found is not None:
            return replace(found, label=self.place.label, path=self.place.path, seen=time.time())
        if not self.place.path or not cell_ids(self.place.path):
            return None
        origin = likely_origin(self.place.path, history.cells())
        known = history.notebook(origin.key) if origin else None
        if origin is None or known is None:
            return None
        if origin.kind == "moved":
            self.troubles.append(f"this notebook was {known.label} before: its history is taken over")
            return self._moved(known)
        fresh = self._new_notebook()
        history.save(fresh)
        copies = history.copy_conversations(known.notebook_id, fresh.notebook_id)
        if copies:
            self.troubles.append(f"this notebook is a copy of {known.label}: it starts from a copy of its history")
        return fresh

    def _moved(self, known: NotebookRecord) -> NotebookRecord:
        place = self.place
        return replace(known, key=place.key, label=place.label, path=place.path, kind=place.kind, seen=time.time())

    def adopt(self, path: str) -> str:
        """Take over the history of the notebook that was at ``path``; returns how it was called.

        Raises ``ConversationNotFoundError`` where nothing is known of it.
        """
        other = place_of(os.path.abspath(os.path.expanduser(path)))
        known = self.read(lambda history: history.notebook(other.key), None)
        if known is None:
            raise ConversationNotFoundError(f"nothing is known of a notebook at {other.path or path}")
        if known.notebook_id != self.notebook.notebook_id:
            with self._lock:
                self._notebook, self._notebook_saved = self._moved(known), False
                self._kept.clear()
            self.save()
        return known.label

    # Conversations

    def load(self, name: str) -> Kept:
        """The conversation of this name, which is new if there was none."""
        with self._lock:
            if name not in self._kept:
                notebook_id = self.notebook.notebook_id
                found = self.read(lambda history: _load(history, notebook_id, name), None)
                self._kept[name] = found or Kept(
                    record := self._new_conversation(name), Timeline(record.conversation_id)
                )
            return self._kept[name]

    def _new_conversation(self, name: str) -> ConversationRecord:
        now = time.time()
        return ConversationRecord(uuid4().hex, self.notebook.notebook_id, name, "", "", {}, now, now)

    def create(self, name: str, like: ConversationRecord | None = None) -> ConversationRecord:
        """A new conversation, asked with what another one is. Raises ``ConversationNotFoundError`` if there is one."""
        self.check_new(name)
        record = self._new_conversation(name)
        if like is not None:
            record = replace(record, system=like.system, model=like.model, parameters=like.parameters)
        with self._lock:
            self._kept[name] = Kept(record, Timeline(record.conversation_id), saved=True)
        self.save(record)
        return record

    def check_new(self, name: str) -> None:
        """Raise ``ConversationNotFoundError`` if the name is empty or taken."""
        if not name.strip():
            raise ConversationNotFoundError("a conversation needs a name")
        if name in self.names():
            raise ConversationNotFoundError(f"there is a conversation {name!r} already; choose another name")

    def names(self) -> list[str]:
        """The names of this notebook's conversations, the oldest first."""
        stored = [summary.conversation.name for summary in self.summaries()]
        with self._lock:
            return stored + [name for name, kept in self._kept.items() if kept.saved and name not in stored]

    def summaries(self) -> tuple[ConversationSummary, ...]:
        """The conversations of this notebook with their number of turns."""
        notebook_id = self.notebook.notebook_id
        return self.read(lambda history: history.conversations(notebook_id), ())

    def renamed(self, kept: Kept, before: str) -> None:
        """A conversation is called something else now, or was removed."""
        with self._lock:
            self._kept.pop(before, None)
            if not kept.record.removed:
                self._kept[kept.record.name] = kept
        self.save(kept.record)

    def versions(self, conversation_id: str, place: int) -> tuple[Turn, ...]:
        """All that was ever asked at one place."""
        return self.read(lambda history: history.versions(conversation_id, place), ())

    def search(self, words: str, limit: int = 20) -> tuple[Hit, ...]:
        """The turns of all notebooks that have these words."""
        return self.read(lambda history: history.search(words, limit), ())

    # Saving

    def save(self, *records: Record) -> None:
        """Save records, and before them the notebook they are of."""
        if not self._notebook_saved:
            self._notebook_saved = True
            self._saver.save(self.notebook)
        for record in records:
            self._saver.save(record)

    def begin(self, kept: Kept, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """A turn begins to stream."""
        if not kept.saved:
            kept.saved = True
            self.save(kept.record)
        self.save()
        self._saver.begin(turn)
        self.save(*others)

    def grow(self, turn_id: str, text: Callable[[], str]) -> None:
        """A turn has more text; it is asked for when it is written, at most once a second."""
        self._saver.grow(turn_id, text)

    def end(self, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """A turn has ended."""
        self._saver.end(turn)
        self.save(*others)

    # Replay

    async def replay(self, reply: Reply, key: str, ask: Callable[[], Chunks], *, refresh: bool) -> Chunks:
        """The answer to the same request from the history, or from a reply that is on its way; else a new one."""
        if not refresh:
            found = await asyncio.to_thread(self.read, lambda history: history.find_replay(key), None)
            other = self._asked.get(key)
            if found is not None or other is not None:
                async with aclosing(_again(reply, found, other)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                if reply.replayed:
                    return
        self._asked[key] = reply
        try:
            async with aclosing(ask()) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            if self._asked.get(key) is reply:
                del self._asked[key]


async def _again(reply: Reply, found: Turn | None, other: Reply | None) -> Chunks:
    """The chunks of a stored turn, or of another reply; nothing if that one ends before its first chunk."""
    if found is not None:
        reply.replayed = True
        yield found.text
        yield replace(found.usage, first_chunk_seconds=None, seconds=None)
        return
    if other is None:
        return
    async for chunk in other:
        reply.replayed = True
        yield chunk
    if reply.replayed and other.status != "complete":
        raise ProviderError("the same request was being answered for another cell, and was stopped: run this again")


def _load(history: History, notebook_id: str, name: str) -> Kept | None:
    record = history.conversation(notebook_id, name)
    if record is None:
        return None
    turns = history.turns(record.conversation_id, live_only=False)
    changes = history.changes(record.conversation_id)
    return Kept(record, Timeline(record.conversation_id, turns, changes), saved=True)


_journals: list[Journal] = []  # at most one: which notebook a process belongs to does not change
_finding = threading.Lock()


def here() -> Journal:
    """This process's journal. Without a magic that has said where we are, the process itself tells."""
    with _finding:
        if not _journals:
            _journals.append(Journal(_own_place(), _location()))
        return _journals[0]


def bind(find: Callable[[], Place]) -> Journal:
    """This process's journal, at the place that ``find`` finds if it is not known yet."""
    with _finding:
        if not _journals:
            _journals.append(Journal(find(), _location()))
        return _journals[0]


def forget() -> None:
    """Close the journal; the next use finds the place and the file anew."""
    with _finding:
        while _journals:
            _journals.pop().close()


def _location() -> str:
    chosen = settings.load().history
    return chosen or str(settings.data_folder() / FILE)


def _own_place() -> Place:
    names = vars(sys.modules["__main__"])  # in a kernel, the user's own
    arguments = sys.argv
    connection_file = arguments[arguments.index("-f") + 1] if "-f" in arguments[:-1] else ""
    return find_place(names, {}, os.environ, os.getcwd(), modules=sys.modules, connection_file=connection_file)
