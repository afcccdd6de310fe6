"""What a transcript is: a conversation's name, system prompt and turns, without what ties them to one history.

Every format stores the same JSON objects. The ``.json`` format is exactly this one::

    {"format": "flowgpt_magic transcript", "version": 1, "name": "main", "system": "Be brief.",
     "turns": [{"prompt": "…", "text": "…", "status": "complete", "provider": "echo", "model": "words", …}]}

A turn has the fields of ``TranscriptTurn``, in that order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from uuid import uuid4

from flowgpt_magic import settings
from flowgpt_magic.control_characters import escaped_in_json, join_surrogates
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import Sent, Status, Turn, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.redaction import redact, without_addresses, without_secrets
from flowgpt_magic.text import cut

TRANSCRIPT_VERSION = 1
HEADER = {"format": "flowgpt_magic transcript", "version": TRANSCRIPT_VERSION}
NUMBER_LIMIT = 2**37  # as Unix seconds the year 6325: no time, and no other number of a turn, is that large
OF_SERVERS = {*settings.KEYS, *settings.KEYS.values(), *settings.CONNECTION, "proxy", "extra_headers"}  # parameters
OF_REASONING = ("reasoning", "reasoning_parts")
OF_PROMPTS = {"schema", "earlier"}  # parameters that are a person's own words
JsonObject = dict[str, Any]
T = TypeVar("T")


class TranscriptError(FlowGptError):
    """A transcript cannot be written or read. The message names the file, the cause and what to do."""


@dataclass(frozen=True)
class TranscriptTurn:
    """A turn without its ties to one history. Times are Unix seconds.

    Args:
        prompt: the prompt.
        text: the reply.
        status: how the turn ended.
        provider: the name of the provider.
        model: the name of the model.
        system: the system prompt; "" for none.
        parameters: the settings and parameters of the request.
        notices: what the user was told about the reply.
        error: why the turn failed; "" if it did not.
        started: when the request was made; 0 if unknown.
        ended: when the reply ended; None if unknown.
        usage: token counts and times.
        cell_id: the cell with the prompt; "" if unknown.
        turn_id: the turn's id in its history; "" if unknown.
        left_out: the number of older messages that were not sent.
        replayed: whether the reply came from the history.
        images: URLs of the images in the prompt.
        extras: additional data of the reply, as JSON.
        sent: what the request contained, and what it did not.
    """

    prompt: str
    text: str = ""
    status: Status = "complete"
    provider: str = ""
    model: str = ""
    system: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    error: str = ""
    started: float = 0.0
    ended: float | None = None
    usage: Usage = field(default_factory=Usage)
    cell_id: str = ""
    turn_id: str = ""
    left_out: int = 0
    replayed: bool = False
    images: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    sent: Sent = field(default=Sent())

    @property
    def text_so_far(self) -> str:
        """The same as ``text``."""
        return self.text

    @property
    def request_id(self) -> str:
        """How the server names the request; empty if it did not say."""
        return str(self.extras.get("request_id", ""))


@dataclass(frozen=True)
class Transcript:
    """A conversation as it stands in a file."""

    name: str
    system: str
    turns: tuple[TranscriptTurn, ...]


def as_turns(transcript: Transcript, conversation_id: str, kernel: str) -> list[Turn]:
    """The turns of a transcript for another conversation, with new ids, at the places from 1 on.

    A turn that was still streaming when it was exported becomes cancelled.
    """
    turns = []
    for place, turn in enumerate(transcript.turns, 1):
        values = {column.name: getattr(turn, column.name) for column in fields(turn)}
        values["status"] = "cancelled" if turn.status == "streaming" else turn.status
        values["extras"] = Extras.from_json(turn.extras)
        values["ended"] = turn.started if turn.ended is None else turn.ended
        values |= {"turn_id": uuid4().hex, "conversation_id": conversation_id, "place": place, "kernel": kernel}
        # No request key: the cache must not answer from a file.
        turns.append(Turn(**values, version=1, live=True, run="", request_key=""))
    return turns


def exported(turn: Turn, *, addresses: bool = False, reasoning: bool = False) -> TranscriptTurn:
    """A turn as it may leave the history: without secrets, in text that UTF-8 can hold.

    Without ``addresses``, also without what names a server or the variable of a key; without ``reasoning``, without the
    reasoning and its opaque parts. Prompts, replies and system prompts stay as they are.
    """

    def told(text: str) -> str:
        return redact(text) if addresses else without_addresses(redact(text), servers)

    servers = [str(turn.parameters[name]) for name in settings.KEYS if name in turn.parameters]
    values = encodable({column.name: getattr(turn, column.name) for column in fields(TranscriptTurn)})
    values["usage"] = Usage(**encodable(asdict(turn.usage)))
    sent = turn.sent.rewritten(lambda words: redact(encodable(words)))
    values["sent"] = replace(sent, unsent=tuple(map(told, sent.unsent)))
    parameters = encodable(without_secrets(turn.parameters))
    values["parameters"] = parameters if addresses else _without_servers(parameters, told)
    values["notices"] = tuple(map(told, values["notices"]))
    values["images"], values["extras"] = tuple(values["images"]), encodable(turn.extras.as_json())
    if not reasoning:
        values["extras"] = {name: value for name, value in values["extras"].items() if name not in OF_REASONING}
    if "notices" in values["extras"]:
        values["extras"]["notices"] = list(map(told, values["extras"]["notices"]))
    return TranscriptTurn(**values | {"error": told(values["error"])})


def _without_servers(parameters: JsonObject, told: Callable[[str], str]) -> JsonObject:
    """``parameters`` without those that say where a server and its key are."""
    kept = {name: value for name, value in parameters.items() if name not in OF_SERVERS}
    return {
        name: told(value) if isinstance(value, str) and name not in OF_PROMPTS else value
        for name, value in kept.items()
    }


def encodable(value: Any) -> Any:
    """``value`` without halves of surrogate pairs, NaN and infinity, which UTF-8 and JSON cannot hold."""
    if isinstance(value, str):
        return join_surrogates(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {encodable(name): encodable(item) for name, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, (list, tuple)) else value


def to_json(values: JsonObject) -> str:
    """``values`` as the text of a file."""
    return escaped_in_json(json.dumps(values, ensure_ascii=False, indent=1)) + "\n"


def from_json(text: str) -> JsonObject:
    """The object in a JSON text; empty for any other value. Raises ``ValueError``."""
    values = encodable(json.loads(text))
    return values if isinstance(values, dict) else {}


def check_format(values: JsonObject) -> None:
    """Raise ``ValueError`` for what is no transcript, or one of a later version."""
    if values.get("format") != HEADER["format"] or type(values.get("version")) is not int:
        raise ValueError("it is not an export of flowgpt_magic")
    if values["version"] > TRANSCRIPT_VERSION:
        raise ValueError("a newer version of flowgpt_magic made it: update this one")


def build(kind: type[T], values: Any) -> T:
    """The dataclass ``kind`` from a JSON object. Unknown names are ignored. Raises ``ValueError``."""
    if not isinstance(values, dict):
        raise ValueError(f"{cut(repr(values))} is no object")  # noqa: TRY004 - JSON's, not the caller's
    hints = get_type_hints(kind)
    arguments = {name: _field_value(name, values[name], hint) for name, hint in hints.items() if name in values}
    try:
        return kind(**arguments)
    except TypeError:
        missing = next(name for name in hints if name not in arguments)
        raise ValueError(f"it has no {missing} where it should") from None


def _field_value(name: str, value: Any, hint: Any) -> Any:
    """A field's value from JSON. Raises ``ValueError`` where ``hint``, its type, does not allow it."""
    if is_dataclass(hint):
        return build(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_field_value(name, item, get_args(hint)[0]) for item in value)
    # The values of a Literal, or types.
    allowed = {Mapping: (dict,), tuple: ()}.get(get_origin(hint), get_args(hint) or (hint,))
    fits = value in allowed or type(value) in allowed or (type(value) is int and float in allowed)
    if not fits or (isinstance(value, (int, float)) and not 0 <= value < NUMBER_LIMIT):
        raise ValueError(f"its {name} cannot be {cut(repr(value))}")
    return value


def nested_object(values: Any, *names: str) -> JsonObject:
    """The object at the path ``names`` inside ``values``; empty where there is none."""
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}
