"""Ask, ask again, edit, undo, branch: the turns of one notebook under one name."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, PromptError
from flowgpt_magic.journal import Journal, here
from flowgpt_magic.messages import Message, Status, Turn, Usage
from flowgpt_magic.models import Target, find_model
from flowgpt_magic.records import ChangeRecord, ConversationRecord
from flowgpt_magic.reply import Reply

CHARACTERS_PER_TOKEN = 4  # an estimate, for English; a provider that counts exactly does so itself
CONTINUE = "Continue exactly where you stopped. Do not repeat anything."
# What does not change the answer is no part of what makes two requests the same.
NO_PARAMETERS = {
    *("base_url", "token", "proxy", "trust_env"),
    *("connect_timeout", "read_timeout", "line_limit", "threads", "pace"),
}


@dataclass(frozen=True)
class Request:
    """What is asked, of whom, and where the turn will stand."""

    prompt: str
    target: Target
    chosen: settings.Settings
    messages: list[Message]
    key: str
    kind: str = "ask"
    replaces: Turn | None = None
    cell_id: str = ""
    run: str = ""
    begins_with: str = ""
    left_out: int = 0


class Conversation:
    """The turns under one name, and what they are asked with.

    ``configured`` gives the settings that stand between a call's own options and the environment. ``journal`` is where
    the turns are kept, by default this process's own.
    """

    def __init__(
        self,
        name: str = "main",
        *,
        configured: Callable[[], Mapping[str, Any]] = dict,
        journal: Journal | None = None,
    ) -> None:
        self._configured = configured
        self._journal = journal or here()
        self._kept = self._journal.load(name)
        self._lock, self._timeline = self._kept.lock, self._kept.timeline

    def __repr__(self) -> str:
        return f"<Conversation {self.name!r}, {len(self.turns)} turns>"

    @property
    def record(self) -> ConversationRecord:
        """Its name, and what it is asked with."""
        return self._kept.record

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.record.name

    @property
    def turns(self) -> list[Turn]:
        """The turns that count, in order."""
        with self._lock:
            return self._timeline.live

    def versions(self, turn: Turn) -> list[Turn]:
        """All that was ever asked at the place of ``turn``, oldest first."""
        with self._lock:
            known = {each.turn_id: each for each in self._journal.versions(self.record.conversation_id, turn.place)}
            known |= {each.turn_id: each for each in self._timeline.versions(turn.place)}
        return sorted(known.values(), key=lambda each: (each.version, each.started))

    def turn(self, number: int) -> Turn:
        """The turn with this number, from 1 on, -1 the last. Raises ``TurnNotFoundError``."""
        with self._lock:
            return self._timeline.number(number)

    def settings(self, **options: Any) -> settings.Settings:
        """The settings in force for a call with these options; None means that an option is not given."""
        own = {"model": self.record.model, "system": self.record.system, **self.record.parameters}
        given = {name: value for name, value in own.items() if value != ""}
        return settings.load(options, self._configured(), conversation=given)

    def set(self, **values: Any) -> None:
        """Set ``model``, ``system`` or other settings for this conversation; None takes one back."""
        checked = {n: None if v is None else settings.check(n, v, "this conversation") for n, v in values.items()}
        model, system = checked.pop("model", self.record.model), checked.pop("system", self.record.system)
        parameters = {**self.record.parameters, **checked}
        kept = {name: value for name, value in parameters.items() if value is not None}
        self._change_record(model=model or "", system=system or "", parameters=kept)
        self._journal.save(self.record)

    # Asking

    def ask(
        self,
        prompt: str,
        *,
        cell_id: str = "",
        append: bool = False,
        history: bool = True,
        refresh: bool = False,
        **options: Any,
    ) -> Reply:
        """The reply to ``prompt``, which is not asked for before it is read.

        ``options`` are settings for this turn alone: ``model``, ``temperature``, ``system`` and so on. A cell that has
        a turn already gets another version of it, unless ``append``; without ``history`` nothing earlier is sent and
        nothing is kept; ``refresh`` asks again what the history could answer. Raises ``PromptError`` for an empty
        prompt, and what an unknown model or a bad value raises, before anything is sent.
        """
        replaces = None if append or not history else self._timeline.of_cell(cell_id)
        kind = "ask" if replaces is None else "rerun"
        request = self._request(prompt, options, replaces=replaces, kind=kind, cell_id=cell_id, history=history)
        return self._reply(request, history=history, refresh=refresh)

    def retry(self, number: int = -1, **options: Any) -> Reply:
        """The same prompt again, at its own place; the earlier reply is kept as another version."""
        turn = self.turn(number)
        request = self._request(turn.prompt, options, replaces=turn, kind="retry", cell_id=turn.cell_id)
        return self._reply(request, refresh=True)

    def edit(self, number: int, prompt: str, **options: Any) -> Reply:
        """Another prompt at the place of turn ``number``; the turns after it stay."""
        turn = self.turn(number)
        return self._reply(self._request(prompt, options, replaces=turn, kind="edit", cell_id=turn.cell_id))

    def continue_(self, **options: Any) -> Reply:
        """The last reply, gone on with where it stopped; the shorter one is kept as another version."""
        turn = self.turn(-1)
        if not turn.text:
            raise PromptError("the last turn has no reply to go on with: %flowgpt retry asks again")
        request = self._request(turn.prompt, options, replaces=turn, kind="continue", cell_id=turn.cell_id)
        more: list[Message] = [{"role": "assistant", "content": turn.text}, {"role": "user", "content": CONTINUE}]
        messages = [*request.messages, *more]
        key = _key(request.target, messages, request.chosen)
        return self._reply(replace(request, messages=messages, key=key, begins_with=turn.text), refresh=True)

    def _request(
        self,
        prompt: str,
        options: Mapping[str, Any],
        *,
        replaces: Turn | None,
        kind: str,
        cell_id: str,
        history: bool = True,
    ) -> Request:
        if not isinstance(prompt, str):
            raise PromptError(f"a prompt is text, not {type(prompt).__name__}")
        if not prompt.strip():
            raise PromptError("the prompt is empty: write what you want to ask")
        chosen = self.settings(**options)
        target = find_model(chosen.model)
        with self._lock:
            before = self._timeline.before(replaces.place) if replaces else self._timeline.live
        messages, left_out = build_messages(chosen, before if history else [], prompt)
        key = _key(target, messages, chosen)
        return Request(prompt, target, chosen, messages, key, kind, replaces, cell_id, left_out=left_out)

    def _reply(self, request: Request, *, history: bool = True, refresh: bool = False) -> Reply:
        keeping = Keeping(self, self._journal, request) if history else None

        def source() -> AsyncGenerator[str | Usage, None]:
            if request.chosen.cache:
                return self._journal.replay(reply, request.key, ask, refresh=refresh)
            return ask()

        async def ask() -> AsyncGenerator[str | Usage, None]:
            if request.begins_with:
                yield request.begins_with
            target, given = request.target, parameters(request.target, request.chosen)
            asked = target.provider_class.create_async_generator(target.model, request.messages, **given)
            async with aclosing(asked) as chunks:
                async for chunk in chunks:
                    yield chunk

        reply = Reply(
            source,
            provider=request.target.provider,
            model=request.target.model,
            messages=request.messages,
            on_start=keeping.begin if keeping else None,
            on_growth=keeping.grow if keeping else None,
            on_end=keeping.end if keeping else None,
        )
        reply.left_out = request.left_out
        if request.left_out:
            reply.notices.append(f"{request.left_out} older messages were left out")
        return reply

    # Changing

    def undo(self) -> str:
        """Take the last change back; returns what that was. Raises ``NothingToUndoError``."""
        with self._lock:
            change, saved = self._timeline.undo()
        self._journal.save(*saved)
        return change.kind

    def redo(self) -> str:
        """Make the change again that was undone last; returns what that was. Raises ``NothingToUndoError``."""
        with self._lock:
            change, saved = self._timeline.redo()
        self._journal.save(*saved)
        return change.kind

    def clear(self) -> int:
        """Begin anew; the turns are kept, and ``undo`` brings them back. Returns how many there were."""
        with self._lock:
            live = self._timeline.live
            saved = self._timeline.change("clear", removed=live) if live else []
        self._journal.save(*saved)
        return len(live)

    def branch(self, name: str, number: int | None = None) -> Conversation:
        """Another conversation that begins with this one's turns up to ``number``; this one stays as it is."""
        with self._lock:
            turns = self._timeline.live
            if number is not None:
                last = self._timeline.number(number)
                turns = [turn for turn in turns if turn.place <= last.place]
        record = self._journal.create(name, like=self.record)
        other = Conversation(record.name, configured=self._configured, journal=self._journal)
        for turn in turns:
            copy = replace(turn, turn_id=uuid4().hex, conversation_id=record.conversation_id, version=1)
            other._timeline.know(copy)
            self._journal.save(copy)
        return other

    def rename(self, name: str) -> None:
        """Call it something else. Raises ``ConversationNotFoundError`` where the notebook has one of that name."""
        self._journal.check_new(name)
        before = self.name
        self._change_record(name=name)
        self._journal.renamed(self._kept, before)

    def remove(self) -> None:
        """Take it from the list of conversations; its turns stay in the history, and are found by a search."""
        self._change_record(removed=True)
        self._journal.renamed(self._kept, self.name)

    def _change_record(self, **values: Any) -> None:
        with self._lock:
            self._kept.record = replace(self.record, changed=time.time(), **values)
            self._kept.saved = True

    # For Keeping

    def begin_turn(self, turn: Turn, kind: str, replaces: Turn | None) -> Turn:
        """Give the turn its place and version, and make it live."""
        with self._lock:
            current = self._timeline.get(replaces.turn_id) if replaces else None
            place = current.place if current else self._timeline.next_place()
            turn = replace(turn, place=place, version=self._timeline.next_version(place))
            others = [each for each in self._timeline.versions(place) if each.live]
            saved = self._timeline.change(kind, added=[turn], removed=others)
        self._journal.begin(self._kept, turn, [each for each in saved if each != turn])
        return turn

    def end_turn(self, turn: Turn) -> None:
        """Keep what has become of it. An empty reply that failed does not keep the place of an earlier one."""
        saved: list[Turn | ChangeRecord] = []
        with self._lock:
            self._timeline.know(turn)
            turn = self._timeline.get(turn.turn_id)
            if not turn.text and turn.status != "complete":
                saved = self._timeline.withdraw(turn.turn_id)
                turn = self._timeline.get(turn.turn_id)
        self._journal.end(turn, saved)


class Keeping:
    """Keeps one turn: from when its reply is first read, while it grows, to its end."""

    def __init__(self, conversation: Conversation, journal: Journal, request: Request) -> None:
        self._conversation = conversation
        self._journal = journal
        self._request = request
        self._turn: Turn | None = None

    def begin(self, reply: Reply) -> None:
        """The reply is about to be asked for."""
        request, now = self._request, time.time()
        turn = Turn(
            turn_id=reply.turn_id,
            conversation_id=self._conversation.record.conversation_id,
            place=0,
            version=0,
            live=True,
            cell_id=request.cell_id,
            run=request.run,
            prompt=request.prompt,
            text="",
            status="streaming",
            error="",
            provider=request.target.provider,
            model=request.target.model,
            system=request.chosen.system,
            parameters=_shaping(parameters(request.target, request.chosen)),
            request_key=request.key,
            usage=Usage(),
            notices=(),
            left_out=request.left_out,
            replayed=False,
            kernel=self._journal.kernel,
            started=now,
            ended=None,
        )
        self._turn = self._conversation.begin_turn(turn, request.kind, request.replaces)

    def grow(self, reply: Reply) -> None:
        """A chunk has come."""
        if self._turn is not None:
            self._journal.grow(self._turn.turn_id, lambda: reply.text_so_far)

    def end(self, reply: Reply, status: Status) -> None:
        """The reply has ended; one that was never asked for is not kept."""
        if self._turn is None:
            return
        reply.notices += self._journal.take_troubles()
        error = "" if reply.error is None else f"{type(reply.error).__name__}: {reply.error}"
        self._conversation.end_turn(
            replace(
                self._turn,
                text=reply.text_so_far,
                status=status,
                error=error,
                usage=reply.usage,
                notices=tuple(reply.notices),
                replayed=reply.replayed,
                ended=time.time(),
            )
        )


def build_messages(chosen: settings.Settings, before: list[Turn], prompt: str) -> tuple[list[Message], int]:
    """System prompt, the turns before, the prompt; and how many messages did not fit and were left out.

    Turns are left out whole and from the oldest on, where ``history_tokens`` limits them.
    """
    system: list[Message] = [{"role": "system", "content": chosen.system}] if chosen.system else []
    # A prompt that got no answer would stand right beside the next one.
    turns = [turn for turn in before if turn.text]
    kept = turns
    if chosen.history_tokens:
        room, kept = chosen.history_tokens * CHARACTERS_PER_TOKEN, []
        for turn in reversed(turns):
            room -= len(turn.prompt) + len(turn.text)
            if room < 0:
                break
            kept.insert(0, turn)
    messages = list(system)
    for turn in kept:
        messages.append({"role": "user", "content": turn.prompt})
        messages.append({"role": "assistant", "content": turn.text})
    messages.append({"role": "user", "content": prompt})
    return messages, 2 * (len(turns) - len(kept))


def parameters(target: Target, chosen: settings.Settings) -> dict[str, Any]:
    """What a provider is called with besides model and messages: what is set, of what it takes."""
    found: dict[str, Any] = {name: getattr(chosen, name) for name in target.provider_class.settings}
    if chosen.proxy:
        found["proxy"] = chosen.proxy
    if chosen.temperature is not None:
        found["temperature"] = chosen.temperature
    return found


def _shaping(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those parameters that shape the answer."""
    return {name: value for name, value in given.items() if name not in NO_PARAMETERS}


def _key(target: Target, messages: list[Message], chosen: settings.Settings) -> str:
    """The same for two requests exactly if provider, model, messages and parameters are."""
    asked = [target.provider, target.model, messages, _shaping(parameters(target, chosen))]
    try:
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    except (TypeError, ValueError) as error:
        raise FlowGptError(f"a parameter cannot be kept: {error}") from None
