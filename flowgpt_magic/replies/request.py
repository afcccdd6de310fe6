"""What is asked, of whom, with which turns before it, and what makes two requests the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, OptionError, PromptError, closest
from flowgpt_magic.messages import ComposedPrompt, Message, Turn, said
from flowgpt_magic.messages.content_parts import prompt_of_message, read_messages
from flowgpt_magic.notebook.place import NO_CELL, Cell
from flowgpt_magic.prompt.compose import PromptContext, compose
from flowgpt_magic.prompt.images import image_url
from flowgpt_magic.providers.registry import Target, parameter_names
from flowgpt_magic.replies.resolved import Resolved
from flowgpt_magic.replies.schema import Schema
from flowgpt_magic.settings import Settings, extra_headers
from flowgpt_magic.settings.parameters import EXTRA_BODY, PROTECTED, fields, plain
from flowgpt_magic.text import counted

Prompt = str | Sequence[Mapping[str, Any]]
"""What can be asked: a text, or messages of which the last is the user's."""

SCHEMA, EARLIER = "schema", "earlier"  # what a turn keeps of a request beside the provider's parameters, as JSON text
TYPED_OPTIONS = "given for this prompt"  # the key under which ``repeat_options`` keeps the options of the new prompt
LONGEST_SHOWN = 200  # characters of a value in an error
# What does not change the answer is no part of what makes two requests the same.
UNRECORDED = {"token", "proxy", *settings.CONNECTION, "threads", "pace", extra_headers.EXTRA_HEADERS}


@dataclass(frozen=True)
class Position:
    """Where a turn will stand: at ``place``, or after all others; the live turns at ``clears`` make room for it."""

    kind: str = "ask"
    place: int | None = None
    clears: tuple[int, ...] = ()
    cell: Cell = NO_CELL

    @classmethod
    def of(cls, kind: str, turn: Turn) -> Position:
        """The place of ``turn``, which stays with its cell."""
        return cls(kind, turn.place, (turn.place,), Cell(turn.cell_id, turn.run))


def repeat_options(turn: Turn, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that ask whom ``turn`` asked, and how: its prompt goes to nobody else unless ``options`` say so."""
    known = {name: value for name, value in turn.parameters.items() if name in settings.TABLE}
    others = {n: value for n, value in turn.parameters.items() if n not in (*settings.TABLE, SCHEMA, EARLIER)}
    also: dict[str, Any] = {SCHEMA: json.loads(turn.parameters[SCHEMA])} if SCHEMA in turn.parameters else {}
    if turn.images or EARLIER in turn.parameters:
        also["images"] = EarlierImages(turn.images)
    own = {"model": f"{turn.provider}:{turn.model}", "system": turn.system, **known}
    # What is asked of somebody else is asked in that one's own way.
    if "model" in options:
        return {**({"system": turn.system} if turn.system else {}), **also, **options, TYPED_OPTIONS: options}
    params = {**others, **(options.get("params") or {})}
    own = {name: value for name, value in own.items() if name not in params}
    others = {name: value for name, value in params.items() if name not in options}
    return {**own, **also, **options, "params": others, TYPED_OPTIONS: options}


class EarlierImages(tuple[str, ...]):
    """The images of a turn that is asked again: they go along where they can."""

    __slots__ = ()


def prompt_of(turn: Turn) -> Prompt:
    """What was asked in ``turn``, as it was given."""
    if EARLIER not in turn.parameters:
        return turn.prompt if turn.prompt.strip() else [said(turn.prompt, turn.images)]
    return [*json.loads(turn.parameters[EARLIER]), said(turn.prompt, turn.images)]


def read_prompt(given: Prompt) -> tuple[list[Message] | None, str]:
    """The messages that stand before the prompt, None where a prompt alone was given, and the prompt.

    A prompt with images is a ``ComposedPrompt``. Raises ``PromptError`` for what cannot be asked.
    """
    if isinstance(given, str):
        earlier, prompt = None, given
    elif isinstance(given, Sequence) and given and all(isinstance(each, Mapping) for each in given):
        *before, last = read_messages([each for each in given if isinstance(each, Mapping)], images=True, who="")
        if last["role"] != "user":
            raise PromptError(f"the last message is the prompt: its role is user, not {last['role']}")
        earlier, prompt = before, prompt_of_message(last)
    else:
        what = "an empty list" if given == [] else type(given).__name__
        raise PromptError(f"a prompt is text, or a list of messages with role and content, not {what}")
    if not prompt.strip() and not getattr(prompt, "images", ()):
        raise PromptError("the prompt is empty: write what you want to ask")
    return earlier, prompt


@dataclass(frozen=True)
class TypedPrompt:
    """A prompt as a person typed it; what it refers to and what is ``attached`` is put in when it is prepared.

    A ``raw`` one has no references. ``below`` gives further text that has room in a number of tokens.
    """

    text: str
    attached: tuple[str, ...] = ()
    raw: bool = False
    below: Callable[[int], str] | None = None

    def composed(self, context: PromptContext, resolved: Resolved) -> ComposedPrompt:
        """The prompt as it is sent to whom ``resolved`` names. Raises ``AttachmentError``."""
        budget = resolved.settings.attach_tokens
        return compose(
            self.text if self.below is None else f"{self.text}\n\n{self.below(budget)}",
            context,
            raw=self.raw,
            attached=self.attached,
            budget=budget,
            with_images=bool(self.attached) and resolved.takes_images,
        )


@dataclass(frozen=True)
class Request:
    """What is asked, of whom, and where the turn will stand.

    Once it is known what goes before it, it has ``messages`` and a ``key`` too.
    """

    prompt: str
    resolved: Resolved
    spot: Position = Position()
    earlier: Sequence[Message] | None = None  # what is sent in place of the turns before
    schema: Schema | None = None
    images: Sequence[str] = ()
    continues: Turn | None = None  # whose reply is gone on with
    messages: list[Message] = field(default_factory=list)
    key: str = ""
    left_out: int = 0

    @property
    def target(self) -> Target:
        """Who is asked."""
        return self.resolved.target

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.resolved.settings

    @property
    def parameters(self) -> dict[str, Any]:
        """What the provider is called with besides model and messages."""
        return self.resolved.parameters

    @property
    def begins_with(self) -> str:
        """What the reply has before anything comes."""
        return self.continues.text if self.continues else ""

    @property
    def native(self) -> bool:
        """Is the schema given to the provider, and not described in the prompt?"""
        return self.schema is not None and self.target.provider_class.supports_schema

    @property
    def recorded_parameters(self) -> dict[str, Any]:
        """What of it shapes the answer, as a turn keeps it: in values that JSON has."""
        found = recorded_parameters(self.parameters)
        if self.schema is not None:
            found[SCHEMA] = json.dumps(self.schema.json_schema)
        if self.earlier:
            found[EARLIER] = json.dumps(self.earlier)
        return found


def turns_to_send(chosen: Settings, before: Sequence[Turn]) -> tuple[list[Turn], int]:
    """The turns before that are sent along, and how many did not fit and are left out.

    Turns are left out whole and from the oldest on, where ``history_tokens`` limits them.
    """
    # A prompt that got no answer would stand right beside the next one, and servers refuse a blank answer.
    turns = [turn for turn in before if turn.answer and not turn.answer.isspace()]
    if not chosen.history_tokens:
        return turns, 0
    room, kept = chosen.history_tokens, 0
    for turn in reversed(turns):
        room -= turn.tokens
        if room < 0:
            break
        kept += 1
    return turns[len(turns) - kept :], len(turns) - kept


def build_messages(request: Request, turns: Sequence[Turn]) -> list[Message]:
    """System prompt, the turns or messages before, and the prompt."""
    before = [each for turn in turns for each in turn.messages] if request.earlier is None else list(request.earlier)
    own_system = any(message["role"] == "system" for message in before)
    words = request.settings.system
    system: list[Message] = [{"role": "system", "content": words}] if words.strip() else []
    if not request.resolved.takes_images:
        before = [_without_images(message) for message in before]
    return [*([] if own_system else system), *before, said(request.prompt, request.images)]


def _without_images(message: Message) -> Message:
    """``message`` for a provider that takes no images: it is told that there were some."""
    if "images" not in message:
        return message
    return {"role": message["role"], "content": f"{message['content']}\n\n[{counted(len(message['images']), 'image')}]"}


def read_images(
    images: Any, target: Target, *, prompt: str = "", earlier: Sequence[Message] | None = None
) -> list[str]:
    """The URLs of the images of ``prompt``, and of ``images``, which are given besides.

    Raises ``OptionError`` where the provider takes none and there are some, also in the messages ``earlier``, and
    ``PromptError`` for what is no image.
    """
    takes, again = target.provider_class.supports_images, isinstance(images, EarlierImages)
    if again and not takes:
        return []
    several = isinstance(images, Sequence) and not isinstance(images, (str, bytes))
    besides = [] if not images else list(images) if several else [images]
    found = besides if again else [*getattr(prompt, "images", ()), *besides]
    if not takes and (found or any(message.get("images") for message in earlier or ())):
        raise OptionError(f"{target.provider} takes no images: ask a provider that does, or leave them out")
    return [image_url(each) for each in found]


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings among ``options``, and the parameters: those in ``params``, and what is no setting.

    Raises ``OptionError`` for a parameter that is there twice, and for what is none.
    """
    known = {name: value for name, value in options.items() if name in settings.TABLE and name != "params"}
    further = {name: value for name, value in options.items() if name not in settings.TABLE}
    params = dict(options.get("params") or {})
    if twice := sorted(params.keys() & (further.keys() | {name for name, each in known.items() if each is not None})):
        raise OptionError(f"{twice[0]} is there twice, as an option and as a parameter: which one do you mean?")
    if wrong := next((name for name in (*further, *params) if name in PROTECTED), ""):
        raise OptionError(f"{wrong} is no parameter: {PROTECTED[wrong]}")
    return known, {**further, **params}


def check_params(target: Target, params: Mapping[str, Any], *, by_name: Collection[str] = ()) -> None:
    """Raise ``OptionError`` for a parameter that the provider does not name among its own.

    The error says how a server is given it all the same, where the provider has ``extra_body`` for that. One that was
    given ``by_name``, like a setting, may be a misspelt one: it is a ``SettingError`` that names the nearest.
    """
    taken = parameter_names(target)
    for name, value in params.items():
        if name in PROTECTED:
            raise OptionError(f"{name} is no parameter: {PROTECTED[name]}")
        if name in taken:
            continue
        if name in by_name and (EXTRA_BODY not in taken or "did you mean" in closest(name, settings.TABLE)):
            settings.check(name, value, "option")
        advice = closest(name, taken)
        if EXTRA_BODY in taken:
            written = f"-P {EXTRA_BODY}={_shown({name: value})}"
            advice += f" For a server that takes it, write {written}, or {EXTRA_BODY}=… in Python."
        known = ", ".join(sorted(each for each in taken if not _of_the_connection(each)))
        raise OptionError(f"{target.provider} takes no parameter {name}{advice} It takes {known}.")


def _of_the_connection(name: str) -> bool:
    """Does it say how a server is reached, and nothing of the reply?"""
    personal = name in settings.TABLE and settings.TABLE[name].metadata["personal"]
    return name in ("schema", "connect_timeout", "line_limit") or (personal and name != extra_headers.EXTRA_HEADERS)


def _shown(value: Any) -> str:
    """``value`` as JSON, for an error that says how to write it."""
    try:
        text = json.dumps(plain(value, EXTRA_BODY), ensure_ascii=False)
    except ValueError:
        text = ""
    return text if 0 < len(text) <= LONGEST_SHOWN else '{"NAME": VALUE}'


def given_fields(options: Mapping[str, Any]) -> frozenset[str]:
    """The fields of the request that ``options`` give, those in ``params`` and ``extra_body`` among them."""
    known, params = split_options(options)
    given = {**known, **params}
    named = fields(given) if isinstance(given.get(EXTRA_BODY) or {}, Mapping) else given
    return frozenset(name for name, value in named.items() if value is not None)


def recorded_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those parameters that shape the answer."""
    return {name: value for name, value in given.items() if name not in UNRECORDED}


def request_key(request: Request, turns: Sequence[Turn], recorded_parameters: Mapping[str, Any] | None = None) -> str:
    """The same for two requests exactly if provider, model, messages and parameters are.

    ``recorded_parameters`` is that of the request, where it is known already.
    """
    system = request.settings.system if request.settings.system.strip() else ""
    words = [system, *(turn.digest for turn in turns), request.prompt, *request.images]
    # Which key it was asked with changes nothing of the answer, by whatever name a turn knows it.
    given = request.recorded_parameters if recorded_parameters is None else recorded_parameters
    shaped = {name: value for name, value in given.items() if name not in settings.KEYS.values()}
    try:
        asked = json.dumps([request.target.provider, request.target.model, words, shaped], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise FlowGptError(f"a parameter cannot be kept: {error}") from None
    return hashlib.sha256(asked.encode()).hexdigest()
