"""Any server with OpenAI's chat completions API, by its base URL and the name of its key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, ClassVar

from yarl import URL

from flowgpt_magic.errors import (
    ModelNotFoundError,
    ProviderError,
)
from flowgpt_magic.messages import Messages, Usage, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.arguments import check_messages, check_stop, check_temperature
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.providers.openai import requests as openai_requests
from flowgpt_magic.providers.openai.apis import RESPONSES, Attempts, Call, chosen_api
from flowgpt_magic.providers.openai.errors import ErrorMapper, OtherApiError, RefusedFieldError
from flowgpt_magic.providers.openai.exchange import check_not_web_page, exchange
from flowgpt_magic.providers.openai.models import listed_models
from flowgpt_magic.providers.openai.servers import Server, UserHeaders, headers
from flowgpt_magic.providers.request_group import await_once
from flowgpt_magic.providers.server_provider import ServerProvider
from flowgpt_magic.settings import CONNECTION, Settings, load

NAME = "openai_compatible"


class OpenAICompatible(ServerProvider):
    """Any OpenAI-compatible server: OpenAI, Ollama, llama.cpp, vLLM, LM Studio, LiteLLM, OpenRouter.

    The setting ``openai_base_url`` selects the server, ``openai_key`` names the variable or keyring entry of its key.
    ``list_models`` returns the models of the server; there is no default model.
    """

    url: ClassVar[str] = "https://platform.openai.com/docs/api-reference/chat"
    about: ClassVar[str] = (
        "Any OpenAI-compatible server: OpenAI, Ollama, llama.cpp, vLLM, LM Studio, LiteLLM, OpenRouter."
    )
    supports_images: ClassVar[bool] = True
    supports_schema: ClassVar[bool] = True
    name: ClassVar[str] = NAME
    example_model: ClassVar[str] = "gpt-4o-mini"
    call_path: ClassVar[str] = "chat/completions"
    address_setting: ClassVar[str] = "openai_base_url"
    settings: ClassVar[tuple[str, ...]] = ("openai_base_url", "openai_key", "openai_api", "extra_headers", *CONNECTION)

    @classmethod
    def find_server(cls, chosen: Settings) -> Server:
        """The server that the settings select. Raises ``SettingError`` for an invalid address."""
        return Server.chosen_by(chosen)

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:
        """Which server the answer depends on, by which API, or which key is missing."""
        answer = super().would_answer(chosen, model)
        if answer.startswith("no:"):
            return answer
        api = chosen_api(chosen.openai_api, cls.find_server(chosen).url, model)
        return f"{answer}, by {api.label}" if api is RESPONSES else answer

    @classmethod
    def headers_for(cls, key: str, extra: UserHeaders, url: URL) -> Mapping[str, str]:  # noqa: ARG003 - the same for all
        """The headers of one request; ``extra`` are the user's."""
        return headers(key, extra)

    @classmethod
    async def list_models(cls, **settings: Any) -> list[str]:
        """The models of the server, in its order.

        Raises ``SettingError``, ``MissingKeyError`` and subclasses of ``ProviderError``, also if the server lists none.
        """
        chosen = load(settings)
        server = Server.chosen_by(chosen)
        key, extra = await server.read_key(), server.user_headers(chosen.extra_headers)
        endpoint = http.resolve_endpoint(server.url_for("models"), server.route(chosen, key, extra))
        async with http.request("GET", endpoint, headers(key, extra), None, ErrorMapper({}).for_status) as response:
            content = await response.read_all()
            check_not_web_page(content, response.endpoint)
            if models := listed_models(content, response.endpoint):
                return [*models]
            raise ProviderError(f"{response.endpoint.host} lists no models; use one that it has with -m {NAME}:MODEL.")

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
        openai_api: str | None = None,
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
        **kwargs: Any,  # noqa: ARG003 - part of the contract
    ) -> AsyncGenerator[str | Usage | Extras, None]:
        """The chunks of the reply, then ``Extras`` if there was more than text, then a ``Usage``.

        Raises ``SettingError``, ``ProxyError``, ``PromptError``, ``OptionError``, ``ModelNotSupportedError`` and
        ``MissingKeyError`` before anything is sent, and subclasses of ``ProviderError`` afterwards. A request field
        that is None is not sent; which others a server accepts depends on the server and the model.

        Args:
            model: a model of the server.
            messages: the conversation; ``images`` of a message are sent as ``image_url`` parts.
            proxy: URL of an HTTP proxy, empty for a direct connection; None for the setting.
            temperature: request field.
            openai_base_url: base URL, usually ending in ``/v1``; None for the setting.
            openai_key: name of the environment variable or keyring entry with the key; None for the setting.
            openai_api: ``chat``, ``responses`` or ``auto``; None for the setting.
            extra_headers: further headers, None as a value removes one; None for the setting.
            trust_env: use the proxy that the environment names; None for the setting.
            ca_bundle: PEM file or folder of certificate authorities; None for the setting.
            client_cert: PEM file of the client certificate; None for the setting.
            client_key: PEM file of its private key; None for the setting.
            connect_timeout: seconds until there is a connection; None for the setting.
            read_timeout: seconds without a byte; None for the setting.
            line_limit: bytes of the longest line or event; None for the setting.
            max_tokens: request field; sent as ``max_completion_tokens`` to servers that require that name.
            max_completion_tokens: request field.
            top_p: request field.
            top_k: request field, not of OpenAI's own servers.
            min_p: request field, not of OpenAI's own servers.
            seed: request field.
            stop: request field, one string or several.
            presence_penalty: request field.
            frequency_penalty: request field.
            logit_bias: request field, numbers by token id.
            reasoning_effort: request field, such as ``low``.
            verbosity: request field, such as ``low``.
            service_tier: request field.
            response_format: request field; not together with ``schema``.
            schema: a JSON Schema that the text of the reply fits, sent as ``response_format``.
            extra_body: any further request fields.
            **kwargs: ignored.
        """
        check_messages(messages)
        temperature = check_temperature(temperature)
        address = {"openai_base_url": openai_base_url, "openai_key": openai_key, "openai_api": openai_api}
        connection = {"proxy": proxy, "trust_env": trust_env}
        tls = {"ca_bundle": ca_bundle, "client_cert": client_cert, "client_key": client_key}
        limits = {"connect_timeout": connect_timeout, "read_timeout": read_timeout, "line_limit": line_limit}
        if schema is not None:
            response_format = openai_requests.response_format(schema, response_format)
        stops = check_stop(stop)
        length = {"max_tokens": max_tokens, "max_completion_tokens": max_completion_tokens, "stop": stops}
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p, "seed": seed}
        penalties = {"presence_penalty": presence_penalty, "frequency_penalty": frequency_penalty}
        style = {"reasoning_effort": reasoning_effort, "verbosity": verbosity, "service_tier": service_tier}
        fields = {**length, **sampling, **penalties, **style, "logit_bias": logit_bias}
        fields["response_format"] = response_format
        call = Call(cls.get_model(model), messages, fields, openai_requests.extra_fields(extra_body))
        options = {**address, **connection, **tls, **limits, "extra_headers": extra_headers}
        server = await await_once(cls.resolve, options)
        for text in server.notices:
            notice(text)
        attempts = Attempts(call, server)
        while True:
            reply = exchange(attempts.server, attempts.body, attempts.errors, attempts.create_reader)
            try:
                async with InnerGenerator(reply) as chunks:
                    async for chunk in chunks:
                        if not attempts.answered:
                            attempts.begin_answer()
                        yield chunk
                return
            except (RefusedFieldError, OtherApiError) as error:
                attempts.go_on_after(error)
            except ModelNotFoundError as error:
                await cls.suggest_model(error, model, options)
                raise
