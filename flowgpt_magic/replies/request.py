"""Build a request: read the prompt and its options, choose the turns sent before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from flowgpt_magic import settings
from flowgpt_magic.errors import OptionError, PromptError, closest
from flowgpt_magic.messages import ComposedPrompt, Message, Sent, Turn, user_message
from flowgpt_magic.messages.content_parts import is_document, prompt_of_message, read_messages, without_documents
from flowgpt_magic.messages.token_estimate import tokens_in_all
from flowgpt_magic.notebook.place import NO_CELL, Cell
from flowgpt_magic.prompt.compose import PromptContext, compose
from flowgpt_magic.prompt.images import image_url
from flowgpt_magic.prompt.pictures import PictureReference, references_in
from flowgpt_magic.providers.registry import Target, parameter_names
from flowgpt_magic.replies.resolved import Resolved
from flowgpt_magic.replies.schema import Schema
from flowgpt_magic.settings import Settings, extra_headers
from flowgpt_magic.settings.parameters import EXTRA_BODY, PROTECTED, fields, plain
from flowgpt_magic.text import counted

Prompt = str | Sequence[Mapping[str, Any]]
"""A text, or messages of which the last one is the user's."""

SCHEMA, EARLIER = "schema", "earlier"  # stored as JSON text among the parameters of a turn
TYPED_OPTIONS = "given for this prompt"  # the key under which ``repeat_options`` keeps the options of the new prompt
LONGEST_SHOWN = 200  # characters of a value in an error
# Arguments that do not change the reply. They are not stored and not part of the key.
UNRECORDED = {"token", "proxy", *settings.CONNECTION, "threads", "pace", extra_headers.EXTRA_HEADERS}
WHO_ANSWERS = {"model", settings.API, *settings.KEYS, *settings.KEYS.values()}  # settings that name model and server


@dataclass(frozen=True)
class Position:
    """Where a new turn is inserted: at ``place``, or at the end if None. It replaces the live turns at ``clears``."""

    kind: str = "ask"
    place: int | None = None
    clears: tuple[int, ...] = ()
    cell: Cell = NO_CELL

    @classmethod
    def of(cls, kind: str, turn: Turn) -> Position:
        """The position of ``turn``, in the same cell."""
        return cls(kind, turn.place, (turn.place,), Cell(turn.cell_id, turn.run))


def repeat_options(turn: Turn, options: Mapping[str, Any], *, own_model: bool = True) -> dict[str, Any]:
    """``options`` completed with settings and parameters of ``turn``.

    Without ``own_model`` they name no model and no server, so that those of the conversation are asked. If ``options``
    name a model, only the system prompt, schema and images of the turn are used.
    """
    stored = {name: value for name, value in turn.parameters.items() if name in settings.TABLE}
    others = {n: value for n, value in turn.parameters.items() if n not in (*settings.TABLE, SCHEMA, EARLIER)}
    content: dict[str, Any] = {SCHEMA: json.loads(turn.parameters[SCHEMA])} if SCHEMA in turn.parameters else {}
    if turn.images or EARLIER in turn.parameters:
        content["images"] = EarlierImages(turn.images)
    own = {"model": f"{turn.provider}:{turn.model}", "system": turn.system, **stored}
    if "model" in options:
        return {**({"system": turn.system} if turn.system else {}), **content, **options, TYPED_OPTIONS: options}
    if not own_model:  # a default may come from the turn's provider, and another one has its own
        own = {n: v for n, v in own.items() if n not in WHO_ANSWERS and v != settings.TABLE[n].default}
        own["system"] = turn.system
    params = {**others, **(options.get("params") or {})}
    own = {name: value for name, value in own.items() if name not in params}
    others = {name: value for name, value in params.items() if name not in options}
    return {**own, **content, **options, "params": others, TYPED_OPTIONS: options}


class EarlierImages(tuple[str, ...]):
    """The images of a turn that is repeated. They are dropped if the provider does not accept images."""

    __slots__ = ()


def prompt_of(turn: Turn) -> Prompt:
    """The prompt of ``turn``: a text, or messages if it has images or was given as messages."""
    if EARLIER not in turn.parameters:
        return turn.prompt if turn.prompt.strip() else [user_message(turn.prompt, turn.images)]
    return [*json.loads(turn.parameters[EARLIER]), user_message(turn.prompt, turn.images)]


def read_prompt(prompt: Prompt) -> tuple[list[Message] | None, str]:
    """The messages before the prompt (None if it was given alone), and the text of the prompt.

    The text of a prompt with images is a ``ComposedPrompt``. Raises ``PromptError`` for an invalid or empty prompt.
    """
    earlier: list[Message] | None = None
    if isinstance(prompt, str):
        text = prompt
    elif isinstance(prompt, Sequence) and prompt and all(isinstance(message, Mapping) for message in prompt):
        messages = [message for message in prompt if isinstance(message, Mapping)]
        *earlier, last = read_messages(messages, images=True, documents=True, who="")
        if last["role"] != "user":
            raise PromptError(f"the last message is the prompt: its role must be user, not {last['role']}")
        text = prompt_of_message(last)
    else:
        what = "an empty list" if prompt == [] else type(prompt).__name__
        raise PromptError(f"a prompt is text, or a list of messages with role and content, not {what}")
    if not text.strip() and not getattr(text, "images", ()):
        raise PromptError("the prompt is empty: write what you want to ask")
    return earlier, text


@dataclass(frozen=True)
class TypedPrompt:
    """A prompt as typed. Its references and attachments are inserted by ``composed``.

    Attributes:
        text: what was typed.
        attached: the names of variables, cells and files to attach.
        raw: ignore references such as ``{name}``.
        below: returns more text for the end of the prompt that fits into a number of tokens.
        pictures: the pictures to send, besides those that the text names.
        quotes_code: its fenced code blocks quote the notebook: ignore references in them.
    """

    text: str
    attached: tuple[str, ...] = ()
    raw: bool = False
    below: Callable[[int], str] | None = None
    pictures: tuple[PictureReference, ...] = ()
    quotes_code: bool = False

    def composed(self, context: PromptContext, resolved: Resolved) -> ComposedPrompt:
        """The prompt as it is sent to the target of ``resolved``.

        Raises ``AttachmentError``, and ``OptionError`` for a picture if the provider takes none.
        """
        budget = resolved.settings.attach_tokens
        pictures = [*references_in(self.text), *self.pictures]
        if pictures and not resolved.takes_images:
            raise takes_no_images(resolved.target)
        return compose(
            self.text if self.below is None else f"{self.text}\n\n{self.below(budget)}",
            context,
            raw=self.raw,
            quotes_code=self.quotes_code,
            attached=self.attached,
            pictures=list({picture.name: picture for picture in pictures}.values()),
            budget=budget,
            with_images=bool(self.attached) and resolved.takes_images,
            with_documents=bool(self.attached) and resolved.takes_documents,
            model=resolved.target.provider,
        )


@dataclass(frozen=True)
class Request:
    """A prompt, its target, and the position of its turn.

    Attributes:
        prompt: the text of the prompt.
        resolved: the settings in force and the target.
        spot: the position of the turn.
        earlier: messages that are sent instead of the earlier turns; None to send those.
        schema: what the reply has to fit.
        images: the URLs of images for the prompt.
        continues: the turn whose reply is continued.
        messages: all that is sent; empty until the earlier turns are chosen.
        key: the same for equal requests; empty until then, too.
        left_out: the number of messages that do not fit into ``history_tokens``.
        title: the prompt as typed, for the name of a conversation that it begins.
        unsent: a clause for each other thing that is not sent, besides those of the prompt.
    """

    prompt: str
    resolved: Resolved
    spot: Position = Position()
    earlier: Sequence[Message] | None = None
    schema: Schema | None = None
    images: Sequence[str] = ()
    continues: Turn | None = None
    messages: list[Message] = field(default_factory=list)
    key: str = ""
    left_out: int = 0
    title: str = ""
    unsent: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """The provider and model."""
        return self.resolved.target

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.resolved.settings

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments for the provider, besides model and messages."""
        return self.resolved.parameters

    @property
    def begins_with(self) -> str:
        """The text that the reply continues, or an empty string; with ``think_tags`` without its reasoning."""
        if self.continues is None:
            return ""
        return self.continues.answer if self.settings.think_tags else self.continues.text

    @property
    def native(self) -> bool:
        """Is the schema passed to the provider? If not, it is added to the prompt."""
        return self.schema is not None and self.target.provider_class.supports_schema

    @cached_property
    def sent(self) -> Sent:
        """What is sent, and what is not, for the line below the reply."""
        return _sent(self)

    @property
    def recorded_parameters(self) -> dict[str, Any]:
        """The parameters that change the reply, as JSON values, as they are stored with the turn."""
        unrecorded = UNRECORDED | self.resolved.think_parameters.keys()
        parameters = {name: value for name, value in self.parameters.items() if name not in unrecorded}
        if parameters.get(settings.API) == settings.TABLE[settings.API].default:
            del parameters[settings.API]  # it was not recorded in earlier versions, and their keys stay the same
        if self.resolved.think_parameters:
            parameters["think"] = self.settings.think
        if self.schema is not None:
            parameters[SCHEMA] = json.dumps(self.schema.json_schema)
        if self.earlier:
            parameters[EARLIER] = json.dumps(self.earlier)
        return parameters


def turns_to_send(chosen: Settings, before: Sequence[Turn]) -> tuple[list[Turn], int]:
    """The turns that are sent with a prompt, and the number of those that do not fit into ``history_tokens``.

    The oldest turns are left out first. Turns without an answer are never sent.
    """
    # Servers refuse blank answers, and two user messages in a row.
    turns = [turn for turn in before if turn.answer and not turn.answer.isspace()]
    if not chosen.history_tokens:
        return turns, 0
    room, count = chosen.history_tokens, 0
    for turn in reversed(turns):
        room -= turn.tokens
        if room < 0:
            break
        count += 1
    return turns[len(turns) - count :], len(turns) - count


def build_messages(request: Request, turns: Sequence[Turn]) -> list[Message]:
    """The system prompt, the messages of the earlier turns (or the given ones), and the prompt."""
    turn_messages = [message for turn in turns for message in _messages_of(turn, request)]
    before = turn_messages if request.earlier is None else list(request.earlier)
    own_system = any(message["role"] == "system" for message in before)
    text = request.settings.system
    system: list[Message] = [{"role": "system", "content": text}] if text.strip() else []
    if request.earlier is None and not request.resolved.takes_earlier_images:
        before = [without_images(message) for message in before]
    return [*([] if own_system else system), *before, user_message(request.prompt, request.images)]


def _messages_of(turn: Turn, request: Request) -> Sequence[Message]:
    """The messages of a turn. Opaque parts of its reasoning go to the server and the model that sent them only."""
    parts, target = turn.extras.reasoning_parts, request.target
    if not parts or (turn.provider, turn.model) != (target.provider, target.model):
        return turn.messages
    address = target.provider_class.address_setting
    if turn.parameters.get(address) != request.parameters.get(address):
        return turn.messages
    prompt, answer = turn.messages
    return prompt, {**answer, "reasoning_parts": list(parts)}


def unsent_pictures(count: int, resolved: Resolved) -> str:
    """The clause for pictures of earlier turns that the model does not take."""
    return f"{counted(count, 'earlier picture')} not sent: {resolved.reader} reads text"


def unsent_documents(urls: Iterable[str], resolved: Resolved) -> tuple[str, ...]:
    """The clause for the PDF documents among the images of earlier turns that the provider does not take, if any."""
    count = sum(map(is_document, urls))
    if resolved.takes_documents or not count:
        return ()
    return (f"{counted(count, 'earlier document')} not sent: {resolved.target.provider} takes none",)


def _sent(request: Request) -> Sent:
    prompt, messages = request.prompt, request.messages
    before = messages[: -3 if request.continues else -1]
    included = [
        "prompt",
        "its reply so far" if request.continues else "",
        counted(pictures, "picture") if (pictures := sum(not is_document(url) for url in request.images)) else "",
        *getattr(prompt, "included", ()),
        counted(len(request.earlier), "message") if request.earlier else "",
        "system prompt" if any(message["role"] == "system" for message in before) else "",
    ]
    turns = 0 if request.earlier is not None else sum(message["role"] == "user" for message in before)
    tokens = tokens_in_all(message["content"] for message in messages)
    return Sent(tuple(filter(None, included)), turns, (*getattr(prompt, "unsent", ()), *request.unsent), tokens)


def without_images(message: Message) -> Message:
    """``message`` with its images replaced by their number."""
    if "images" not in message:
        return message
    message = without_documents(message)
    if "images" not in message:
        return message
    return {"role": message["role"], "content": f"{message['content']}\n\n[{counted(len(message['images']), 'image')}]"}


def takes_no_images(target: Target) -> OptionError:
    """The error for images that the provider does not accept."""
    return OptionError(f"{target.provider} takes no images: ask a provider that does, or leave them out")


def read_images(
    images: Any, target: Target, *, prompt: str = "", earlier: Sequence[Message] | None = None
) -> list[str]:
    """The URLs of the images in ``prompt`` and of the separate ``images``: one, or several.

    Images of the prompt replace those of a turn that is repeated.

    Raises ``OptionError`` if the provider does not accept images and there are some, here or in the messages
    ``earlier``, and ``PromptError`` for an object that is not an image.
    """
    accepted, repeated = target.provider_class.supports_images, isinstance(images, EarlierImages)
    if repeated and not accepted:
        return []
    several = isinstance(images, Sequence) and not isinstance(images, (str, bytes))
    separate = [] if not images else list(images) if several else [images]
    own = getattr(prompt, "images", ())
    sources = separate if repeated and not own else own if repeated else [*own, *separate]
    if not accepted and (sources or any(message.get("images") for message in earlier or ())):
        raise takes_no_images(target)
    urls = [image_url(source) for source in sources]
    if getattr(target.provider_class, "supports_documents", False) or not any(map(is_document, urls)):
        return urls
    if not repeated:
        raise OptionError(
            f"{target.provider} takes no PDF documents: ask anthropic, or attach the file, whose text is sent"
        )
    return [url for url in urls if not is_document(url)]


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split ``options`` into settings and parameters. Parameters are those in ``params`` and all that is no setting.

    Raises ``OptionError`` for a parameter that is given twice, and for a name that cannot be a parameter.
    """
    chosen = {name: value for name, value in options.items() if name in settings.TABLE and name != "params"}
    others = {name: value for name, value in options.items() if name not in settings.TABLE}
    params = dict(options.get("params") or {})
    if twice := sorted(params.keys() & (others.keys() | {name for name, value in chosen.items() if value is not None})):
        raise OptionError(f"{twice[0]} is given twice, as an option and as a parameter: which one do you mean?")
    if protected := next((name for name in (*others, *params) if name in PROTECTED), ""):
        raise OptionError(f"{protected} is no parameter: {PROTECTED[protected]}")
    return chosen, {**others, **params}


def check_params(target: Target, params: Mapping[str, Any], *, by_name: Collection[str] = ()) -> None:
    """Raise ``OptionError`` for a parameter that the provider does not declare.

    If the provider has ``extra_body``, the error says how to send the parameter anyway. One of ``by_name``, the names
    given like settings, may be a misspelt setting: then it is a ``SettingError`` that suggests the right one.
    """
    supported = parameter_names(target)
    for name, value in params.items():
        if name in PROTECTED:
            raise OptionError(f"{name} is no parameter: {PROTECTED[name]}")
        if name in supported or name == "think":  # which the provider maps to what it takes
            continue
        if name in by_name and (EXTRA_BODY not in supported or "did you mean" in closest(name, settings.TABLE)):
            settings.check(name, value, "option")
        advice = closest(name, supported)
        if EXTRA_BODY in supported:
            example = f"-P {EXTRA_BODY}={_as_json({name: value})}"
            advice += f" For a server that takes it, write {example}, or {EXTRA_BODY}=… in Python."
        names = ", ".join(sorted(own for own in supported if not _is_connection_setting(own)))
        raise OptionError(f"{target.provider} takes no parameter {name}{advice} It takes {names}.")


def _is_connection_setting(name: str) -> bool:
    """Is it about the connection to the server, not about the reply?"""
    personal = name in settings.TABLE and settings.TABLE[name].metadata["personal"]
    return name in ("schema", "connect_timeout", "line_limit") or (personal and name != extra_headers.EXTRA_HEADERS)


def _as_json(value: Any) -> str:
    """``value`` as JSON for an example, or a placeholder if it is too long or not JSON."""
    try:
        text = json.dumps(plain(value, EXTRA_BODY), ensure_ascii=False)
    except ValueError:
        text = ""
    return text if 0 < len(text) <= LONGEST_SHOWN else '{"NAME": VALUE}'


def given_fields(options: Mapping[str, Any]) -> frozenset[str]:
    """The names of the request fields in ``options``, including those in ``params`` and ``extra_body``."""
    chosen, params = split_options(options)
    values = {**chosen, **params}
    named = fields(values) if isinstance(values.get(EXTRA_BODY) or {}, Mapping) else values
    return frozenset(name for name, value in named.items() if value is not None)
