"""The history of one notebook in this process: its conversations and the turns being recorded.

The notebook is identified once, so that its conversations continue when the file is renamed. Its key in the history
follows the file, so that the next kernel finds it.
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
    PromptError,
    TurnNotFoundError,
)
from flowgpt_magic.history.background_writer import LOCK_WARNING_AFTER, BackgroundWriter
from flowgpt_magic.history.conversation_state import ConversationState, StoredConversation
from flowgpt_magic.history.notebook_identity import FILE_KINDS, NotebookMatch, find_notebook, new_notebook, with_place
from flowgpt_magic.history.processes import this_kernel
from flowgpt_magic.history.received_pictures import ReceivedPictures
from flowgpt_magic.history.records import (
    MAIN,
    MEMORY,
    OFF,
    ChangeRecord,
    ConversationRecord,
    ConversationSummary,
    KeyChange,
    NotebookRecord,
    Record,
    RequestRecord,
    SearchHit,
)
from flowgpt_magic.history.sent_requests import sent_request
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.messages import Status, Turn
from flowgpt_magic.notebook.attached_pictures import attached_picture
from flowgpt_magic.notebook.place import (
    ELSEWHERE,
    NO_CELL,
    Cell,
    Place,
    elsewhere,
    place_of,
)
from flowgpt_magic.prompt.pictures import PictureReference, read_picture
from flowgpt_magic.replies.cache import ReplyCache
from flowgpt_magic.text import counted, short_path

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History
    from flowgpt_magic.replies.received import RecordedReply
    from flowgpt_magic.replies.request import Request

T = TypeVar("T")
PAGE_TIMEOUT = 2.0  # seconds to wait for a picture that a page is sending
SAVE_TIMEOUT = LOCK_WARNING_AFTER + 0.5  # seconds a reply waits to be saved; the warning comes shortly before that


class NotebookHistory:
    """Keeps the conversations of one notebook.

    ``listeners`` are called after every change with the conversation that changed, or with None if several did. They
    run on the thread that made the change, perhaps while it holds locks, so they must not block.

    Args:
        place: where the notebook is.
        location: path of the history's file, ``:memory:`` or ``off``.
        running_cell: returns the running cell; by default there is none.
        find_path: returns the notebook's current path, or None if unknown.
        configured: returns the settings made with ``%config``.
        page_is_connected: says whether a page may be sending a picture now.
    """

    def __init__(
        self,
        place: Place,
        location: str,
        *,
        running_cell: Callable[[], Cell] = lambda: NO_CELL,
        find_path: Callable[[], str | None] = lambda: None,
        configured: Callable[[], Mapping[str, Any]] = dict,
        page_is_connected: Callable[[], bool] = lambda: False,
    ) -> None:
        self.place = place
        self.location = location
        self.running_cell = running_cell
        self.configured = configured
        self._page_is_connected = page_is_connected
        self.listeners: list[Callable[[ConversationState | None], None]] = []
        self._cell_numbers: dict[str, int] = {}  # by run, of this process
        self._current = MAIN
        self._find_path = find_path
        self._searching = False  # for the notebook's file
        self._notices: deque[str] = deque()  # not shown yet
        self._notified: set[str] = set()
        self._writer = BackgroundWriter(location, warn=self.tell)
        self.pictures = ReceivedPictures(self._writer.save, lambda query: self.read(query, None))
        self._notebook: NotebookRecord | None = None
        self._notebook_saved = False
        self._states: dict[str, ConversationState] = {}
        self.replays = ReplyCache(self._find_replay)
        self._lock = threading.RLock()

    @property
    def location_text(self) -> str:
        """Where turns are saved, as text for people: the path of the file, or why they are only in memory."""
        if self.location == MEMORY:
            return "in memory, until this kernel is restarted"
        if self._writer.in_memory:
            return f"in memory, until this kernel is restarted: {short_path(self.location)} cannot be used"
        return short_path(self.location)

    @property
    def kernel(self) -> str:
        """The name of this process; a forked child has its own."""
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
        """Call the listeners."""
        for listener in tuple(self.listeners):
            listener(state)

    def take_notices(self) -> list[str]:
        """The notices that were not shown yet, one line each. They are returned once."""
        notices = []
        while self._notices:
            notices.append(self._notices.popleft())
        return notices

    def tell(self, text: str) -> None:
        """Show a notice once: below the next reply or, in a script, as a warning."""
        if text in self._notified:
            return
        self._notified.add(text)
        if self.place.kind == "script":
            warnings.warn(text, FlowGptWarning, stacklevel=2)
        else:
            self._notices.append(text)

    def open_conversations(self) -> list[ConversationState]:
        """The conversations of this notebook that this process has read or begun."""
        return list(self._states.values())

    def close(self) -> None:
        """Write what is pending and close the file."""
        self._writer.close()

    def unlock(self) -> None:
        """In a forked child: replace the locks, and drop the replies that arrive in the parent."""
        self._lock = threading.RLock()
        self.pictures.unlock()
        for state in self._states.values():
            state.lock = threading.RLock()
            state.replies.clear()
            state.comparisons.clear()

    def flush(self) -> bool:
        """Wait until everything is written. False if that takes too long."""
        return self._writer.flush()

    async def until_saved(self, timeout: float = SAVE_TIMEOUT) -> bool:
        """Wait until everything saved before this call is in the file. False after ``timeout`` seconds."""
        saved = self._writer.saved()
        if saved is not None:
            await asyncio.wait({asyncio.wrap_future(saved)}, timeout=timeout)
        return saved is None or saved.done()

    def read(self, query: Callable[[History], T], otherwise: T) -> T:
        """The result of ``query``, or ``otherwise`` and a notice if the history cannot be read."""
        if self.location == "off":
            return otherwise
        try:
            return self._writer.read(query)
        except HistoryError as error:
            self.tell(str(error))
            return otherwise

    def picture_url(self, reference: PictureReference) -> str:
        """The URL of a picture that a prompt names: from the history, the notebook's file, or a page that sends it now.

        Raises ``PromptError`` if it is nowhere, or if its name stands for several pictures.
        """
        digits = reference.digits
        picture = self.pictures.find(digits) if digits else None
        if picture is None:
            content = attached_picture(self.place.path, reference.name, self.running_cell().cell_id)
            picture = None if content is None else read_picture(content, reference.name)
        if picture is None and digits and self._page_is_connected():
            picture = self.pictures.wait(digits, PAGE_TIMEOUT)
        if picture is None:
            raise PromptError(
                f"the picture {reference.name} is neither in the history nor in the notebook's file: save the notebook "
                "if it shows the picture, or else paste the picture again"
            )
        return picture.url

    # The notebook

    @property
    def notebook(self) -> NotebookRecord:
        """This notebook, from the history or new."""
        return self._notebook or self._find_notebook(self.running_cell())  # the cell is known on this thread only

    @wholly
    def _find_notebook(self, cell: Cell) -> NotebookRecord:
        with self._lock:
            if self._notebook is None:
                match = self.read(lambda history: find_notebook(history, self.place, cell), None)
                match = match or NotebookMatch(new_notebook(self.place))
                self._notebook = match.notebook
                for record in match.records:
                    self._writer.save(record)
                if match.text:
                    self.tell(match.text)
            return self._notebook

    @wholly
    def adopt(self, path: str) -> str:
        """Take over the history of the notebook at ``path``; returns that notebook's label.

        If the notebook still exists, its history is copied. Where both have a conversation with the same name, this
        notebook's own is renamed. Raises ``ConversationNotFoundError`` if ``path`` has no history.
        """
        other = place_of(os.path.abspath(os.path.expanduser(path)))
        own = self.notebook
        nothing: tuple[NotebookRecord, ...] = ()
        notebooks = self.read(lambda history: history.notebooks(), nothing)
        adopted = next((it for it in notebooks if it.key != own.key and other.key in (it.key, it.path)), None)
        if adopted is None:
            history = "other history" if other.path == own.path else "history"
            raise ConversationNotFoundError(f"there is no {history} of a notebook at {other.path or path}")
        adopted_id, names = adopted.notebook_id, self.names()
        adopted_names = {summary.conversation.name for summary in self._summaries(adopted_id)}
        for name in adopted_names.intersection(names):
            state = self.load(name)
            state.record = replace(state.record, name=_free(name, {*adopted_names, *names}), changed=time.time())
            self.save(state, changed=True)
        self.save_notebook()
        copies: list[Record] = []
        if os.path.isfile(adopted.path) and not ELSEWHERE.match(adopted.key):
            copies = self.read(lambda history: history.copies(adopted_id, own.notebook_id), copies)
        with self._lock:
            if not copies:
                self._writer.save(KeyChange(adopted.key, own.key))
                self._notebook, self._notebook_saved = with_place(adopted, self.place), False
            for record in copies:
                self._writer.save(record)
            self._states.clear()
        self.save_notebook()
        self.changed()
        return adopted.label

    def follow_file(self) -> None:
        """If the notebook's file was renamed while the kernel runs, move its history to the new name."""
        path = self._find_path() if self.place.kind in FILE_KINDS else None
        place = place_of(path, self.place.kind) if path else self.place
        if place != self.place and os.path.isfile(place.path):
            self._move(place)

    @wholly
    def _move(self, place: Place) -> None:
        notebook = self.notebook
        with self._lock:
            self.place = place
            # The history at the new path belongs to a notebook that is no longer there.
            self._writer.save(KeyChange(place.key, elsewhere(place.key, uuid4().hex)))
            self._writer.save(KeyChange(notebook.key, place.key))
            self._notebook, self._notebook_saved = with_place(notebook, self.place), False
        self.save_notebook()

    def _follow_if_gone(self) -> None:
        """Look for the notebook's file on another thread if it is gone: a server may need seconds to answer."""
        if self._searching or self.place.kind not in FILE_KINDS or os.path.exists(self.place.path):
            return

        def search() -> None:
            try:
                self.follow_file()
            finally:
                self._searching = False

        self._searching = True
        threading.Thread(target=search, name="flowgpt_magic notebook", daemon=True).start()

    # Conversations

    def load(self, name: str) -> ConversationState:
        """The conversation of this name; a new one if there is none. Raises ``ConversationNameError``."""
        check_name(name)
        return self._states.get(name) or self._open(name)

    @wholly
    def _open(self, name: str) -> ConversationState:
        with self._lock:
            if name not in self._states:
                notebook_id = self.notebook.notebook_id
                nothing: list[ConversationState] = []
                states = self.read(lambda history: self._load(history, notebook_id, name), nothing)
                stored = self._settle(name, states)
                if stored and self.place.kind in ("terminal", "folder") and (turns := len(stored.timeline.live)):
                    text = f"{name} continues with {counted(turns, 'turn')} from {self.place.label}"
                    self.tell(f"{text}; %flowgpt clear starts afresh")
                state = stored or ConversationState(
                    record := self._new_conversation(name), Timeline(record.conversation_id)
                )
                state.stored = self._stored(state.record.conversation_id)
                self._states[name] = state
            return self._states[name]

    def _stored(self, conversation_id: str) -> StoredConversation | None:
        """What reads a conversation from the file again; None if there is no file."""
        if self.location in (OFF, MEMORY):
            return None

        def turns(history: History) -> tuple[tuple[Turn, ...], Mapping[int, int]]:
            return history.turns(conversation_id), history.newest_versions(conversation_id)

        return StoredConversation(
            lambda: self._writer.read(turns),
            lambda: self._writer.read(lambda history: history.changes(conversation_id, last=-1)),
        )

    def unload(self, state: ConversationState) -> None:
        """Keep only the newest turns of a long conversation in memory, unless a panel shows it.

        In VS Code, turns of earlier kernels stay in memory, because running a cell compares it with all of them.
        """
        if not self.listeners:
            own = self.kernel if self.place.kind == "vscode" else ""
            state.unload(self._writer.saved, lambda turn: not own or turn.kernel == own)

    def _load(self, history: History, notebook_id: str, name: str) -> list[ConversationState]:
        """The conversations of this name, oldest first; only the first one with its turns.

        There are several if two kernels began one at the same moment, or if a kernel could not read the file.
        """
        summaries = history.conversations(notebook_id)
        records = [summary.conversation for summary in summaries if summary.conversation.name == name]
        if not records:
            return []
        first = records[0].conversation_id
        timeline = Timeline(first, history.turns(first), history.changes(first), history.newest_versions(first))
        others = [ConversationState(record, Timeline("")) for record in records[1:]]
        return [ConversationState(records[0], timeline, listed=True), *others]

    def _settle(self, name: str, states: list[ConversationState]) -> ConversationState | None:
        """Resolve conflicts between kernels: rename other conversations of this name, separate turns at one place."""
        if not states:
            return None
        state, *others = states
        for other in others:
            other.record = replace(other.record, name=_free(name, set(self.names())), changed=time.time())
            self.save(other, changed=True)
            self.tell(f"another conversation was also called {name}: it is now called {other.record.name}")
        if turns := state.timeline.separate():
            self.save(state, *turns)
        return state

    def _new_conversation(self, name: str) -> ConversationRecord:
        now = time.time()
        return ConversationRecord(uuid4().hex, self.notebook.notebook_id, name, "", "", {}, now, now)

    def check_new_name(self, name: str) -> None:
        """Raise ``ConversationNameError`` if the name is empty or taken."""
        check_name(name)
        if name in self.names():
            raise ConversationNameError(f"there is already a conversation {name!r}: choose another name")

    def names(self) -> list[str]:
        """The names of this notebook's conversations, oldest first."""
        notebook_id = self.notebook.notebook_id
        nothing: tuple[str, ...] = ()
        stored = self.read(lambda history: history.names(notebook_id), nothing)
        with self._lock:
            return list(dict.fromkeys([*stored, *(name for name, state in self._states.items() if state.listed)]))

    def known_names(self) -> list[str]:
        """The same without identifying the notebook: empty until something else has."""
        return [] if self._notebook is None else self.names()

    def generated_name(self) -> str:
        """A name that is free, for a conversation that its first prompt will name: ``chat 2``."""
        names = {*self.names(), self.current}
        return next(name for number in count(len(names) + 1) if (name := f"chat {number}") not in names)

    def unused_name(self, name: str) -> str:
        """``name``, with a number appended if the notebook has a conversation of this name."""
        names = {*self.names(), self.current}
        return name if name not in names else _free(name, names)

    def free_name(self, name: str) -> str:
        """``name``, with a number appended if a conversation of this name has turns."""
        taken = {summary.conversation.name for summary in self.summaries() if summary.turns}
        with self._lock:
            taken |= {other for other, state in self._states.items() if state.timeline.count}
        return name if name not in taken else _free(name, taken)

    def summaries(self) -> tuple[ConversationSummary, ...]:
        """The conversations of this notebook with their number of turns."""
        return self._summaries(self.notebook.notebook_id)

    def _summaries(self, notebook_id: str) -> tuple[ConversationSummary, ...]:
        return self.read(lambda history: history.conversations(notebook_id), ())

    def name_changed(self, state: ConversationState, before: str) -> None:
        """Record that the conversation called ``before`` was renamed or removed."""
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
        """Restore the removed conversation of this name, the newest of several. False if there is none."""
        notebook_id = self.notebook.notebook_id
        nothing: tuple[ConversationSummary, ...] = ()
        summaries = self.read(lambda history: history.conversations(notebook_id, removed=True), nothing)
        records = [summary.conversation for summary in summaries]
        removed = [record for record in records if record.removed and record.name == name]
        if not removed:
            return False
        self._writer.save(replace(removed[-1], removed=False, changed=time.time()))
        with self._lock:
            self._states.pop(name, None)
        self.changed()
        return True

    def versions(self, conversation_id: str, place: int) -> tuple[Turn, ...]:
        """All saved turns at one place, oldest first."""
        return self.read(lambda history: history.versions(conversation_id, place), ())

    def _find_replay(self, key: str) -> Turn | None:
        return self.read(lambda history: history.find_replay(key), None)

    def turns(self, turn_ids: Collection[str]) -> tuple[Turn, ...]:
        """The saved turns of these ids."""
        return self.read(lambda history: history.turns_by_id(turn_ids), ()) if turn_ids else ()

    def turn(self, turn_id: str) -> Turn:
        """The turn of any notebook whose id begins with ``turn_id``. Raises ``TurnNotFoundError``."""
        nothing: tuple[Turn, ...] = ()
        turns = self.read(lambda history: history.turns_by_prefix(turn_id), nothing) if turn_id else nothing
        if len(turns) != 1:
            subject = "several turns have" if turns else "no turn has"
            raise TurnNotFoundError(f"{subject} an id that begins with {turn_id!r}")
        return turns[0]

    def turn_by_id(self, turn_id: str) -> Turn | None:
        """The turn of any notebook with this id, also one that is not in the file yet; None if there is none."""
        return self.turns_by_id([turn_id]).get(turn_id)

    def turns_by_id(self, turn_ids: Collection[str]) -> dict[str, Turn]:
        """The turns that ``turn_by_id`` finds, by id; the file is read once for all of them."""
        found: dict[str, Turn] = {}
        for state in self.open_conversations():
            with state.lock:
                turns = [state.timeline.find(turn_id) for turn_id in turn_ids if turn_id not in found]
            found.update({turn.turn_id: turn for turn in turns if turn is not None})
        saved = self.turns([turn_id for turn_id in turn_ids if turn_id not in found])
        return found | {turn.turn_id: turn for turn in saved}

    def name_of(self, conversation_id: str) -> str:
        """The name of this notebook's conversation with this id; empty if it has none."""
        records = [state.record for state in self.open_conversations()]
        records += [summary.conversation for summary in self.summaries()]
        return next((record.name for record in records if record.conversation_id == conversation_id), "")

    def search(self, words: str, limit: int = 20) -> tuple[SearchHit, ...]:
        """The turns of all notebooks that contain these words, each once, newest first."""
        own_key = self.notebook.key
        return self.read(lambda history: history.search(words, limit, own_key=own_key), ())

    @wholly
    def take(self, parents: Sequence[Record], turns: Sequence[Turn], changes: Sequence[ChangeRecord] = ()) -> None:
        """Save records of another history: ``parents`` are its notebooks and conversations.

        Open conversations that get turns or changes are read again at their next use.
        """
        records: list[Turn | ChangeRecord] = [*turns, *changes]
        for parent in parents:
            self._writer.save(parent)
        for record in records:
            self._writer.end(record) if isinstance(record, Turn) else self._writer.save(record)
        outdated = {record.conversation_id for record in records}
        with self._lock:
            for name, state in list(self._states.items()):
                if state.record.conversation_id in outdated:
                    del self._states[name]
        self.changed()

    # Saving

    def save_notebook(self) -> None:
        """Save the notebook's record once.

        The flag is set under the lock and after the record is queued: if another thread sees the flag, its turn is
        queued behind the record.
        """
        _found = self.notebook  # before the lock: looking for it takes another thread, which needs the lock
        with self._lock:
            if not self._notebook_saved:
                self._writer.save(self.notebook)
                self._notebook_saved = True

    def save(self, state: ConversationState, *records: Turn | ChangeRecord, changed: bool = False) -> None:
        """Save turns and changes of a conversation, after the conversation and the notebook where needed.

        ``changed`` means that the conversation's own record has changed.
        """
        with self._lock:  # see save_notebook
            self.save_notebook()
            if changed or not state.handed_over:
                self._writer.save(state.record)
                state.listed = state.handed_over = True
        for record in records:
            self._writer.save(record)
        self.changed(state)

    def begin(self, state: ConversationState, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """Save a turn that begins to stream, then the records that change with it."""
        self._follow_if_gone()
        self.save(state)
        self._writer.begin(turn)
        self.save(state, *others)

    def number_cell(self, cell: Cell) -> None:
        """Remember the number of a cell that asks."""
        if cell.number:
            self._cell_numbers[cell.run] = cell.number

    def cell_number(self, turn: Turn) -> int:
        """The number of the cell run that asked a turn, as in ``In [3]``; 0 if unknown or of another kernel."""
        return self._cell_numbers.get(turn.run, 0) if turn.run and turn.kernel == self.kernel else 0

    def request_record(
        self, request: Request, answer: RecordedReply, status: Status, *, request_id: str, started: float
    ) -> RequestRecord | None:
        """The record of a request of this notebook, see ``sent_request``; None if nothing was sent or is stored."""
        if self.location == OFF:
            return None
        notebook_id = self.notebook.notebook_id
        return sent_request(request, answer, status, request_id=request_id, notebook_id=notebook_id, started=started)

    def count(self, *requests: RequestRecord) -> None:
        """Save requests for the usage."""
        if requests:
            self.save_notebook()
        for request in requests:
            self._writer.save(request)

    def grow(self, turn_id: str, text: Callable[[], str], reasoning: Callable[[], str]) -> None:
        """Note that a turn has more text. ``text`` is called when it is written, at most once per second."""
        self._writer.grow(turn_id, text, reasoning)

    def end(self, state: ConversationState, turn: Turn, others: list[Turn | ChangeRecord]) -> None:
        """Save a turn that has ended, then the records that change with it."""
        self._writer.end(turn)
        self.save(state, *others)


def _free(name: str, taken: Collection[str]) -> str:
    return next(free for free in (f"{name} ({number})" for number in count(2)) if free not in taken)


def check_name(name: str) -> None:
    """Raise ``ConversationNameError`` if the name is empty. Any character is allowed."""
    if not isinstance(name, str) or not name.strip():
        raise ConversationNameError("a conversation needs a name")
