"""Any server that speaks OpenAI's chat completions, by its base URL, and with a key that is known by its name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from multidict import CIMultiDict

from flowgpt_magic import keys
from flowgpt_magic.errors import (
    ModelNotSupportedError,
    ProviderError,
    ProviderTimeoutError,
    SettingError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import Messages, Usage, notice, notices_to
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.arguments import check_messages, check_model, check_stop, check_temperature
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.client import BOM
from flowgpt_magic.providers.http.connection import Peer
from flowgpt_magic.providers.http.loose_events import JsonSplitter, LooseEventSplitter
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.providers.openai import requests as openai_requests
from flowgpt_magic.providers.openai.errors import Failures, RefusedFieldError
from flowgpt_magic.providers.openai.models import listed_models
from flowgpt_magic.providers.openai.replies import Answer, check_is_no_page, is_json
from flowgpt_magic.providers.openai.servers import Server, headers
from flowgpt_magic.providers.request_group import await_once
from flowgpt_magic.settings import CONNECTION, Settings, load

NAME = "openai_compatible"
FIELDS = "fields of the request"  # in place of a provider: what a server takes by another name, or not at all
MARKS = (BOM[:1], BOM[:2], BOM)  # a byte order mark that nothing stands behind yet


class OpenAICompatible(AsyncGeneratorProvider, ProviderModelMixin):
    """Any OpenAI-compatible server: OpenAI, Ollama, llama.cpp, vLLM, LM Studio, LiteLLM, OpenRouter.

    The setting ``openai_base_url`` says which one, ``openai_key`` the name of what holds the key for it. It has the
    models that ``list_models`` lists, and none by default.
    """

    url: ClassVar[str] = "https://platform.openai.com/docs/api-reference/chat"
    about: ClassVar[str] = (
        "Any OpenAI-compatible server: OpenAI, Ollama, llama.cpp, vLLM, LM Studio, LiteLLM, OpenRouter."
    )
    supports_images: ClassVar[bool] = True
    supports_schema: ClassVar[bool] = True
    address_setting: ClassVar[str] = "openai_base_url"
    settings: ClassVar[tuple[str, ...]] = ("openai_base_url", "openai_key", "extra_headers", *CONNECTION)

    @classmethod
    def get_models(cls) -> list[str]:
        """None: they are the server's to tell."""
        return []

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """``name`` as it is; raises ``ModelNotSupportedError`` where it is empty."""
        if name := check_model(name, cls.__name__):
            return name
        raise ModelNotSupportedError(
            f"{NAME} needs the name of a model, such as -m {NAME}:gpt-4o-mini; %flowgpt models {NAME} lists those that "
            "its server has."
        )

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - the server decides
        """Which server it hangs on, or which key is missing for that."""
        try:
            server = Server.chosen_by(chosen)
        except SettingError as error:
            return f"no: {error}"
        if server.key_name and (reason := keys.missing(server.key_name)):
            return f"no: {reason}"
        return f"if the server at {server.url} does"

    @classmethod
    async def list_models(cls, **settings: Any) -> list[str]:
        """The models that the server has now, in its order.

        Raises ``SettingError``, ``MissingKeyError``, and kinds of ``ProviderError``, among them for a server that lists
        none.
        """
        chosen = load(settings)
        server = Server.chosen_by(chosen)
        key, own = await server.read_key(), server.own_headers(chosen.extra_headers)
        peer = http.reach(server.call("models"), server.route(chosen, key, own))
        async with http.request("GET", peer, headers(key, own), None, Failures({}).refused) as response:
            content = await response.whole()
            check_is_no_page(content, response.peer)
            if found := listed_models(content, response.peer):
                return [*found]
            raise ProviderError(f"{response.peer.host} lists no models; one that it has is asked as -m {NAME}:MODEL.")

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float | None = None,
        *,
        openai_base_url: str | None = None,
        openai_key: str | None = None,
        extra_headers: Mapping[str, str | None] | None = None,
        trust_env: bool | None = None,
        ca_bundle: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        line_limit: int | None = None,
        max_tokens: int | None = None,
        max_completion_tokens: int | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        min_p: float | None = None,
        seed: int | None = None,
        stop: str | Iterable[str] | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logit_bias: Mapping[str, float] | None = None,
        reasoning_effort: str | None = None,
        verbosity: str | None = None,
        service_tier: str | None = None,
        response_format: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG003 - the contract's
    ) -> AsyncGenerator[str | Usage | Extras, None]:
        """The chunks of the reply as their events arrive, then ``Extras`` where more came than text, then a ``Usage``.

        The first ten keyword arguments are the settings of the same names, and None means what is set there; so does a
        ``proxy`` of None, while an empty one means a direct connection. Timeouts are in seconds, ``line_limit`` in
        bytes. The others are fields of the request, which is sent without those that are None: what they mean, and
        which are taken, is the server's to say. ``extra_body`` holds further ones. Text that fits the JSON Schema
        ``schema`` is asked for in the way that servers have for it.

        Raises ``SettingError``, ``ProxyError``, ``PromptError``, ``OptionError``, ``ModelNotSupportedError`` and
        ``MissingKeyError`` before anything is sent, and kinds of ``ProviderError`` after.
        """
        check_messages(messages)
        temperature = check_temperature(temperature)
        given = {"openai_base_url": openai_base_url, "openai_key": openai_key, "proxy": proxy, "trust_env": trust_env}
        tls = {"ca_bundle": ca_bundle, "client_cert": client_cert, "client_key": client_key}
        limits = {"connect_timeout": connect_timeout, "read_timeout": read_timeout, "line_limit": line_limit}
        if schema is not None:
            response_format = openai_requests.response_format(schema, response_format)
        stops = check_stop(stop)
        length = {"max_tokens": max_tokens, "max_completion_tokens": max_completion_tokens, "stop": stops}
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p, "seed": seed}
        penalties = {"presence_penalty": presence_penalty, "frequency_penalty": frequency_penalty}
        manner = {"reasoning_effort": reasoning_effort, "verbosity": verbosity, "service_tier": service_tier}
        fields = {**length, **sampling, **penalties, **manner, "logit_bias": logit_bias}
        fields |= {"response_format": response_format, **openai_requests.extra_fields(extra_body)}
        body = openai_requests.request_body(cls.get_model(model), messages, fields)
        way = await await_once(_Way.found, {**given, **tls, **limits, "extra_headers": extra_headers})
        for text in way.notices:
            notice(text)
        known, place = registry.refused_parameters(), (way.address, FIELDS, model)
        refused = known.known(place, body)
        while True:
            for name in refused:
                body = openai_requests.without(body, name) if name in body else body
            try:
                async with InnerGenerator(_chunks(way, body)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except RefusedFieldError as error:  # nothing has come by then
                refused.append(error.parameter)
            else:
                for name in refused:
                    known.learn(place, name, None, "")
                return


@dataclass(frozen=True)
class _Way:
    """How a server is asked: the same for all requests of a batch. ``notices`` are for each of them."""

    address: str
    peer: Peer
    headers: Mapping[str, str] = field(repr=False)
    notices: Sequence[str]

    @classmethod
    async def found(cls, given: Mapping[str, Any]) -> _Way:
        """The way that the settings name; raises ``SettingError``, ``MissingKeyError`` and ``ProxyError``."""
        named = dict(given)
        extra_headers = named.pop("extra_headers")
        notices: list[str] = []
        with notices_to(notices.append):
            chosen = load(named)
            server = Server.chosen_by(chosen)
            key = await server.read_key()
            own = server.own_headers(chosen.extra_headers if extra_headers is None else extra_headers)
        peer = http.reach(server.call("chat/completions"), server.route(chosen, key, own))
        return cls(str(server.url), peer, CIMultiDict(headers(key, own)), notices)


async def _chunks(way: _Way, body: Mapping[str, Any]) -> AsyncGenerator[str | Usage | Extras, None]:
    """The chunks of the reply to ``body``, and its ``Usage``."""
    failures = Failures(body)
    async with http.request("POST", way.peer, way.headers, body, failures.refused) as response:
        begun = await _beginning(response)
        check_is_no_page(begun, response.peer)
        # What a server says of the type of its answer is not always so; one that does not stream sends one object.
        framed = not is_json(begun)
        answer = Answer(body, failures, response.peer, framed=framed)
        splitter = LooseEventSplitter(response.limit) if framed else JsonSplitter(response.limit)
        try:
            async with InnerGenerator(_read(response, splitter, begun, answer)) as texts:
                async for text in texts:
                    yield text
        except ProviderError:
            if answer.begun and (extras := answer.extras()):  # kept with the text so far
                yield extras
            raise
    answer.tell()
    if extras := answer.extras():
        yield extras
    yield answer.usage()


async def _read(
    response: http.Response, splitter: LooseEventSplitter | JsonSplitter, begun: bytes, answer: Answer
) -> AsyncGenerator[str, None]:
    """The texts of the events, up to the end of the reply. Raises what is missing of one that is not whole."""
    try:
        async for events in http.Pieces(response.blocks, splitter, begun):
            for event in events:
                if text := answer.read(event):
                    yield text
                elif answer.done:
                    break
            if answer.done:
                break
    except (StreamInterruptedError, ProviderTimeoutError):
        if not answer.finished:
            raise
    if not answer.done and (text := answer.read_unfinished(splitter.unfinished())):
        yield text
    if rest := answer.rest():
        yield rest


async def _beginning(response: http.Response) -> bytes:
    """The first bytes of the body, up to the first block that holds more than white space."""
    begun = bytearray()
    while block := await response.blocks.next():
        begun += block
        if (block.strip() and bytes(begun[:4]) not in MARKS) or len(begun) > response.limit:
            break
    return bytes(begun)
