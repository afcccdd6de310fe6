"""This process's part of the history: one notebook, its conversations, and what is being asked just now.

Which notebook this is, is found out once and then stays: a conversation goes on where it is though the file is renamed.
Its place in the history follows the file, so that the next kernel finds it.
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
from itertools import count
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from flowgpt_magic import settings
from flowgpt_magic.errors import (
    ConversationNameError,
    ConversationNotFoundError,
    HistoryError,
    ProviderError,
    TurnNotFoundError,
)
from flowgpt_magic.kernels import this_kernel
from flowgpt_magic.messages import Turn, Usage
from flowgpt_magic.notebook import (
    NO_CELL,
    Cell,
    Place,
    cell_ids,
    elsewhere,
    is_stranger,
    likely_origin,
    place_of,
    script,
)
from flowgpt_magic.plain_text import counted
from flowgpt_magic.records import (
    ChangeRecord,
    ConversationRecord,
    ConversationSummary,
    Hit,
    NotebookRecord,
)
from flowgpt_magic.saver import Saver
from flowgpt_magic.timeline import Timeline

if TYPE_CHECKING:
    from flowgpt_magic.history import History
    from flowgpt_magic.reply import Reply

T = TypeVar("T")
FILE = "history.sqlite3"
FILE_KINDS = ("jupyter", "vscode")  # their places are files, which are renamed and copied
Chunks = AsyncGenerator[str | Usage, None]


@dataclass
class CellRun:
    """One run of a cell: the places its last run had turns at, and how many prompts it has asked by now."""

    run: str
    places: list[int]
    asked: int = 0


@dataclass
class Kept:
    """A conversation as this process knows it; every ``Conversation`` of one name shares it."""

    record: ConversationRecord
    timeline: Timeline
    lock: threading.RLock = field(default_factory=threading.RLock)
    listed: bool = False  # is it in the history, or about to be?
    handed_over: bool = False  # does this process's saver have the record?
    runs: dict[str, CellRun] = field(default_factory=dict)  # by the cell's id


class Journal:
    """Keeps the conversations of the notebook at ``place`` in the history at ``location``.

    ``running_cell`` tells which cell runs just now; ``find_path`` where the notebook's file is by now, None where
    nobody knows.
    """

    def __init__(
        self,
        place: Place,
        location: str,
        *,
        running_cell: Callable[[], Cell] = lambda: NO_CELL,
        find_path: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.place = place
        self.location = location
        self.running_cell = running_cell
        self._find_path = find_path
        self._looking = False  # for the notebook's file
        self.troubles: list[str] = []  # what the person has not been told yet
        self._saver = Saver(location, warn=self.troubles.append)
        self._notebook: NotebookRecord | None = None
        self._notebook_saved = False
        self._kept: dict[str, Kept] = {}
        self._asked: dict[str, Reply] = {}
        self._lock = threading.RLock()

    @property
    def kernel(self) -> str:
        """The name of this process; a forked one has another than its parent."""
        return this_kernel()

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
        if found is not None and not self._is_another(history, found):
            return replace(found, label=self.place.label, path=self.place.path, seen=time.time())
        cells = cell_ids(self.place.path) if self.place.kind in FILE_KINDS else frozenset()
        if not cells:
            return None
        origin = likely_origin(self.place.path, history.cells(cells))
        known = history.notebook(origin.key) if origin else None
        if origin is None or known is None:
            return None
        if origin.kind == "moved":
            self.troubles.append(f"this notebook was {known.label} before: its history is taken over")
            moved = self._moved(known)
            history.save(moved)
            return moved
        fresh = self._new_notebook()
        history.save(fresh)
        copies = history.copy_conversations(known.notebook_id, fresh.notebook_id)
        if copies:
            self.troubles.append(f"this notebook is a copy of {known.label}: it starts from a copy of its history")
        return fresh

    def _is_another(self, history: History, found: NotebookRecord) -> bool:
        """Does a new notebook stand where the one was whose history is kept for this path? That one lives elsewhere."""
        if self.place.kind not in FILE_KINDS:
            return False
        cells, last_asked = history.cells_at(found.key)
        if not is_stranger(self.place.path, self.running_cell(), cells, last_asked):
            return False
        history.save(replace(found, key=elsewhere(found.key, found.notebook_id), seen=time.time()))
        self.troubles.append(
            f"another notebook was {found.label} before: this one begins anew (%flowgpt adopt {found.path} takes over "
            "what was said there)"
        )
        return True

    def _moved(self, known: NotebookRecord) -> NotebookRecord:
        place = self.place
        return replace(known, key=place.key, label=place.label, path=place.path, kind=place.kind, seen=time.time())

    def adopt(self, path: str) -> str:
        """Take over the history of the notebook that was at ``path``; returns how it was called.

        Raises ``ConversationNotFoundError`` where nothing is known of it.
        """
        other = place_of(os.path.abspath(os.path.expanduser(path)))
        mine = self.notebook.notebook_id
        nothing: tuple[NotebookRecord, ...] = ()
        notebooks = self.read(lambda history: history.notebooks(), nothing)
        found = [each for each in notebooks if each.notebook_id != mine and other.key in (each.key, each.path)]
        if not found:
            already = "this notebook's own history is all that" if other.path == self.notebook.path else "nothing"
            raise ConversationNotFoundError(f"{already} is known of a notebook at {other.path or path}")
        with self._lock:
            self._notebook, self._notebook_saved = self._moved(found[0]), False
            self._kept.clear()
        self.save_notebook()
        return found[0].label

    def follow(self) -> None:
        """Where the notebook's file was renamed under the running kernel, keep its history under the new name."""
        path = self._find_path() if self.place.kind in FILE_KINDS else None
        place = place_of(path, self.place.kind) if path else self.place
        if place == self.place or not os.path.isfile(place.path):
            return
        notebook = self.notebook
        with self._lock:
            self.place = place
            self._notebook, self._notebook_saved = self._moved(notebook), False
        self.save_notebook()

    def _follow_if_gone(self) -> None:
        """Look for the notebook's file behind the back of whoever asks: a server may need seconds to say."""
        if self._looking or self.place.kind not in FILE_KINDS or os.path.exists(self.place.path):
            return

        def look() -> None:
            try:
                self.follow()
            finally:
                self._looking = False

        self._looking = True
        threading.Thread(target=look, name="flowgpt_magic notebook", daemon=True).start()

    # Conversations

    def load(self, name: str) -> Kept:
        """The conversation of this name, which is new if there was none."""
        check_name(name)
        with self._lock:
            if name not in self._kept:
                notebook_id = self.notebook.notebook_id
                found = self.read(lambda history: self._load(history, notebook_id, name), None)
                if found and self.place.kind in ("terminal", "folder") and (turns := len(found.timeline.live)):
                    told = f"{name} goes on with {counted(turns, 'turn')} of {self.place.label}"
                    self.troubles.append(f"{told}; %flowgpt clear begins anew")
                self._kept[name] = found or Kept(
                    record := self._new_conversation(name), Timeline(record.conversation_id)
                )
            return self._kept[name]

    def _load(self, history: History, notebook_id: str, name: str) -> Kept | None:
        """The conversation as the history has it.

        Two kernels that begin one at the same moment begin two, as does one that cannot read the file. The later one is
        found under another name.
        """
        known = [summary.conversation for summary in history.conversations(notebook_id)]
        same = [each for each in known if each.name == name]
        if not same:
            return None
        record, *others = same
        names = {each.name for each in known}
        for other in others:
            fresh = next(free for free in (f"{name} ({n})" for n in count(2)) if free not in names)
            names.add(fresh)
            history.save(replace(other, name=fresh, changed=time.time()))
            self.troubles.append(f"another conversation was called {name} too: it is called {fresh} now")
        turns = history.turns(record.conversation_id, live_only=False)
        changes = history.changes(record.conversation_id)
        return Kept(record, Timeline(record.conversation_id, turns, changes), listed=True)

    def _new_conversation(self, name: str) -> ConversationRecord:
        now = time.time()
        return ConversationRecord(uuid4().hex, self.notebook.notebook_id, name, "", "", {}, now, now)

    def check_new(self, name: str) -> None:
        """Raise ``ConversationNameError`` if the name is empty or taken."""
        check_name(name)
        if name in self.names():
            raise ConversationNameError(f"there is a conversation {name!r} already; choose another name")

    def names(self) -> list[str]:
        """The names of this notebook's conversations, the oldest first."""
        stored = [summary.conversation.name for summary in self.summaries()]
        with self._lock:
            return stored + [name for name, kept in self._kept.items() if kept.listed and name not in stored]

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
        self.save(kept, changed=True)

    def versions(self, conversation_id: str, place: int) -> tuple[Turn, ...]:
        """All that was ever asked at one place."""
        return self.read(lambda history: history.versions(conversation_id, place), ())

    def turn(self, turn_id: str) -> Turn:
        """The turn whose id begins so, in whichever notebook. Raises ``TurnNotFoundError``."""
        nothing: tuple[Turn, ...] = ()
        found = self.read(lambda history: history.turns_whose_id_begins(turn_id), nothing) if turn_id else nothing
        if len(found) != 1:
            raise TurnNotFoundError(f"{'several turns have' if found else 'no turn has'} an id that begins {turn_id!r}")
        return found[0]

    def search(self, words: str, limit: int = 20) -> tuple[Hit, ...]:
        """The turns of all notebooks that have these words."""
        return self.read(lambda history: history.search(words, limit), ())

    # Saving

    def save_notebook(self) -> None:
        """Save which notebook this is."""
        if not self._notebook_saved:
            self._notebook_saved = True
            self._saver.save(self.notebook)

    def save(self, kept: Kept, *records: Turn | ChangeRecord, changed: bool = False) -> None:
        """Save turns and changes of a conversation, and before them what the saver does not have yet, or not as it is.

        ``changed`` says that the conversation's own record has changed.
        """
        self.save_notebook()
        if changed or not kept.handed_over:
            kept.listed = kept.handed_over = True
            self._saver.save(kept.record)
        for record in records:
            self._saver.save(record)

    def begin(self, kept: Kept, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """A turn begins to stream."""
        self._follow_if_gone()
        self.save(kept)
        self._saver.begin(turn)
        self.save(kept, *others)

    def grow(self, turn_id: str, text: Callable[[], str]) -> None:
        """A turn has more text; it is asked for when it is written, at most once a second."""
        self._saver.grow(turn_id, text)

    def end(self, kept: Kept, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """A turn has ended."""
        self._saver.end(turn)
        self.save(kept, *others)

    # Replay

    async def replay(self, reply: Reply, key: str, ask: Callable[[], Chunks], *, refresh: bool) -> Chunks:
        """The answer to the same request from a reply that is on its way, or from the history; else a new one."""
        other = None if refresh else self._asked.get(key)
        if other is not None:
            async with aclosing(_along_with(reply, other)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if reply.replayed:
                return
        self._asked[key] = reply  # before the first wait: whoever asks the same in the meantime comes along
        try:
            found = None if refresh else await asyncio.to_thread(self._find_replay, key)
            if found is not None:
                reply.replayed = True
                yield found.text
                yield replace(found.usage, first_chunk_seconds=None, seconds=None)
                return
            async with aclosing(ask()) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            if self._asked.get(key) is reply:
                del self._asked[key]

    def _find_replay(self, key: str) -> Turn | None:
        return self.read(lambda history: history.find_replay(key), None)


async def _along_with(reply: Reply, other: Reply) -> Chunks:
    """The chunks of another reply; nothing if that one is stopped before its first chunk."""
    async for chunk in other:
        reply.replayed = True
        yield chunk
    if reply.replayed and other.status != "complete":
        raise ProviderError("the same request was being answered for another cell, and was stopped: run this again")


def check_name(name: str) -> None:
    """Raise ``ConversationNameError`` if a conversation cannot be called so; any character will do."""
    if not isinstance(name, str) or not name.strip():
        raise ConversationNameError("a conversation needs a name")


_journals: list[Journal] = []  # the last is this process's own; those before it had another file
_finding = threading.Lock()


def here(location: str = "") -> Journal:
    """This process's journal, in the history at ``location``: a file, ``:memory:`` or ``off``.

    Without a location the one in use goes on, or that of the settings begins. Which notebook and which cell it is, is
    asked of the shell, where one runs.
    """
    with _finding:
        if not _journals or (location and _journals[-1].location != location):
            _journals.append(_begin(location or where(settings.load().history)))
        return _journals[-1]


def where(setting: str) -> str:
    """The place that the setting ``history`` means."""
    return setting or str(settings.data_folder() / FILE)


def _begin(location: str) -> Journal:
    if "IPython" in sys.modules:  # imported now, not with this module: it is the display that knows the shell
        from flowgpt_magic import display

        if display.in_shell():
            return Journal(
                display.place(), location, running_cell=display.running_cell, find_path=display.path_of_notebook
            )
    return Journal(script(sys.argv[0], os.getcwd(), uuid4().hex), location)


def forget() -> None:
    """Close the journals; the next use finds the place and the file anew."""
    with _finding:
        while _journals:
            _journals.pop().close()
