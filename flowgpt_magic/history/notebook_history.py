"""This process's part of the history: one notebook, its conversations, and what is being asked just now.

Which notebook this is, is found out once and then stays: a conversation goes on where it is though the file is renamed.
Its place in the history follows the file, so that the next kernel finds it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from flowgpt_magic.bridge import wholly
from flowgpt_magic.errors import (
    ConversationNameError,
    ConversationNotFoundError,
    FlowGptWarning,
    HistoryError,
    TurnNotFoundError,
)
from flowgpt_magic.history.background_writer import PATIENCE, BackgroundWriter
from flowgpt_magic.history.conversation_state import ConversationState, Stored
from flowgpt_magic.history.notebook_identity import FILE_KINDS, Found, find_notebook, moved, new_notebook
from flowgpt_magic.history.processes import this_kernel
from flowgpt_magic.history.records import (
    MAIN,
    MEMORY,
    OFF,
    ChangeRecord,
    ConversationRecord,
    ConversationSummary,
    Hit,
    NotebookRecord,
    Record,
    Rekey,
)
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.place import (
    ELSEWHERE,
    NO_CELL,
    Cell,
    Place,
    elsewhere,
    place_of,
)
from flowgpt_magic.replies.cache import ReplyCache
from flowgpt_magic.text import counted, short_path

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

T = TypeVar("T")
SAVED_WITHIN = PATIENCE + 0.5  # seconds a reply waits to be saved; the person is told shortly before that it is not


class NotebookHistory:
    """Keeps the conversations of the notebook at ``place`` in the history at ``location``.

    ``running_cell`` tells which cell runs just now; ``find_path`` where the notebook's file is by now, None where
    nobody knows; ``configured`` gives what ``%config`` has set. ``current`` is the conversation that cells ask in.
    ``listeners`` are told of every change: what was changed, or None where it is no single conversation. They are
    called on whichever thread makes it and may be in the middle of something: they only take note.
    """

    def __init__(
        self,
        place: Place,
        location: str,
        *,
        running_cell: Callable[[], Cell] = lambda: NO_CELL,
        find_path: Callable[[], str | None] = lambda: None,
        configured: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.place = place
        self.location = location
        self.running_cell = running_cell
        self.configured = configured
        self.listeners: list[Callable[[ConversationState | None], None]] = []
        self._current = MAIN
        self._find_path = find_path
        self._looking = False  # for the notebook's file
        self._troubles: deque[str] = deque()  # what the person has not been told yet
        self._told: set[str] = set()
        self._saver = BackgroundWriter(location, warn=self.tell)
        self._notebook: NotebookRecord | None = None
        self._notebook_saved = False
        self._states: dict[str, ConversationState] = {}
        self.replays = ReplyCache(self._find_replay)
        self._lock = threading.RLock()

    @property
    def location_text(self) -> str:
        """Where turns go, in words for a person: the path of the file, or why they are in memory only."""
        if self.location == MEMORY:
            return "in memory, until this kernel is restarted"
        if self._saver.in_memory:
            return f"in memory, until this kernel is restarted: {short_path(self.location)} cannot be used"
        return short_path(self.location)

    @property
    def kernel(self) -> str:
        """The name of this process; a forked one has another than its parent."""
        return this_kernel()

    @property
    def current(self) -> str:
        """The name of the conversation that cells ask in."""
        return self._current

    @current.setter
    def current(self, name: str) -> None:
        self._current = name
        self.changed()

    def changed(self, state: ConversationState | None = None) -> None:
        """Tell those who listen."""
        for listener in tuple(self.listeners):
            listener(state)

    def take_notices(self) -> list[str]:
        """What a person should know and was not told yet, a line each."""
        taken = []
        while self._troubles:
            taken.append(self._troubles.popleft())
        return taken

    def tell(self, text: str) -> None:
        """Have the person told, once: below the next reply, or in a program by a warning."""
        if text in self._told:
            return
        self._told.add(text)
        if self.place.kind == "script":
            warnings.warn(text, FlowGptWarning, stacklevel=2)
        else:
            self._troubles.append(text)

    def open_conversations(self) -> list[ConversationState]:
        """The conversations of this notebook that this process has read or begun."""
        return list(self._states.values())

    def close(self) -> None:
        """Write what is not written yet."""
        self._saver.close()

    def unlock(self) -> None:
        """Begin with locks of this process after a fork, without the replies that arrive in the parent."""
        self._lock = threading.RLock()
        for state in self._states.values():
            state.lock = threading.RLock()
            state.replies.clear()

    def flush(self) -> bool:
        """Wait until everything is written; was it?"""
        return self._saver.flush()

    async def until_saved(self, timeout: float = SAVED_WITHIN) -> bool:
        """Wait until everything that was handed over before is in the file; was it, within ``timeout`` seconds?"""
        saved = self._saver.saved()
        if saved is not None:
            await asyncio.wait({asyncio.wrap_future(saved)}, timeout=timeout)
        return saved is None or saved.done()

    def read(self, ask: Callable[[History], T], otherwise: T) -> T:
        """What ``ask`` finds in the history; ``otherwise``, and a line for the person, where it cannot be read."""
        if self.location == "off":
            return otherwise
        try:
            return self._saver.read(ask)
        except HistoryError as error:
            self.tell(str(error))
            return otherwise

    # The notebook

    @property
    def notebook(self) -> NotebookRecord:
        """This notebook, found in the history or new."""
        return self._notebook or self._find_notebook(self.running_cell())  # now: the rest is done on another thread

    @wholly
    def _find_notebook(self, cell: Cell) -> NotebookRecord:
        with self._lock:
            if self._notebook is None:
                found = self.read(lambda history: find_notebook(history, self.place, cell), None)
                found = found or Found(new_notebook(self.place))
                self._notebook = found.notebook
                for record in found.records:
                    self._saver.save(record)
                if found.text:
                    self.tell(found.text)
            return self._notebook

    @wholly
    def adopt(self, path: str) -> str:
        """Take over the history of the notebook that was at ``path``, or a copy where it still is; returns its name.

        Where both have a conversation of one name, this notebook's own gets another one. Raises
        ``ConversationNotFoundError`` where nothing is known of it.
        """
        other = place_of(os.path.abspath(os.path.expanduser(path)))
        mine = self.notebook
        nothing: tuple[NotebookRecord, ...] = ()
        notebooks = self.read(lambda history: history.notebooks(), nothing)
        found = [each for each in notebooks if each.key != mine.key and other.key in (each.key, each.path)]
        if not found:
            already = "this notebook's own history is all that" if other.path == mine.path else "nothing"
            raise ConversationNotFoundError(f"{already} is known of a notebook at {other.path or path}")
        known, names = found[0], self.names()
        theirs = {each.conversation.name for each in self._summaries(known.notebook_id)}
        for name in theirs.intersection(names):
            state = self.load(name)
            fresh = _free(name, {*theirs, *names})
            state.record = replace(state.record, name=fresh, changed=time.time())
            self.save(state, changed=True)
        self.save_notebook()
        copies: list[Record] = []
        if os.path.isfile(known.path) and not ELSEWHERE.match(known.key):
            copies = self.read(lambda history: history.copies(known.notebook_id, mine.notebook_id), copies)
        with self._lock:
            if not copies:
                self._saver.save(Rekey(known.key, mine.key))
                self._notebook, self._notebook_saved = moved(known, self.place), False
            for record in copies:
                self._saver.save(record)
            self._states.clear()
        self.save_notebook()
        self.changed()
        return known.label

    def follow_file(self) -> None:
        """Where the notebook's file was renamed under the running kernel, keep its history under the new name."""
        path = self._find_path() if self.place.kind in FILE_KINDS else None
        place = place_of(path, self.place.kind) if path else self.place
        if place != self.place and os.path.isfile(place.path):
            self._move(place)

    @wholly
    def _move(self, place: Place) -> None:
        """Keep what is kept for this notebook at another place."""
        notebook = self.notebook
        with self._lock:
            self.place = place
            # What was kept for that path is of a notebook that is not there any more.
            self._saver.save(Rekey(place.key, elsewhere(place.key, uuid4().hex)))
            self._saver.save(Rekey(notebook.key, place.key))
            self._notebook, self._notebook_saved = moved(notebook, self.place), False
        self.save_notebook()

    def _follow_if_gone(self) -> None:
        """Look for the notebook's file behind the back of whoever asks: a server may need seconds to say."""
        if self._looking or self.place.kind not in FILE_KINDS or os.path.exists(self.place.path):
            return

        def look() -> None:
            try:
                self.follow_file()
            finally:
                self._looking = False

        self._looking = True
        threading.Thread(target=look, name="flowgpt_magic notebook", daemon=True).start()

    # Conversations

    def load(self, name: str) -> ConversationState:
        """The conversation of this name, which is new if there was none."""
        check_name(name)
        return self._states.get(name) or self._open(name)

    @wholly
    def _open(self, name: str) -> ConversationState:
        with self._lock:
            if name not in self._states:
                notebook_id = self.notebook.notebook_id
                nothing: list[ConversationState] = []
                found = self._settle(name, self.read(lambda history: self._load(history, notebook_id, name), nothing))
                if found and self.place.kind in ("terminal", "folder") and (turns := len(found.timeline.live)):
                    told = f"{name} goes on with {counted(turns, 'turn')} of {self.place.label}"
                    self.tell(f"{told}; %flowgpt clear begins anew")
                state = found or ConversationState(
                    record := self._new_conversation(name), Timeline(record.conversation_id)
                )
                state.stored = self._stored(state.record.conversation_id)
                self._states[name] = state
            return self._states[name]

    def _stored(self, conversation_id: str) -> Stored | None:
        """How to read a conversation again; None where that would be read from memory."""
        if self.location in (OFF, MEMORY):
            return None

        def turns(history: History) -> tuple[tuple[Turn, ...], Mapping[int, int]]:
            return history.turns(conversation_id), history.newest_versions(conversation_id)

        return Stored(
            lambda: self._saver.read(turns),
            lambda: self._saver.read(lambda history: history.changes(conversation_id, last=-1)),
        )

    def unload(self, state: ConversationState) -> None:
        """Keep only the newest turns of a long conversation in memory, unless somebody watches them.

        VS Code gives the cells of a document that is opened again other numbers: there the turns of an earlier kernel
        are looked through whenever a cell is run.
        """
        if not self.listeners:
            own = self.kernel if self.place.kind == "vscode" else ""
            state.unload(self._saver.saved, lambda turn: not own or turn.kernel == own)

    def _load(self, history: History, notebook_id: str, name: str) -> list[ConversationState]:
        """The conversations of this name, the one that is meant first.

        Two kernels that begin one at the same moment begin two, as does one that cannot read the file.
        """
        summaries = history.conversations(notebook_id)
        same = [each.conversation for each in summaries if each.conversation.name == name]
        for record in same[:1]:
            live = history.turns(record.conversation_id)
            changes = history.changes(record.conversation_id)
            newest = history.newest_versions(record.conversation_id)
            timeline = Timeline(record.conversation_id, live, changes, newest)
            return [
                ConversationState(record, timeline, listed=True),
                *(ConversationState(each, Timeline("")) for each in same[1:]),
            ]
        return []

    def _settle(self, name: str, found: list[ConversationState]) -> ConversationState | None:
        """Mend what two kernels did to one conversation: others of its name, and turns at one place."""
        if not found:
            return None
        state, *others = found
        for other in others:
            other.record = replace(other.record, name=_free(name, set(self.names())), changed=time.time())
            self.save(other, changed=True)
            self.tell(f"another conversation was called {name} too: it is called {other.record.name} now")
        if spread := state.timeline.separate():
            self.save(state, *spread)
        return state

    def _new_conversation(self, name: str) -> ConversationRecord:
        now = time.time()
        return ConversationRecord(uuid4().hex, self.notebook.notebook_id, name, "", "", {}, now, now)

    def check_new_name(self, name: str) -> None:
        """Raise ``ConversationNameError`` if the name is empty or taken."""
        check_name(name)
        if name in self.names():
            raise ConversationNameError(f"there is a conversation {name!r} already; choose another name")

    def names(self) -> list[str]:
        """The names of this notebook's conversations, the oldest first."""
        notebook_id = self.notebook.notebook_id
        nothing: tuple[str, ...] = ()
        stored = self.read(lambda history: history.names(notebook_id), nothing)
        with self._lock:
            return list(dict.fromkeys([*stored, *(name for name, state in self._states.items() if state.listed)]))

    def known_names(self) -> list[str]:
        """The same, but none where this notebook was not looked for yet: whoever only looks begins nothing."""
        return [] if self._notebook is None else self.names()

    def free_name(self, name: str) -> str:
        """``name``, or with a number behind it where a conversation of this name has turns."""
        taken = {each.conversation.name for each in self.summaries() if each.turns}
        with self._lock:
            taken |= {known for known, state in self._states.items() if state.timeline.count}
        return name if name not in taken else _free(name, taken)

    def summaries(self) -> tuple[ConversationSummary, ...]:
        """The conversations of this notebook with their number of turns."""
        return self._summaries(self.notebook.notebook_id)

    def _summaries(self, notebook_id: str) -> tuple[ConversationSummary, ...]:
        return self.read(lambda history: history.conversations(notebook_id), ())

    def name_changed(self, state: ConversationState, before: str) -> None:
        """A conversation is called something else now, or was removed."""
        with self._lock:
            if self._states.get(before) is state:
                del self._states[before]
            if not state.record.removed:
                self._states[state.record.name] = state
            if self._current == before:
                self._current = MAIN if state.record.removed else state.record.name
        self.save(state, changed=True)

    @wholly
    def restore(self, name: str) -> bool:
        """Put a conversation that was removed back on the list; was there one?"""
        notebook_id = self.notebook.notebook_id
        nothing: tuple[ConversationSummary, ...] = ()
        known = self.read(lambda history: history.conversations(notebook_id, removed=True), nothing)
        gone = [each.conversation for each in known if each.conversation.removed and each.conversation.name == name]
        for record in gone[-1:]:
            self._saver.save(replace(record, removed=False, changed=time.time()))
            with self._lock:
                self._states.pop(name, None)
            self.changed()
        return bool(gone)

    def versions(self, conversation_id: str, place: int) -> tuple[Turn, ...]:
        """All that was ever asked at one place, as far as it is saved."""
        return self.read(lambda history: history.versions(conversation_id, place), ())

    def _find_replay(self, key: str) -> Turn | None:
        return self.read(lambda history: history.find_replay(key), None)

    def turns(self, turn_ids: Collection[str]) -> tuple[Turn, ...]:
        """The saved turns of these ids."""
        return self.read(lambda history: history.turns_by_id(turn_ids), ()) if turn_ids else ()

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

    @wholly
    def take(self, parents: Sequence[Record], turns: Sequence[Turn], changes: Sequence[ChangeRecord] = ()) -> None:
        """Save what another history has: notebooks and conversations, then their turns and changes.

        Conversations that are open here and got something are read again.
        """
        records: list[Turn | ChangeRecord] = [*turns, *changes]
        for parent in parents:
            self._saver.save(parent)
        for record in records:
            self._saver.end(record) if isinstance(record, Turn) else self._saver.save(record)
        touched = {record.conversation_id for record in records}
        with self._lock:
            for name in [each for each, state in self._states.items() if state.record.conversation_id in touched]:
                del self._states[name]
        self.changed()

    # Saving

    def save_notebook(self) -> None:
        """Save which notebook this is.

        The mark is set after the record is handed over, and under the lock: a turn of another thread that finds the
        mark must come behind the record in the saver's queue.
        """
        with self._lock:
            if not self._notebook_saved:
                self._saver.save(self.notebook)
                self._notebook_saved = True

    def save(self, state: ConversationState, *records: Turn | ChangeRecord, changed: bool = False) -> None:
        """Save turns and changes of a conversation, and before them what the saver does not have yet, or not as it is.

        ``changed`` says that the conversation's own record has changed.
        """
        with self._lock:  # see save_notebook
            self.save_notebook()
            if changed or not state.handed_over:
                self._saver.save(state.record)
                state.listed = state.handed_over = True
        for record in records:
            self._saver.save(record)
        self.changed(state)

    def begin(self, state: ConversationState, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """A turn begins to stream."""
        self._follow_if_gone()
        self.save(state)
        self._saver.begin(turn)
        self.save(state, *others)

    def grow(self, turn_id: str, text: Callable[[], str]) -> None:
        """A turn has more text; it is asked for when it is written, at most once a second."""
        self._saver.grow(turn_id, text)

    def end(self, state: ConversationState, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """A turn has ended."""
        self._saver.end(turn)
        self.save(state, *others)


def _free(name: str, taken: Collection[str]) -> str:
    return next(free for free in (f"{name} ({number})" for number in count(2)) if free not in taken)


def check_name(name: str) -> None:
    """Raise ``ConversationNameError`` if a conversation cannot be called so; any character will do."""
    if not isinstance(name, str) or not name.strip():
        raise ConversationNameError("a conversation needs a name")
