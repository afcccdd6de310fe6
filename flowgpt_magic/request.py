"""What is asked, of whom, with which turns before it, and what makes two requests the same."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, OptionError, closest
from flowgpt_magic.messages import Message, Turn
from flowgpt_magic.models import Target
from flowgpt_magic.notebook import NO_CELL, Cell

CHARACTERS_PER_TOKEN = 4  # an estimate, for English; a provider that counts exactly does so itself
# What does not change the answer is no part of what makes two requests the same.
NO_PARAMETERS = {"token", "proxy", "trust_env", "connect_timeout", "read_timeout", "line_limit", "threads", "pace"}


@dataclass(frozen=True)
class Spot:
    """Where a turn will stand: at ``place``, or after all others; the live turns at ``clears`` make room for it."""

    kind: str = "ask"
    place: int | None = None
    clears: tuple[int, ...] = ()
    cell: Cell = NO_CELL

    @classmethod
    def of(cls, kind: str, turn: Turn) -> Spot:
        """The place of ``turn``, which stays with its cell."""
        return cls(kind, turn.place, (turn.place,), Cell(turn.cell_id, turn.run))


def as_asked(turn: Turn, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that ask whom ``turn`` asked, and how: its prompt goes to nobody else unless ``options`` say so."""
    known = {name: value for name, value in turn.parameters.items() if name in settings.TABLE}
    others = {name: value for name, value in turn.parameters.items() if name not in settings.TABLE}
    own = {"model": f"{turn.provider}:{turn.model}", "system": turn.system, **known}
    # What is asked of somebody else is asked in that one's own way.
    if "model" in options:
        return {**({"system": turn.system} if turn.system else {}), **options}
    return {**own, "params": others, **options}


@dataclass(frozen=True)
class Request:
    """What is asked, of whom, and where the turn will stand."""

    prompt: str
    target: Target
    chosen: settings.Settings
    messages: list[Message]
    key: str
    spot: Spot
    params: Mapping[str, Any] = field(default_factory=dict)
    begins_with: str = ""
    left_out: int = 0


def turns_to_send(chosen: settings.Settings, before: Sequence[Turn]) -> tuple[list[Turn], int]:
    """The turns before that are sent along, and how many did not fit and are left out.

    Turns are left out whole and from the oldest on, where ``history_tokens`` limits them.
    """
    # A prompt that got no answer would stand right beside the next one.
    turns = [turn for turn in before if turn.text]
    if not chosen.history_tokens:
        return turns, 0
    room, kept = chosen.history_tokens * CHARACTERS_PER_TOKEN, 0
    for turn in reversed(turns):
        room -= len(turn.prompt) + len(turn.text)
        if room < 0:
            break
        kept += 1
    return turns[len(turns) - kept :], len(turns) - kept


def build_messages(chosen: settings.Settings, turns: Sequence[Turn], prompt: str) -> list[Message]:
    """System prompt, the turns before, the prompt."""
    messages: list[Message] = [{"role": "system", "content": chosen.system}] if chosen.system else []
    for turn in turns:
        messages += turn.messages
    messages.append({"role": "user", "content": prompt})
    return messages


def parameters(target: Target, chosen: settings.Settings, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a provider is called with besides model and messages: what is set, of what it takes, and ``params``."""
    found: dict[str, Any] = {name: getattr(chosen, name) for name in target.provider_class.settings}
    if chosen.proxy:
        found["proxy"] = chosen.proxy
    if chosen.temperature is not None:
        found["temperature"] = chosen.temperature
    return {**found, **(params or {})}


def check_params(target: Target, params: Mapping[str, Any]) -> None:
    """Raise ``OptionError`` for a parameter that the provider does not name among its own."""
    signature = inspect.signature(target.provider_class.create_async_generator)
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = {name for name, each in signature.parameters.items() if each.kind in kinds} - {"model", "messages"}
    for name in params:
        if name not in taken:
            known = f" It takes {', '.join(sorted(taken - {'proxy'}))}."
            raise OptionError(f"{target.provider} takes no parameter {name}{closest(name, taken)}{known}")


def shaping(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those parameters that shape the answer."""
    return {name: value for name, value in given.items() if name not in NO_PARAMETERS}


def request_key(target: Target, given: Mapping[str, Any], system: str, turns: Sequence[Turn], prompt: str) -> str:
    """The same for two requests exactly if provider, model, messages and parameters are."""
    said = [system, *(turn.digest for turn in turns), prompt]
    try:
        asked = json.dumps([target.provider, target.model, said, shaping(given)], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise FlowGptError(f"a parameter cannot be kept: {error}") from None
    return hashlib.sha256(asked.encode()).hexdigest()
