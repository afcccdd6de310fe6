"""What the line below a reply in a cell asks: what was sent, the other versions, the same prompt again.

An output of a cell names its turn, see ``display/show.py``. The turn may belong to another notebook, if its cell was
copied, or be in no history that this kernel reads.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from flowgpt_magic import bridge
from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.display.show import output_of, show_elsewhere
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.lab.asking import cancel_reply
from flowgpt_magic.lab.page import OTHER_VERSION, Facts, Page
from flowgpt_magic.messages import Turn, Usage, checksum
from flowgpt_magic.notebook.code_cells import code_cells
from flowgpt_magic.notebook.ipython import prompt_context
from flowgpt_magic.redaction import redact, without_secrets
from flowgpt_magic.replies.code_blocks import code_blocks_of
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.settings import FORMATS, Settings
from flowgpt_magic.text import counted, cut
from flowgpt_magic.transcripts.caption import STATUS_WORDS, cost_of, tokens_of

MAX_TURNS = 200  # turns that one request asks about
MAX_TEXT = 500_000  # characters of a prompt that are shown
MAX_LINE = 80  # characters of an earlier prompt and of its answer
MAX_IMAGES = 4_000_000  # characters of the pictures that are shown
OF_THE_PROMPT = ("schema", "earlier")  # parameters that are shown on their own
NOT_THERE = "this reply is not in the history of this kernel"
REMOVED = "this turn has been removed from the conversation: %flowgpt undo brings it back, or run the cell to ask again"
ARRIVES = "a reply is still arriving: stop it first, or wait for its end"
CHANGED = "Some of these have changed since they were sent."
NO_CODE = "the reply contains no code to put into a cell"


class TurnError(FlowGptError):
    """What a page asked about a turn cannot be done; the message says why, and what can be done."""


def versions(_page: Page, request: Facts) -> Facts:
    """Of each turn that is known its version and the number of versions: ``{"turns": {ID: {…}}}``."""
    history, conversations = current_history(), dict[str, Conversation | None]()
    states = {}
    for turn_id, turn in history.turns_by_id([*map(str, request.get("turns", []))][:MAX_TURNS]).items():
        if turn.conversation_id not in conversations:
            conversations[turn.conversation_id] = _conversation_of(history, turn)
        states[turn_id] = _versions(turn, conversations[turn.conversation_id])
    return {"turns": states}


def details(_page: Page, request: Facts) -> Facts:
    """All that the history knows of a turn: ``facts`` are pairs of label and text. ``{"missing": true}`` without it."""
    history = current_history()
    turn = history.turn_by_id(str(request.get("turn")))
    if turn is None:
        return {"missing": True}
    conversation, parameters = _conversation_of(history, turn), without_secrets(turn.parameters)
    images = [image for image in turn.images if image.startswith("data:image/")]
    own = {"prompt": turn.prompt, "reasoning": turn.extras.reasoning, "system": turn.system}
    texts = {**own, **{name: parameters.get(name, "") for name in OF_THE_PROMPT}}
    return {
        "started": turn.started,
        "facts": [[label, join_surrogates(redact(text))] for label, text in _facts(turn, conversation) if text],
        "sent": [join_surrogates(redact(part)) for part in turn.sent.parts],
        "unsent": [join_surrogates(redact(text)) for text in _unsent(turn)],
        "notices": [join_surrogates(redact(notice)) for notice in turn.notices],
        "turns": [join_surrogates(redact(line)) for line in _turns_above(turn, conversation)],
        "images": images if sum(map(len, images)) <= MAX_IMAGES else [],
        **{name: join_surrogates(_beginning(str(text))) for name, text in texts.items()},
    }


def choose(_page: Page, request: Facts) -> Facts:
    """Let another version be the one that counts; returns the output that shows it."""
    conversation, turn = _found(request)
    number = _number(conversation, turn)
    chosen = conversation.choose(number, int(request.get("version", 0)))
    settings = conversation.settings()
    shown = _output(chosen, _format(request, settings.format), settings)
    return {**shown, **_versions(chosen, conversation)}


def retry(page: Page, request: Facts) -> Facts:
    """Send the prompt of a turn again. Returns the new turn's id.

    The page is told each change of the output (``turn_output``) and the end (``turn_ended``), with the ``stream`` that
    the request names. A reply without text leaves the output as it was.
    """
    conversation, turn = _found(request)
    _number(conversation, turn)
    if any(isinstance(reply, Reply) and not reply.ended for reply in conversation.arriving.values()):
        raise TurnError(ARRIVES)
    prepared = conversation.prepare(None, {}, turn, "retry", context=prompt_context())
    reply, settings = conversation.send(prepared), prepared.settings
    form = _format(request, settings.format)
    stream = Stream(page, str(request.get("stream")))
    bridge.worker().submit(asyncio.to_thread(stream.show, reply, turn, form, settings))
    return {"turn": reply.turn_id}


def stop(_page: Page, request: Facts) -> Facts:
    """Cancel the reply of a turn that arrives: ``{"stopped": …}`` says whether it did."""
    return {"stopped": bool(cancel_reply(request.get("turn")))}


def cells(_page: Page, request: Facts) -> Facts:
    """The cells that the code blocks of a reply become, and a remark about those that become none."""
    found = code_cells((block.language, block) for block in code_blocks_of(str(request.get("text", ""))))
    return {"sources": list(found.sources), "said": found.remark or ("" if found.sources else NO_CODE)}


ACTIONS: dict[str, Callable[[Page, Facts], Facts]] = {
    "versions": versions,
    "details": details,
    "choose": choose,
    "retry": retry,
    "stop": stop,
    "cells": cells,
}


def answer(page: Page, request: Facts) -> Facts:
    """Do what ``request`` names as its ``action``. Raises ``FlowGptError``."""
    run = ACTIONS.get(str(request.get("action")))
    if run is None:
        raise TurnError(OTHER_VERSION)
    return run(page, request)


class Stream:
    """Shows a reply on the page that asked for it, until that page is closed. The reply itself goes on."""

    def __init__(self, page: Page, name: str) -> None:
        self._page, self._name, self._open = page, name, True
        page.when_closed(self._close)

    def show(self, reply: Reply, before: Turn, form: str, settings: Settings) -> None:
        """Tell the page of ``reply`` until its end. ``before`` is the turn that was asked again."""
        shown: Facts = {}
        try:
            show_elsewhere(reply, self._publish, form=form, images=settings.images)
            if reply.status != "complete" and not reply.text_so_far.strip():
                shown = _output(before, form, settings)
        finally:
            error = "" if reply.error is None else join_surrogates(redact(str(reply.error)))
            self._tell({"kind": "turn_ended", "error": error, **shown})

    def _publish(self, data: Mapping[str, Any], metadata: Mapping[str, Any], **_how: Any) -> None:
        self._tell({"kind": "turn_output", "data": dict(data), "metadata": dict(metadata)})

    def _tell(self, message: Facts) -> None:
        if self._open:
            self._page.tell({"stream": self._name, **message})

    def _close(self) -> None:
        self._open = False


def _found(request: Facts) -> tuple[Conversation, Turn]:
    """The turn that a request names, and its conversation. Raises ``TurnError``."""
    history = current_history()
    turn = history.turn_by_id(str(request.get("turn")))
    if turn is None:
        raise TurnError(f"{NOT_THERE}: run the cell to ask again")
    conversation = _conversation_of(history, turn)
    if conversation is None:
        raise TurnError("this reply belongs to the conversation of another notebook: run the cell to ask in this one")
    return conversation, turn


def _conversation_of(history: NotebookHistory, turn: Turn) -> Conversation | None:
    """The conversation of a turn; None if it is that of another notebook."""
    name = history.name_of(turn.conversation_id)
    return Conversation(name, notebook_history=history) if name else None


def _number(conversation: Conversation, turn: Turn) -> int:
    """The number of the live turn in the place of ``turn``. Raises ``TurnError`` if there is none."""
    number = conversation.number_at(turn.place)
    if number is None:
        raise TurnError(REMOVED)
    return number


def _versions(turn: Turn, conversation: Conversation | None) -> Facts:
    """Its version and the number of versions; one, where no other one can be chosen."""
    count = 1 if conversation is None else conversation.newest_version(turn)
    return {"version": turn.version, "versions": count}


def _output(turn: Turn, form: str, settings: Settings) -> Facts:
    data, metadata = output_of(turn, form, images=settings.images, keep_reasoning=settings.keep_reasoning)
    return {"turn": turn.turn_id, "data": data, "metadata": metadata}


def _format(request: Facts, default: str) -> str:
    """The format in which the cell shows the reply."""
    form = request.get("format", default)
    form = str(form) if form in FORMATS else default
    return "markdown" if form == "image" else form


def _facts(turn: Turn, conversation: Conversation | None) -> list[tuple[str, str]]:
    usage, place = turn.usage, ""
    if conversation is not None:
        number = conversation.number_at(turn.place)
        place = conversation.name if number is None else f"{conversation.name}, turn {number}"
    newest = _versions(turn, conversation)["versions"]
    first = "" if usage.first_chunk_seconds is None else f", the first text after {usage.first_chunk_seconds:.1f} s"
    others = {name: value for name, value in turn.parameters.items() if name not in OF_THE_PROMPT}
    return [
        ("model", f"{turn.provider}:{turn.model}"),
        ("tokens", " · ".join(filter(None, [tokens_of(turn), *_parts_of_tokens(usage)]))),
        ("cost", "" if turn.replayed else cost_of(usage)),
        ("reasoning", "" if usage.reasoning_seconds is None else f"{usage.reasoning_seconds:.1f} s"),
        ("time", "" if usage.seconds is None else f"{usage.seconds:.1f} s{first}"),
        ("end", " · ".join(filter(None, [STATUS_WORDS[turn.status], turn.error, usage.finish_reason or ""]))),
        ("answer", "replayed from the history, nothing was sent" if turn.replayed else ""),
        ("conversation", place or "of another notebook"),
        ("version", f"{turn.version} of {newest}" if newest > 1 else ""),
        ("parameters", ", ".join(f"{n} = {_short(value)}" for n, value in without_secrets(others).items())),
        ("request id", turn.request_id),
        ("id", turn.turn_id),
    ]


def _parts_of_tokens(usage: Usage) -> list[str]:
    """Of the tokens, those of the reasoning and those that the server had in its cache."""
    parts = {"reasoning": usage.reasoning_tokens, "from the cache": usage.cached_tokens}
    return [f"{count:,} {name}" for name, count in parts.items() if count]


def _unsent(turn: Turn) -> list[str]:
    left_out = turn.left_out // 2
    return [*turn.sent.unsent, *([f"{counted(left_out, 'older turn')} left out"] if left_out else [])]


def _turns_above(turn: Turn, conversation: Conversation | None) -> list[str]:
    """The first lines of the earlier turns that were sent, as they stand now; a remark if they have changed since."""
    if conversation is None or not turn.sent.turns:
        return []
    above = [live for live in conversation.turns if live.place < turn.place]
    lines = [f"{cut(live.prompt, MAX_LINE)} → {cut(live.answer, MAX_LINE)}" for live in above if live.answer.strip()]
    changed = turn.sent.above is not None and checksum(above) != turn.sent.above
    return [*([CHANGED] if changed else []), *lines[-min(turn.sent.turns, MAX_TURNS) :]]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _beginning(text: str) -> str:
    left_out = len(text) - MAX_TEXT
    return text if left_out <= 0 else f"{text[:MAX_TEXT]}\n… {left_out:,} more characters"
