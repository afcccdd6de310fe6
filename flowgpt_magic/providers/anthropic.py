"""Claude's own API, the Messages API, at Anthropic's server or at another one that speaks it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from multidict import CIMultiDict
from yarl import URL

from flowgpt_magic.errors import (
    ModelNotFoundError,
    ProviderError,
    SettingError,
)
from flowgpt_magic.messages import Messages, Usage, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.arguments import check_messages, check_stop, check_temperature
from flowgpt_magic.providers.base import ListedModel
from flowgpt_magic.providers.claude import requests
from flowgpt_magic.providers.claude.errors import ClaudeErrorMapper, RefusedLengthError, check_temperature_range
from flowgpt_magic.providers.claude.replies import ClaudeReplyReader
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.providers.openai.errors import RefusedFieldError
from flowgpt_magic.providers.openai.exchange import check_not_web_page, exchange
from flowgpt_magic.providers.openai.models import listed_models
from flowgpt_magic.providers.openai.servers import ResolvedServer, Server, UserHeaders, address_source, is_maker
from flowgpt_magic.providers.openai.servers import headers as plain_headers
from flowgpt_magic.providers.request_group import await_once
from flowgpt_magic.providers.server_provider import ServerProvider
from flowgpt_magic.settings import CONNECTION, Settings

NAME = "anthropic"
ADDRESS = "anthropic_base_url"
VERSION = "2023-06-01"  # of the API; the header ``anthropic-version`` in ``extra_headers`` replaces it
EXAMPLE_URL = "https://api.anthropic.com"
REQUEST_PARTS = "parts of the request"  # instead of a provider, for parts that a server does not accept
MODELS_PER_PAGE = 1000
MAX_PAGES = 20  # of the list of models
KEY_HEADERS = ("x-api-key", "authorization")


class Anthropic(ServerProvider):
    """Claude's own API: Anthropic's server, or a gateway that speaks its protocol.

    The setting ``anthropic_base_url`` selects the server, ``anthropic_key`` names the variable or keyring entry of its
    key. ``list_models`` returns the models of the server; there is no default model.
    """

    url: ClassVar[str] = "https://platform.claude.com/docs/en/api/messages"
    about: ClassVar[str] = "Claude's own API: Anthropic's server, or a gateway that speaks its protocol."
    supports_images: ClassVar[bool] = True
    supports_documents: ClassVar[bool] = True
    supports_schema: ClassVar[bool] = True
    name: ClassVar[str] = NAME
    example_model: ClassVar[str] = "claude-sonnet-4-5"
    call_path: ClassVar[str] = "messages"
    address_setting: ClassVar[str] = ADDRESS
    settings: ClassVar[tuple[str, ...]] = (ADDRESS, "anthropic_key", "extra_headers", *CONNECTION)

    @classmethod
    def find_server(cls, chosen: Settings) -> Server:
        """The server that the settings select. Raises ``SettingError`` for an invalid address."""
        text, source = chosen.anthropic_base_url, address_source(chosen, ADDRESS)
        if "?" in text:
            raise SettingError(f"{source}: {ADDRESS} cannot have a ?query")
        url = http.check_base_url(text, source, EXAMPLE_URL)
        if url.path.endswith("/messages"):
            raise SettingError(f"{source}: {ADDRESS} must not end in /messages; write the part before it")
        has_version = re.fullmatch(r"v[0-9]\w*", url.name) is not None
        return Server.at(url if has_version else url / "v1", chosen, NAME, ADDRESS)

    @classmethod
    def headers_for(cls, key: str, extra: UserHeaders, url: URL) -> Mapping[str, str]:
        """The headers of one request; ``extra`` ones replace ours, except for those of the key.

        Other servers than Anthropic's may expect the key as a bearer token, so they get it in both headers.
        """
        values = CIMultiDict({"anthropic-version": VERSION})
        values.update(plain_headers("", extra))
        if key:
            values["x-api-key"] = key
            if not is_maker(ADDRESS, url):
                values["Authorization"] = f"Bearer {key}"
        return values

    @classmethod
    async def list_models(cls, **settings: Any) -> list[str]:
        """The models of the server with their context lengths, in its order.

        Raises ``SettingError``, ``MissingKeyError`` and subclasses of ``ProviderError``, also if the server lists none.
        """
        server = await cls.resolve({"extra_headers": None, **settings})
        models: dict[str, ListedModel] = {}
        after = ""
        for _ in range(MAX_PAGES):
            page, after = await _models_page(server, after)
            is_new = not models.keys() >= set(page)
            models |= {model: model for model in page}
            if not after or not is_new:
                break
        if models:
            return [*models.values()]
        raise ProviderError(f"{server.endpoint.host} lists no models; use one that it has with -m {NAME}:MODEL.")

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float | None = None,
        *,
        anthropic_base_url: str | None = None,
        anthropic_key: str | None = None,
        extra_headers: Mapping[str, str | None] | None = None,
        trust_env: bool | None = None,
        ca_bundle: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        line_limit: int | None = None,
        max_tokens: int | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop: str | Iterable[str] | None = None,
        thinking: str | Mapping[str, Any] | None = None,
        thinking_budget: int | None = None,
        reasoning_effort: str | None = None,
        service_tier: str | None = None,
        prompt_caching: bool = True,
        schema: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG003 - part of the contract
    ) -> AsyncGenerator[str | Usage | Extras, None]:
        """The chunks of the reply, then ``Extras`` if there was more than text, then a ``Usage``.

        Chunks of the model's reasoning are ``Reasoning``. Raises ``SettingError``, ``ProxyError``, ``PromptError``,
        ``OptionError``, ``ModelNotSupportedError`` and ``MissingKeyError`` before anything is sent, and subclasses of
        ``ProviderError`` afterwards. A request field that is None is not sent; which others a server accepts depends
        on the server and the model.

        Args:
            model: a model of the server.
            messages: the conversation. System messages are sent as ``system``, ``images`` of a message as blocks of
                images and documents, its ``reasoning_parts`` before its text.
            proxy: URL of an HTTP proxy, empty for a direct connection; None for the setting.
            temperature: request field, from 0 to 1.
            anthropic_base_url: base URL, with or without ``/v1``; None for the setting.
            anthropic_key: name of the environment variable or keyring entry with the key; None for the setting.
            extra_headers: further headers, such as ``anthropic-beta``, None as a value removes one; None for none.
            trust_env: use the proxy that the environment names; None for the setting.
            ca_bundle: PEM file or folder of certificate authorities; None for the setting.
            client_cert: PEM file of the client certificate; None for the setting.
            client_key: PEM file of its private key; None for the setting.
            connect_timeout: seconds until there is a connection; None for the setting.
            read_timeout: seconds without a byte; None for the setting.
            line_limit: bytes of the longest line or event; None for the setting.
            max_tokens: tokens of the reply, its reasoning included; None for 32,000, or for what the server allows if
                that is less.
            top_p: request field.
            top_k: request field.
            stop: one string that ends the reply or several, sent as ``stop_sequences``.
            thinking: request field, or its type alone: ``adaptive`` or ``disabled``.
            thinking_budget: tokens of the reasoning, at least 1,024 and fewer than ``max_tokens``; 0 for none.
            reasoning_effort: ``low``, ``medium``, ``high``, ``xhigh`` or ``max``, sent as ``output_config.effort`` with
                adaptive reasoning, and as a number of tokens to models without it; ``none`` for no reasoning.
            service_tier: request field, ``auto`` or ``standard_only``.
            prompt_caching: mark the system prompt and the earlier turns for the server's cache. The first request
                writes it, which costs more, and later ones read it, which costs much less.
            schema: a JSON Schema that the text of the reply fits, sent as ``output_config.format``.
            extra_body: any further request fields, such as ``metadata`` or ``inference_geo``.
            **kwargs: ignored.
        """
        check_messages(messages)
        temperature = check_temperature(temperature)
        check_temperature_range(temperature)
        address = {"anthropic_base_url": anthropic_base_url, "anthropic_key": anthropic_key}
        connection = {"proxy": proxy, "trust_env": trust_env}
        tls = {"ca_bundle": ca_bundle, "client_cert": client_cert, "client_key": client_key}
        limits = {"connect_timeout": connect_timeout, "read_timeout": read_timeout, "line_limit": line_limit}
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "stop_sequences": check_stop(stop)}
        reasoning = requests.reasoning_fields(thinking, thinking_budget, reasoning_effort)
        fields: dict[str, Any] = {**sampling, **reasoning}
        fields["service_tier"] = service_tier
        if schema is not None:
            fields["output_config"] = {**fields.get("output_config", {}), **requests.output_format(schema)}
        fields = requests.with_extra_fields(fields, extra_body)
        own_length = max_tokens is None and "max_tokens" not in fields
        if "max_tokens" not in fields:
            fields["max_tokens"] = requests.length(max_tokens, fields.get("thinking"))
        body = requests.request_body(cls.get_model(model), messages, fields, marks=prompt_caching)
        options = {**address, **connection, **tls, **limits, "extra_headers": extra_headers}
        server = await await_once(cls.resolve, options)
        for text in server.notices:
            notice(text)
        names = {
            **requests.PARAMETER_OF_FIELD,
            "thinking": "reasoning_effort" if reasoning_effort else "thinking" if thinking else "thinking_budget",
        }
        learned, place = registry.refused_parameters(), (server.address, REQUEST_PARTS, model)
        for part in learned.known(place, dict.fromkeys(requests.optional_parts(body))):
            body = requests.without_part(body, part)
        refused: list[str] = []

        def create_reader(response: http.Response, _framed: bool) -> ClaudeReplyReader:
            return ClaudeReplyReader(body, errors, response.endpoint, own_length=own_length)

        while True:
            started = False
            errors = ClaudeErrorMapper(body, names, own_length=own_length)
            try:
                async with InnerGenerator(exchange(server, body, errors, create_reader)) as chunks:
                    async for chunk in chunks:
                        started = True
                        yield chunk
            except RefusedFieldError as error:
                if started or error.parameter in refused:
                    raise
                refused.append(error.parameter)
                limit = error.limit if isinstance(error, RefusedLengthError) else None
                body = requests.without_part(body, error.parameter, limit)
                if error.parameter == requests.SIGNATURES:
                    notice("the reasoning of earlier turns was left out, because the server refuses its signature")
            except ModelNotFoundError as error:
                await cls.suggest_model(error, model, options)
                raise
            else:
                for part in refused:
                    if part not in (requests.SIGNATURES, requests.LENGTH):  # these depend on the request
                        learned.learn(place, part, None, "")
                return


async def _models_page(server: ResolvedServer, after: str) -> tuple[list[ListedModel], str]:
    """The models of one page of the list, and the id after which the next page begins; empty for the last page."""
    query = {"limit": str(MODELS_PER_PAGE), **({"after_id": after} if after else {})}
    url = server.endpoint.url.with_name("models").with_query(query)
    endpoint = replace(server.endpoint, url=url)
    async with http.request("GET", endpoint, server.headers, None, ClaudeErrorMapper({}).for_status) as response:
        content = await response.read_all()
        check_not_web_page(content, response.endpoint)
        models = listed_models(content, response.endpoint)
        page = json.loads(content)
        more = isinstance(page, dict) and page.get("has_more") is True
        return models, str(page.get("last_id") or "") if more else ""
