"""What a panel knows and tells its pages, without a widget: one conversation, shown live wherever it is changed from.

Pages are told what is true (the names, the model, whether a reply arrives) by ``show``, and what happened (turns came
and went, text was added) by ``send``. Both may be called on any thread, one at a time. Turns are told of in an outline,
and what is in them when a page asks; a page that misses a message asks for everything again.
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
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.history.conversation_state import ConversationState
from flowgpt_magic.history.current import configured_in_shell, current_history, location_of
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Turn
from flowgpt_magic.panel.model_choices import Choices
from flowgpt_magic.panel.protocol import Facts, Row, facts, parts, pause_facts, row, splice
from flowgpt_magic.panel.stream import Pages, Stream, Update
from flowgpt_magic.providers import models
from flowgpt_magic.redaction import redact
from flowgpt_magic.replies.log import logger
from flowgpt_magic.replies.reader import Reader
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.request import Request, TypedPrompt
from flowgpt_magic.settings import Settings
from flowgpt_magic.text import cut

RENDERED = 64  # turns whose HTML is kept, if none is longer than LONG characters
LONG = 100_000
KNOWN = ("prompt", "prompt_more", "typed", "attached")  # what a page knows already when a reply ends
REFRESH_INTERVAL = 0.02  # seconds between two looks at the replies that arrive
AGAIN = 1.0  # seconds until the next look, where one has failed
WAITING = 30.0  # seconds at most without a look, while none does


class PanelError(FlowGptError):
    """What a page asks for cannot be done; the message says why, and what can be done."""


class PanelState:
    """One panel's state.

    ``conversation`` is the one it shows; without one it is whichever the notebook's cells ask in, also after that was
    changed. ``settled`` is called when a turn has ended or the turns have changed otherwise.
    """

    def __init__(
        self,
        conversation: Conversation | None,
        *,
        send: Callable[[Facts], None],
        show: Callable[[Facts], None],
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self.typed: dict[str, TypedPrompt] = {}  # by the turn's id
        self.pages = Pages()
        self.choices = Choices(lambda: self.conversation, lambda: self._send({"kind": "models"}))
        self._own = conversation
        self._send_out, self._show, self._settled = send, show, settled
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._rows: list[Row] = []
        self._of_rows: list[Turn] = []  # the turns whose rows they are
        self._revision = 0
        self._streams: dict[str, Stream] = {}
        self._rendered: OrderedDict[tuple[str, str], list[str]] = OrderedDict()
        self._told = True  # that something has changed
        self._closed = False
        self._awake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shows_images = False
        outside = self._outside()
        self._notebook_history = self._history_in_use(outside)
        self._notebook_history.listeners.append(self._listen)
        self._bind(outside)
        self._refresh(outside)
        self._running: Future[None] = bridge.worker().submit(self._run())

    # Which conversation

    @property
    def conversation(self) -> Conversation:
        """The conversation that is shown."""
        return self._conversation

    @property
    def follows(self) -> bool:
        """Is it the one that the notebook's cells ask in?"""
        return self._own is None

    @property
    def notebook_history(self) -> NotebookHistory:
        """Where the conversation is kept."""
        return self._notebook_history

    def use(self, name: str) -> None:
        """Show another conversation; where the panel follows the notebook, its cells ask in that one too."""
        if self._own is None:
            self.notebook_history.current = name
        else:
            self._own = Conversation(name, configured=self._own._configured, notebook_history=self.notebook_history)
        self.refresh()

    def _outside(self) -> Settings:
        """The settings outside of the conversation, read now."""
        return settings.load(configured=configured_in_shell()) if self._own is None else self._own.outside()

    def _bind(self, outside: Settings) -> None:
        """Look for the conversation again: the notebook may use another one now, or another history."""
        notebook_history = self._history_in_use(outside)
        if notebook_history is not self._notebook_history:
            self._notebook_history.listeners.remove(self._listen)
            self._notebook_history = notebook_history
            notebook_history.listeners.append(self._listen)
        self._conversation = self._own or Conversation(notebook_history.current, notebook_history=notebook_history)
        self._conversation.follow_setting(outside)
        self._conversation_state = self._conversation._state

    def _history_in_use(self, outside: Settings) -> NotebookHistory:
        fixed = None if self._own is None else self._own._fixed
        return current_history(location_of(outside.history)) if fixed is None else fixed

    def _listen(self, _state: ConversationState | None) -> None:
        """Something has changed: take note, on whichever thread this is."""
        self._told = True
        self._wake()

    def look(self) -> None:
        """See a moment later, on the worker, what has changed that nobody tells of."""
        self._listen(None)

    # Asking

    def follow(self, reply: Reply, request: Request, typed: TypedPrompt | None = None) -> str:
        """Read the reply to ``request`` to its end on the worker; returns the id of its turn."""
        if typed is not None:
            self.typed[reply.turn_id] = typed
        reader = reply.open()
        bridge.worker().submit(self._read(reply, reader))
        self.refresh(request)
        return reply.turn_id

    def stop(self) -> int:
        """Cancel the replies that arrive in this conversation; returns how many there were."""
        arriving = [reply for reply in list(self._conversation_state.replies.values()) if not reply.ended]
        for reply in arriving:
            reply.cancel()
        self.refresh()
        return len(arriving)

    def arriving(self, turn_id: str) -> Reply | None:
        """The reply of a turn, while it arrives."""
        return self._conversation_state.replies.get(turn_id)

    def number(self, place: int) -> int:
        """The number of the turn at a place. Raises ``PanelError`` where none is live there any more."""
        for number, turn in enumerate(self._conversation.turns, 1):
            if turn.place == place:
                return number
        raise PanelError("this turn was taken out of the conversation in the meantime; Undo brings it back")

    def turn(self, turn_id: str) -> Turn:
        """The live turn of this id. Raises ``PanelError``."""
        for turn in self._conversation.turns:
            if turn.turn_id == turn_id:
                return turn
        raise PanelError("this turn was changed in the meantime: it has another version now")

    # Telling the pages

    def open(self, page: str) -> None:
        """A page shows the panel, or has missed something: tell it everything."""
        with self._lock:
            self._refresh()
            self.pages.opened(page)
            self._follow_streams()
            told = {"kind": "outline", "page": page, "revision": self._revision, "sent": self.pages.sent}
            self._send({**told, "rows": list(self._rows)})
        self._wake()

    def close_page(self, page: str) -> None:
        """A page does not show the panel any more."""
        with self._lock:
            self.pages.closed(page)

    def showed(self, page: str, number: int) -> None:
        """A page has shown a message."""
        with self._lock:
            self.pages.showed(page, number)
        self._wake()

    def tell_turns(self, page: str, turn_ids: list[str]) -> None:
        """Tell a page what is in these turns, in messages that are not too long."""
        live = {turn.turn_id: turn for turn in self._turns()}
        for turn in (live[turn_id] for turn_id in turn_ids if turn_id in live):
            with self._lock:  # nothing of its stream goes out in between
                stream = self._streams.get(turn.turn_id)
                blocks = stream.blocks if stream else self._blocks(turn)
                about = self._facts(turn) | {"n": stream.number if stream else -1, "total": len(blocks)}
                for start, portion in parts(blocks):
                    told = about if not start else {"id": turn.turn_id}
                    self._send({"kind": "turn", "page": page, "from": start, "blocks": portion, "turn": told})

    def _facts(self, turn: Turn) -> Facts:
        typed = self.typed.get(turn.turn_id)
        told = facts(turn, self._versions(turn), self._status(turn))
        reply = self._conversation_state.replies.get(turn.turn_id)
        if reply is not None and turn.status == "streaming":
            pause = reply.waiting
            told |= {"elapsed": round(reply.elapsed, 2), "doing": join_surrogates(reply.progress)}
            told |= {"pause": pause_facts(pause) if pause else None}
        return told | ({"typed": typed.text, "attached": list(typed.attached)} if typed else {})

    def _status(self, turn: Turn) -> str:
        """The turn's status; of one that arrives in another kernel nothing more is heard here."""
        known = turn.turn_id in self._conversation_state.replies or turn.turn_id in self._streams
        return "elsewhere" if turn.status == "streaming" and not known else turn.status

    def _versions(self, turn: Turn) -> int:
        return self._conversation_state.timeline.next_version(turn.place) - 1

    def _blocks(self, turn: Turn) -> list[str]:
        from flowgpt_magic.markdown.html.changes import blocks_of

        key = (turn.turn_id, turn.status)
        blocks = self._rendered.pop(key, None)
        if blocks is None:
            blocks = list(blocks_of(turn.text, images=self._shows_images))
        self._keep(turn, blocks)
        return blocks

    def _keep(self, turn: Turn, blocks: list[str]) -> None:
        """Remember the HTML of a turn that has ended, for the next page that asks."""
        if len(turn.text) <= LONG:
            self._rendered[turn.turn_id, turn.status] = blocks
            while len(self._rendered) > RENDERED:
                self._rendered.popitem(last=False)

    def _send(self, message: Facts) -> None:
        with self._sending:
            self._send_out(message)

    def refresh(self, request: Request | None = None) -> None:
        """Tell the pages now what has changed; ``request`` is what was just asked, with the settings in force."""
        with self._lock:
            if not self._closed:
                self._refresh(None if request is None else settings.within(request.settings), request)

    def _refresh(self, outside: Settings | None = None, request: Request | None = None) -> None:
        self._told = False
        with suppress(FlowGptError):  # the settings do not say any more which history it is: it stays the one it was
            outside = outside or self._outside()
            self._bind(outside)
        self._show(self._truth(outside, request))
        turns = self._turns()
        same = self._unchanged(turns)
        rows = [row(turn, self._versions(turn), self._status(turn)) for turn in turns[same:]]
        found = splice(self._rows[same:], rows)
        self._rows[same:], self._of_rows = rows, turns
        if found is not None:
            self._revision += 1
            if len(self.pages):
                about = {"kind": "splice", "revision": self._revision, "at": same + found.at, "gone": found.gone}
                self._send({**about, "rows": list(found.rows)})
        if not self._follow_streams() and found is not None:
            self._settled()

    def _unchanged(self, turns: list[Turn]) -> int:
        """How many of the first turns have their rows already: a turn that ended is another object when it changes."""
        pairs = zip(self._of_rows, turns, strict=False)
        changed = (n for n, (before, turn) in enumerate(pairs) if turn is not before or turn.status == "streaming")
        return next(changed, min(len(self._of_rows), len(turns)))

    def _turns(self) -> list[Turn]:
        """The turns that count; also where the settings are wrong, and nobody knows where they are kept."""
        return self._conversation_state.live()

    def _follow_streams(self) -> set[str]:
        """Begin to tell of the replies that arrive, and end with those that have ended; the ids of the former."""
        turns, pages = self._turns(), len(self.pages)
        open_turns = [turn for turn in turns if turn.status == "streaming"]
        arriving = {turn.turn_id for turn in open_turns if self._status(turn) == "streaming"}
        for turn_id in arriving - self._streams.keys():
            reply = self._conversation_state.replies.get(turn_id)
            if reply is not None and pages:
                self._streams[turn_id] = Stream(turn_id, reply, images=self._shows_images)
        for turn_id in self._streams.keys() - arriving:
            stream = self._streams.pop(turn_id)
            ended = next((turn for turn in turns if turn.turn_id == turn_id), None)
            if ended is not None and pages:
                change = stream.finish(ended.text)
                self._keep(ended, stream.blocks)
                told = {name: value for name, value in self._facts(ended).items() if name not in KNOWN}
                self._grow([change] if change else [], end=told)
        return arriving

    def _truth(self, outside: Settings | None, request: Request | None) -> Facts:
        """What is true of the conversation, for the widget's traits."""
        replies = list(self._conversation_state.replies.values())
        arriving = any(isinstance(reply, Reply) and not reply.ended for reply in replies)
        record, notebook_history = self._conversation.record, self.notebook_history
        names = [join_surrogates(name) for name in dict.fromkeys([*notebook_history.names(), record.name])]
        told: Facts = {"name": join_surrogates(record.name), "names": names, "chosen": join_surrogates(record.model)}
        told |= {"conversation_id": record.conversation_id}
        told |= {"status": "streaming" if arriving else ""}
        try:
            if request is not None and request.spot.kind == "ask":
                chosen, target = request.settings, request.target
            else:
                chosen, target = self._conversation.settings(outside), None
            self._shows_images = chosen.images
            told |= {"system": join_surrogates(chosen.system), "temperature": chosen.temperature}
            name = str(target or models.find_model(chosen.model))
            return told | {"model": join_surrogates(redact(name)), "trouble": ""}
        except FlowGptError as error:
            return told | {"model": "", "trouble": cut(redact(str(error)), 500)}

    def _grow(self, changes: list[Update], **more: Any) -> None:
        if not len(self.pages):
            return
        told = {"kind": "grow", "number": self.pages.count(time.monotonic()), "revision": self._revision}
        self._send({**told, "turns": changes, **more})

    # On the worker

    def _wake(self) -> None:
        if self._awake is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the process ends
                self._loop.call_soon_threadsafe(self._awake.set)

    async def _run(self) -> None:
        self._loop, self._awake = asyncio.get_running_loop(), asyncio.Event()
        while not self._closed:
            try:
                pause = await asyncio.to_thread(self._step)  # not here: it would hold up the replies that arrive
            except Exception:  # noqa: BLE001 - whatever it was, the panel goes on; logged, as nobody waits for this
                logger.exception("a chat panel could not be brought up to date")
                self._told, pause = True, AGAIN
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._awake.wait(), pause)
            self._awake.clear()

    def _step(self) -> float:
        """Tell the pages what is new; returns the seconds until there may be more to tell."""
        with self._lock:
            if self._closed:
                return 0.0
            if self._told:
                self._refresh()
            if not (self._streams and len(self.pages)):
                return WAITING
            self._tell_waits()
            pause = self.pages.wait(time.monotonic())
            if pause > 0:
                return pause
            changes = [change for stream in self._streams.values() if (change := stream.step())]
            if changes:
                self._grow(changes)
            return max(self.pages.wait(time.monotonic()), REFRESH_INTERVAL)

    def _tell_waits(self) -> None:
        """What of the replies is waited for: a pause before the next try, or what the provider does first."""
        for stream in self._streams.values():
            if (doing := stream.new_progress()) is not None:
                self._send({"kind": "doing", "turn": stream.turn_id, "doing": join_surrogates(doing)})
            if (pause := stream.new_pause()) is not None:
                self._send({"kind": "pause", "turn": stream.turn_id, "pause": pause_facts(pause)})

    async def _read(self, reply: Reply, reader: Reader) -> None:
        """Read a reply to its end: one that nobody reads is not asked for.

        The end is told to whoever asked, also where no turn is left of it, because an earlier version came back.
        """
        try:
            while await reader.take_async():
                pass
        finally:
            reply.detach(reader)
        error = "" if reply.error is None else join_surrogates(redact(f"{type(reply.error).__name__}: {reply.error}"))
        gone = all(turn.turn_id != reply.turn_id for turn in self._turns())
        told = {"id": reply.turn_id, "status": reply.status, "error": error, "gone": gone}
        if not self._closed:
            self._send({"kind": "ended", "turn": told})

    def close(self) -> None:
        """Tell nobody anything any more. What was asked is read to its end all the same."""
        with self._lock:
            self._closed = True
            if self._listen in self._notebook_history.listeners:
                self._notebook_history.listeners.remove(self._listen)
        self._wake()
