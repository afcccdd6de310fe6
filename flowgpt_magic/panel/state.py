"""The state of a panel, without its widget: one conversation, kept up to date on the pages that show it.

``show`` gets the state (the names, the model, whether a reply arrives), ``send`` the events (turns were added or
removed, text arrived). Both may be called on any thread, one call at a time. Pages get an outline of the turns, and the
contents of a turn on request; a page that missed a message requests everything again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from flowgpt_magic import bridge, settings
from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.conversation import Conversation, asked_before_edit
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.history.conversation_state import ConversationState
from flowgpt_magic.history.current import configured_in_shell, current_history, location_of
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.ipython import shell
from flowgpt_magic.panel.model_choices import Choices
from flowgpt_magic.panel.protocol import (
    MAX_PART,
    Facts,
    Row,
    compared_facts,
    facts,
    parts,
    pause_facts,
    picture_facts,
    row,
    splice,
)
from flowgpt_magic.panel.stream import Pages, Stream, Update
from flowgpt_magic.providers import models
from flowgpt_magic.redaction import redact
from flowgpt_magic.replies.log import logger
from flowgpt_magic.replies.reader import Reader
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.request import Request, TypedPrompt
from flowgpt_magic.settings import Settings
from flowgpt_magic.text import cut, sentences

MAX_CACHED_TURNS = 64  # turns whose HTML is cached
MAX_CACHED_LENGTH = 100_000  # characters of a reply; the HTML of a longer one is not cached
PROMPT_FACTS = ("prompt", "prompt_more", "typed", "attached", "quotes", "pictures")  # do not change when the reply ends
REFRESH_INTERVAL = 0.02  # seconds between two checks of arriving replies
FAILURE_PAUSE = 1.0  # seconds until the next update after one that failed
MAX_IDLE = 30.0  # seconds between two updates while nothing arrives
AFTER_CELL = "post_run_cell"  # an event of IPython

MAX_TURNS_AROUND = 40  # turns of another notebook that are shown around the one that was found


class PanelError(FlowGptError):
    """A page's request cannot be fulfilled; the message says why, and what can be done."""


class PanelState:
    """One panel's state.

    Args:
        conversation: what the panel shows; None follows the conversation that the notebook's cells use.
        send: sends a message to the pages.
        show: sets the widget's traits.
        settled: called when the turns have changed and no reply arrives, and when a reply begins.
    """

    def __init__(
        self,
        conversation: Conversation | None,
        *,
        send: Callable[[Facts], None],
        show: Callable[[Facts], None],
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self.typed_prompts: dict[str, TypedPrompt] = {}  # by turn id
        self.pages = Pages()
        self.choices = Choices(lambda: self.conversation, lambda: self._send({"kind": "models"}))
        self._pinned = conversation
        self._send_message, self._show, self._settled = send, show, settled
        self._lock = threading.RLock()
        self._send_lock = threading.Lock()
        self._rows: list[Row] = []
        self._row_turns: list[Turn] = []  # the turn of each row
        self._default_model = ""  # the model in the head while the settings name none
        self._before_edit: set[str] = set()  # ids of turns that were asked before a turn above them was edited
        self._waiting_turns: list[str] = []  # ids of the turns that are asked again after the arriving one
        self._was_open = False
        self._revision = 0
        self._streams: dict[str, Stream] = {}
        self._arriving: set[str] = set()  # the turns whose replies arrived at the last refresh
        self._pictures: OrderedDict[str, list[Facts]] = OrderedDict()  # by turn id
        self._html: OrderedDict[tuple[str, str], list[str]] = OrderedDict()
        self._compared: dict[str, tuple[Turn, ...]] = {}  # by comparison, replies that are only in the file
        self._stale = True  # has anything changed since the last refresh?
        self._closed = False
        self._wake_event: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shows_images = False
        outside = self._read_outside()
        self._notebook_history = self._history_in_use(outside)
        self._notebook_history.listeners.append(self._on_change)
        self._bind(outside)
        self._refresh(outside)
        self._shell = shell()
        if self._shell is not None:
            self._shell.events.register(AFTER_CELL, self._cell_has_run)
        self._running: Future[None] = bridge.worker().submit(self._run())

    # Which conversation

    @property
    def conversation(self) -> Conversation:
        """The conversation that is shown."""
        return self._conversation

    @property
    def follows_notebook(self) -> bool:
        """Does the panel show the conversation that the notebook's cells use?"""
        return self._pinned is None

    @property
    def notebook_history(self) -> NotebookHistory:
        """The history that stores the conversation."""
        return self._notebook_history

    def use(self, name: str) -> None:
        """Show another conversation. If the panel follows the notebook, its cells use that conversation too."""
        pinned = self._pinned
        if pinned is None:
            self.notebook_history.current = name
        else:
            self._pinned = Conversation(name, configured=pinned._configured, notebook_history=self.notebook_history)
        self.refresh()

    def _read_outside(self) -> Settings:
        """Read the settings outside of the conversation."""
        return settings.load(configured=configured_in_shell()) if self._pinned is None else self._pinned.outside()

    def _bind(self, outside: Settings) -> None:
        """Update the conversation: the notebook may use another one now, or another history."""
        notebook_history = self._history_in_use(outside)
        if notebook_history is not self._notebook_history:
            self._notebook_history.listeners.remove(self._on_change)
            self._notebook_history = notebook_history
            notebook_history.listeners.append(self._on_change)
        self._conversation = self._pinned or Conversation(notebook_history.current, notebook_history=notebook_history)
        self._conversation.follow_setting(outside)
        self._conversation_state = self._conversation._state

    def _history_in_use(self, outside: Settings) -> NotebookHistory:
        fixed = None if self._pinned is None else self._pinned._fixed
        return current_history(location_of(outside.history)) if fixed is None else fixed

    def _on_change(self, _state: ConversationState | None) -> None:
        """Listen to the history. Safe from any thread."""
        self._stale = True
        self._wake()

    def schedule_refresh(self) -> None:
        """Refresh on the worker, for changes that no listener reports. Safe from any thread."""
        self._on_change(None)

    def _cell_has_run(self, _result: Any) -> None:
        """A cell may have changed settings, such as the model."""
        self.schedule_refresh()

    # Asking

    def read_reply(self, reply: Reply, request: Request, typed: TypedPrompt | None = None) -> str:
        """Read the reply to ``request`` to its end, on the worker. Returns the id of its turn."""
        if typed is not None:
            self.typed_prompts[reply.turn_id] = typed
        reader = reply.open()
        bridge.worker().submit(self._read(reply, reader))
        self.refresh(request)
        return reply.turn_id

    @property
    def repeat_options(self) -> Facts:
        """The options with which a turn is asked again: by whom the head names, also if the settings name nobody."""
        return {"model": self._default_model} if self._default_model else {}

    def retry_from(self, number: int) -> str:
        """Ask turn ``number`` again, then those after it, in order, until one is not complete. Returns its new id."""
        turn, *following = self._conversation.turns[number - 1 :]
        prepared = self._conversation.prepare(None, self.repeat_options, turn, "retry")
        reply = self._conversation.send(prepared)
        self._waiting_turns = [later.turn_id for later in following]
        turn_id = self.read_reply(reply, prepared, self.typed_prompts.get(turn.turn_id))
        bridge.worker().submit(self._retry_in_order(reply))
        return turn_id

    def stop(self) -> int:
        """Cancel the replies that arrive in this conversation, and what would follow them. Returns their number."""
        self._waiting_turns = []
        arriving = [reply for reply in list(self._conversation_state.replies.values()) if not reply.ended]
        for reply in arriving:
            reply.cancel()
        self.refresh()
        return len(arriving)

    def arriving_reply(self, turn_id: str) -> Reply | None:
        """The reply of a turn while it arrives, otherwise None."""
        return self._conversation_state.replies.get(turn_id)

    def turn_number(self, place: int) -> int:
        """The number of the live turn at ``place``. Raises ``PanelError`` if there is none."""
        number = self._conversation.number_at(place)
        if number is None:
            raise PanelError("this turn has been removed from the conversation; Undo brings it back")
        return number

    def turn(self, turn_id: str) -> Turn:
        """The live turn with this id. Raises ``PanelError`` if there is none."""
        for turn in self._conversation.turns:
            if turn.turn_id == turn_id:
                return turn
        raise PanelError("this turn has been replaced by another version")

    # Messages to the pages

    def open_page(self, page: str) -> None:
        """Send the outline to a page that shows the panel or has missed a message."""
        with self._lock:
            self._refresh()
            self.pages.opened(page)
            self._follow_streams()
            outline = {"kind": "outline", "page": page, "revision": self._revision, "sent": self.pages.sent}
            self._send({**outline, "rows": list(self._rows), "first": not self._was_open})
            self._was_open = True
        self._wake()

    def close_page(self, page: str) -> None:
        """A page no longer shows the panel."""
        with self._lock:
            self.pages.closed(page)

    def acknowledge(self, page: str, number: int) -> None:
        """A page has shown all messages up to ``number``."""
        with self._lock:
            self.pages.showed(page, number)
        self._wake()

    def send_turns(self, page: str, turn_ids: list[str]) -> None:
        """Send the contents of these turns to a page. A long turn takes several messages."""
        live = {turn.turn_id: turn for turn in self._live_turns()}
        for turn in (live[turn_id] for turn_id in turn_ids if turn_id in live):
            with self._lock:  # so that no change of its stream is sent between the parts
                stream = self._streams.get(turn.turn_id)
                blocks = stream.blocks if stream else self._blocks(turn)
                about = self._turn_facts(turn) | {"n": stream.number if stream else -1, "total": len(blocks)}
                for start, portion in parts(blocks):
                    header = about if not start else {"id": turn.turn_id}
                    self._send({"kind": "turn", "page": page, "from": start, "blocks": portion, "turn": header})

    def turns_around(self, turn_id: str) -> list[Facts]:
        """The turns of the conversation of any notebook that has this turn, with their HTML.

        A long conversation is cut to the turns around this one. Raises ``TurnNotFoundError``.
        """
        turn = self._notebook_history.turn(turn_id)
        nothing: tuple[Turn, ...] = ()
        live = self._notebook_history.read(lambda history: history.turns(turn.conversation_id), nothing)
        turns = sorted({it.turn_id: it for it in (*live, turn)}.values(), key=lambda it: (it.place, it.version))
        at = turns.index(turn)
        nearest = sorted(turns, key=lambda it: abs(turns.index(it) - at))[:MAX_TURNS_AROUND]
        room, shown = MAX_PART, list[Turn]()
        for near in nearest:
            room -= len(near.prompt) + len(near.text)
            if room >= 0 or near is turn:
                shown.append(near)
        return [
            facts(it, it.version, "elsewhere" if it.status == "streaming" else it.status)
            | {"blocks": [join_surrogates(block) for block in self._blocks(it)], "pictures": self._pictures_of(it)}
            for it in sorted(shown, key=turns.index)
        ]

    def _turn_facts(self, turn: Turn) -> Facts:
        typed = self.typed_prompts.get(turn.turn_id)
        values = facts(turn, self._versions(turn), self._status_of(turn))
        reply = self._conversation_state.replies.get(turn.turn_id)
        if reply is not None and turn.status == "streaming":
            pause = reply.waiting
            values |= {"elapsed": round(reply.elapsed, 2), "doing": join_surrogates(reply.progress)}
            values |= {"pause": pause_facts(pause) if pause else None}
            if (stream := self._streams.get(turn.turn_id)) is not None:
                values |= {"thoughts": stream.thoughts, **stream.thinking}
        values["before_edit"] = turn.turn_id in self._before_edit
        values["pictures"] = self._pictures_of(turn)
        if others := self.compared_with(turn):
            values["compared"] = compared_facts(others)
        if typed is None:
            return values
        quotes = {"quotes": True} if typed.quotes_code else {}
        return values | {"typed": typed.text, "attached": list(typed.attached), **quotes}

    def _pictures_of(self, turn: Turn) -> list[Facts]:
        if not turn.images:
            return []
        if turn.turn_id not in self._pictures:
            self._pictures[turn.turn_id] = picture_facts(turn)
            while len(self._pictures) > MAX_CACHED_TURNS:
                self._pictures.popitem(last=False)
        return self._pictures[turn.turn_id]

    def _status_of(self, turn: Turn) -> str:
        """The turn's status; ``elsewhere`` if its reply arrives in another kernel."""
        here = turn.turn_id in self._conversation_state.replies or turn.turn_id in self._streams
        return "elsewhere" if turn.status == "streaming" and not here else turn.status

    def _versions(self, turn: Turn) -> int:
        return self._conversation_state.timeline.next_version(turn.place) - 1

    def _blocks(self, turn: Turn) -> list[str]:
        from flowgpt_magic.markdown.html.changes import blocks_of

        key = (turn.turn_id, turn.status)
        blocks = self._html.pop(key, None)
        if blocks is None:
            blocks = list(blocks_of(turn.text, images=self._shows_images))
        self._cache(turn, blocks)
        return blocks

    def _cache(self, turn: Turn, blocks: list[str]) -> None:
        """Keep the HTML of a turn for the next page that requests it."""
        if len(turn.text) <= MAX_CACHED_LENGTH:
            self._html[turn.turn_id, turn.status] = blocks
            while len(self._html) > MAX_CACHED_TURNS:
                self._html.popitem(last=False)

    def _send(self, message: Facts) -> None:
        with self._send_lock:
            self._send_message(message)

    def refresh(self, request: Request | None = None) -> None:
        """Send all changes to the pages now. ``request`` is the prompt that was just sent, with its settings."""
        with self._lock:
            if not self._closed:
                self._refresh(None if request is None else settings.within(request.settings), request)

    def _refresh(self, outside: Settings | None = None, request: Request | None = None) -> None:
        self._stale = False
        with suppress(FlowGptError):  # wrong settings name no history: the panel keeps the present one
            outside = outside or self._read_outside()
            self._bind(outside)
        self._show(self._traits(outside, request))
        turns = self._live_turns()
        unchanged = self._count_unchanged(turns)
        self._before_edit = {turn.turn_id for turn in asked_before_edit(turns)}
        rows = [self._row(turn) for turn in turns[unchanged:]]
        change = splice(self._rows[unchanged:], rows)
        self._rows[unchanged:], self._row_turns = rows, turns
        if change is not None:
            self._revision += 1
            if len(self.pages):
                position = {"at": unchanged + change.at, "gone": change.gone}
                self._send({"kind": "splice", "revision": self._revision, **position, "rows": list(change.rows)})
        arriving = self._follow_streams()
        if change is not None and (not arriving or arriving - self._arriving):
            self._settled()
        self._arriving = arriving

    def _count_unchanged(self, turns: list[Turn]) -> int:
        """The number of leading turns whose rows are current. An ended turn that changes becomes another object."""

        def has_changed(number: int, before: Turn, turn: Turn) -> bool:
            if turn is not before or turn.status == "streaming":
                return True
            return bool(turn.sent.comparison) and self._row(turn) != self._rows[number]

        pairs = zip(self._row_turns, turns, strict=False)
        changed = (number for number, pair in enumerate(pairs) if has_changed(number, *pair))
        return next(changed, min(len(self._row_turns), len(turns)))

    def _row(self, turn: Turn) -> Row:
        before_edit, others = turn.turn_id in self._before_edit, self.compared_with(turn)
        return row(turn, self._versions(turn), self._status_of(turn), before_edit=before_edit, others=others)

    def compared_with(self, turn: Turn) -> list[Turn]:
        """The other replies of the comparison that the turn belongs to, in the order of their columns."""
        comparison = turn.sent.comparison
        if not comparison:
            return []
        with self._conversation_state.lock:
            versions = self._conversation_state.timeline.versions(turn.place)
        if len(versions) < self._versions(turn) and comparison not in self._compared:
            conversation_id = turn.conversation_id  # of an earlier kernel, whose replies are only in the file
            self._compared[comparison] = self._notebook_history.versions(conversation_id, turn.place)
        known = {other.turn_id: other for other in (*self._compared.get(comparison, ()), *versions)}
        others = (other for other in known.values() if other.sent.comparison == comparison)
        return sorted((it for it in others if it.turn_id != turn.turn_id), key=lambda other: other.sent.column)

    def reply_blocks(self, turn: Turn, turn_id: str) -> list[str]:
        """The reply so far of one that ``turn`` was compared with, as blocks. Raises ``PanelError`` if it was not."""
        other = next((it for it in self.compared_with(turn) if it.turn_id == turn_id), None)
        if other is None:
            raise PanelError("this turn has been replaced by another version")
        reply = self.arriving_reply(turn_id)
        if reply is None:
            return self._blocks(other)
        from flowgpt_magic.markdown.html.changes import blocks_of

        return blocks_of(reply.text_so_far, images=self._shows_images)

    def _live_turns(self) -> list[Turn]:
        """The live turns, also while the settings are wrong."""
        return self._conversation_state.live()

    def _follow_streams(self) -> set[str]:
        """Open the streams of new replies, close those of ended ones. Returns the turn ids of the arriving replies."""
        turns, pages = self._live_turns(), len(self.pages)
        open_turns = [turn for turn in turns if turn.status == "streaming"]
        arriving = {turn.turn_id for turn in open_turns if self._status_of(turn) == "streaming"}
        for turn_id in arriving - self._streams.keys():
            reply = self._conversation_state.replies.get(turn_id)
            if reply is not None and pages:
                self._streams[turn_id] = Stream(turn_id, reply, images=self._shows_images)
        for turn_id in self._streams.keys() - arriving:
            stream = self._streams.pop(turn_id)
            ended = next((turn for turn in turns if turn.turn_id == turn_id), None)
            if ended is not None and pages:
                change = stream.finish(ended.text)
                self._cache(ended, stream.blocks)
                end = {name: value for name, value in self._turn_facts(ended).items() if name not in PROMPT_FACTS}
                self._send_growth([change] if change else [], end=end)
        return arriving

    def _traits(self, outside: Settings | None, request: Request | None) -> Facts:
        """The values of the widget's traits."""
        replies = list(self._conversation_state.replies.values())
        arriving = bool(self._waiting_turns) or any(isinstance(it, Reply) and not it.ended for it in replies)
        record, notebook_history = self._conversation.record, self.notebook_history
        names = [join_surrogates(name) for name in dict.fromkeys([*notebook_history.names(), record.name])]
        traits: Facts = {"name": join_surrogates(record.name), "names": names, "chosen": join_surrogates(record.model)}
        traits |= {"conversation_id": record.conversation_id, "status": "streaming" if arriving else ""}
        try:
            if request is not None and request.spot.kind == "ask":
                options, target = request.settings, request.target
            else:
                options, target = self._conversation.settings(outside), None
            self._shows_images = options.images
            traits |= {"system": join_surrogates(options.system), "temperature": options.temperature}
            name = str(target or models.find_model(options.model))
            self._default_model = "" if options.model.strip() else name
            return traits | {"model": join_surrogates(redact(name)), "alias": _alias_in(options), "trouble": ""}
        except FlowGptError as error:
            return traits | {"model": "", "alias": "", "trouble": cut(redact(str(error)), 500)}

    def _send_growth(self, changes: list[Update], **more: Any) -> None:
        if not len(self.pages):
            return
        number = self.pages.count(time.monotonic())
        self._send({"kind": "grow", "number": number, "revision": self._revision, "turns": changes, **more})

    # On the worker

    def _wake(self) -> None:
        if self._wake_event is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the process ends
                self._loop.call_soon_threadsafe(self._wake_event.set)

    async def _run(self) -> None:
        self._loop, self._wake_event = asyncio.get_running_loop(), asyncio.Event()
        while not self._closed:
            try:
                pause = await asyncio.to_thread(self._step)  # in a thread: the loop reads replies meanwhile
            except Exception:  # noqa: BLE001 - logged, because nobody waits for this task; the panel goes on
                logger.exception("a chat panel could not be updated")
                self._stale, pause = True, FAILURE_PAUSE
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake_event.wait(), pause)
            self._wake_event.clear()

    def _step(self) -> float:
        """Send what is new to the pages. Returns the seconds until the next step."""
        with self._lock:
            if self._closed:
                return 0.0
            if self._stale:
                self._refresh()
            if not (self._streams and len(self.pages)):
                return MAX_IDLE
            self._send_waits()
            pause = self.pages.wait(time.monotonic())
            if pause > 0:
                return pause
            changes = [change for stream in self._streams.values() if (change := stream.step())]
            if changes:
                self._send_growth(changes)
            return max(self.pages.wait(time.monotonic()), REFRESH_INTERVAL)

    def _send_waits(self) -> None:
        """Send reasoning, the pauses before retries and the providers' progress before the first text."""
        for stream in self._streams.values():
            if (thoughts := stream.new_thoughts()) is not None:
                self._send({"kind": "thoughts", **thoughts})
            if (doing := stream.new_progress()) is not None:
                self._send({"kind": "doing", "turn": stream.turn_id, "doing": join_surrogates(doing)})
            if (pause := stream.new_pause()) is not None:
                self._send({"kind": "pause", "turn": stream.turn_id, "pause": pause_facts(pause)})

    async def _retry_in_order(self, reply: Reply) -> None:
        """Ask the waiting turns again, each after the end of the one before. One that is not complete is the last."""
        last: Reply | None = reply
        try:
            while last is not None and await _ended(last) and self._waiting_turns:
                last = await asyncio.to_thread(self._retry_next)
        except FlowGptError as error:
            self._send({"kind": "note", "text": join_surrogates(redact(str(error)))})
        finally:
            self._waiting_turns = []
            self.schedule_refresh()

    def _retry_next(self) -> Reply | None:
        """Send the next waiting turn again; None if all others were removed meanwhile."""
        live = {turn.turn_id: turn for turn in self._live_turns()}
        while self._waiting_turns:
            turn = live.get(self._waiting_turns.pop(0))
            if turn is not None:
                prepared = self._conversation.prepare(None, self.repeat_options, turn, "retry")
                reply = self._conversation.send(prepared)
                self.read_reply(reply, prepared, self.typed_prompts.get(turn.turn_id))
                return reply
        return None

    async def _read(self, reply: Reply, reader: Reader) -> None:
        """Read a reply to its end; without a reader, a reply is not requested from its provider.

        Pages get the end even if the reply's turn no longer exists, because an earlier version replaced it.
        """
        try:
            while await reader.take_async():
                pass
        finally:
            reply.detach(reader)
        error = "" if reply.error is None else sentences(f"{type(reply.error).__name__}: {reply.error}")
        gone = all(turn.turn_id != reply.turn_id for turn in self._live_turns())
        if not self._closed:
            end = {"id": reply.turn_id, "status": reply.status, "error": join_surrogates(redact(error)), "gone": gone}
            self._send({"kind": "ended", "turn": end})

    def close(self) -> None:
        """Send nothing more to the pages. Replies in flight are still read to their end."""
        with self._lock:
            self._closed = True
            if self._on_change in self._notebook_history.listeners:
                self._notebook_history.listeners.remove(self._on_change)
        if self._shell is not None:
            with suppress(ValueError):  # not registered any more: it was closed before
                self._shell.events.unregister(AFTER_CELL, self._cell_has_run)
        self._wake()


def _alias_in(options: Settings) -> str:
    """The alias that named the model of ``options``; empty if none did."""
    source = options.sources.get("model", "")
    return join_surrogates(source.removeprefix("alias ").partition(",")[0]) if source.startswith("alias ") else ""


async def _ended(reply: Reply) -> bool:
    """Wait for the end of a reply that is being read; is it complete?"""
    reader = reply.open()
    try:
        while await reader.take_async():
            pass
    finally:
        reply.detach(reader)
    return reply.status == "complete"
