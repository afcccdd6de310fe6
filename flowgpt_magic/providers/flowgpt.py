"""The FlowGPT service, or any server that speaks its v3 protocol."""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from yarl import URL

from flowgpt_magic import installing
from flowgpt_magic.control_characters import SurrogateJoiner
from flowgpt_magic.messages import Message, Messages, Usage, notice
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.providers.arguments import check_messages, check_temperature
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.flowgpt_events import EventReader
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.body import ENCODINGS
from flowgpt_magic.providers.http.connection import Endpoint, Route
from flowgpt_magic.providers.request_group import call_once
from flowgpt_magic.redaction import redact
from flowgpt_magic.settings import CONNECTION, TABLE, Settings, alias_of, load, variable

PATH = "/v3/chat-anonymous"
GREETING = {"role": "assistant", "content": "Hello, how can I help you today?"}
SYSTEM_PROMPT = "You are helpful assistant. Follow the user's instructions carefully."
TEMPERATURE = 0.7  # the protocol's default
PUBLIC_HOST = URL(str(TABLE["base_url"].default)).host
DEVICE_ID_CHARACTERS = string.ascii_lowercase + string.digits


def sign(timestamp: str, nonce: str, authorization: str) -> str:
    """The signature of a request. It is an integrity tag of the protocol, not a secret."""
    tag = hashlib.md5(f"{timestamp}-{nonce}-{authorization}".encode("ascii"), usedforsecurity=False)
    return tag.hexdigest()


def _device_id() -> str:
    return "f-" + "".join(secrets.choice(DEVICE_ID_CHARACTERS) for _ in range(19))


def request_headers(token: str) -> dict[str, str]:
    """The headers of one request: those of the web client, and the signature."""
    authorization = f"Bearer {token or 'null'}"
    timestamp = str(int(time.time()))
    nonce = secrets.token_hex(16)
    return {
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
        "Accept": "*/*",
        "Accept-Language": "en-US;q=0.7,en;q=0.3",
        "Accept-Encoding": ENCODINGS,
        "Referer": "https://flowgpt.com/",
        "Origin": "https://flowgpt.com",
        "Content-Type": "application/json",
        "Authorization": authorization,
        "Connection": "keep-alive",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-site",
        "TE": "trailers",
        "x-flow-device-id": _device_id(),
        "x-nonce": nonce,
        "x-timestamp": timestamp,
        "x-signature": sign(timestamp, nonce, authorization),
    }


def request_body(model: str, messages: Messages, temperature: float | None) -> dict[str, Any]:
    """The body of a request. Raises ``PromptError`` for invalid messages."""
    plain = read_messages(messages, images=False, who="FlowGPT")
    history = [message for message in _with_extra_fields(messages, plain)[:-1] if message["role"] != "system"]
    system = "\n".join(message["content"] for message in plain if message["role"] == "system")
    return {
        "model": model,
        "nsfw": False,
        "question": plain[-1]["content"],
        "history": [GREETING, *history],
        "system": system or SYSTEM_PROMPT,
        "temperature": temperature,
        "promptId": f"model-{model}",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }


def _with_extra_fields(messages: Messages, plain: Sequence[Message]) -> list[dict[str, Any]]:
    """The ``plain`` messages with the further fields of ``messages``, which the protocol passes on."""
    if len(messages) != len(plain):
        return [dict(message) for message in plain]
    return [{**original, **message} for original, message in zip(messages, plain, strict=True)]


@dataclass(frozen=True)
class _ResolvedServer:
    """The server, resolved once per batch. ``notice`` is for every request, empty for none."""

    endpoint: Endpoint
    token: str = field(repr=False)
    notice: str = ""

    @classmethod
    def resolve(cls, options: Mapping[str, Any]) -> _ResolvedServer:
        """The server for the settings ``options``. Raises ``SettingError`` and ``ProxyError``."""
        chosen = load(options)
        url = http.check_base_url(chosen.base_url, chosen.sources.get("base_url", "default"))
        token = http.check_token(chosen.token, chosen.sources.get("token", "default"))
        is_exposed = token and http.crosses_open_network(url)
        notice = f"the token goes to {url.host} unencrypted; use https if that server can" if is_exposed else ""
        return cls(http.resolve_endpoint(url.joinpath(PATH.strip("/")), _route(url, chosen)), token, notice)


def _route(url: URL, chosen: Settings) -> Route:
    if url.host == PUBLIC_HOST:
        advice = (
            f"The public service may not answer: point {variable('base_url')} at a server that does, or use "
            f"the embedded model ({installing.module('install-model')})."
        )
    elif alias := alias_of(chosen, "base_url"):
        advice = f"The address is that of the alias {alias}; %flowgpt update {alias} --endpoint URL changes it."
    else:
        advice = f"The address is the setting base_url, {variable('base_url')} in the environment."
    token = f"The token is the setting token, {variable('token')} in the environment."
    if alias := alias_of(chosen, "token"):
        token = f"The token is that of the alias {alias}; %flowgpt update {alias} --key-variable NAME changes it."
    return Route.from_settings(chosen, token=chosen.token, unreachable=advice, unauthorized=token)


class FlowGpt(AsyncGeneratorProvider, ProviderModelMixin):
    """Asks a server that speaks the FlowGPT v3 protocol: the public service, or a gateway.

    The setting ``base_url`` selects the server. ``working`` is False because the public service has not been seen to
    answer lately.
    """

    url: ClassVar[str] = "https://flowgpt.com/chat"
    about: ClassVar[str] = "Asks a server that speaks the FlowGPT v3 protocol: the public service, or a gateway."
    working: ClassVar[bool] = False
    settings: ClassVar[tuple[str, ...]] = ("base_url", "token", *CONNECTION)
    default_model: ClassVar[str] = "gpt-3.5-turbo"
    models: ClassVar[list[str]] = [
        "gpt-3.5-turbo",
        "gpt-3.5-long",
        "gpt-4-turbo",
        "google-gemini",
        "claude-instant",
        "claude-v1",
        "claude-v2",
        "llama2-13b",
        "mythalion-13b",
        "pygmalion-13b",
        "chronos-hermes-13b",
        "Mixtral-8x7B",
        "Dolphin-2.6-8x7B",
    ]
    model_aliases: ClassVar[dict[str, str]] = {"gemini": "google-gemini", "gemini-pro": "google-gemini"}

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - the server decides
        """Which server the answer depends on."""
        if chosen.base_url == TABLE["base_url"].default:
            return "unknown: set base_url to a server that answers"
        return f"if the server at {redact(chosen.base_url)} does"

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float | None = TEMPERATURE,
        *,
        base_url: str | None = None,
        token: str | None = None,
        trust_env: bool | None = None,
        ca_bundle: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        line_limit: int | None = None,
        **kwargs: Any,  # noqa: ARG003 - not part of the protocol
    ) -> AsyncGenerator[str | Usage, None]:
        """The chunks of the reply as their lines arrive. An empty reply causes a notice.

        Raises ``SettingError``, ``ProxyError``, ``PromptError`` and ``ModelNotSupportedError`` before anything is sent,
        and subclasses of ``ProviderError`` afterwards.

        Args:
            model: a name or alias from ``models``; empty for the default model.
            messages: the conversation; system messages become the system prompt.
            proxy: URL of an HTTP proxy, empty for a direct connection; None for the setting.
            temperature: 0.7 by default; None sends null.
            base_url: scheme and host of the server; None for the setting.
            token: None for the setting; empty for none.
            trust_env: use the proxy that the environment names; None for the setting.
            ca_bundle: PEM file or folder of certificate authorities; None for the setting.
            client_cert: PEM file of the client certificate; None for the setting.
            client_key: PEM file of its private key; None for the setting.
            connect_timeout: seconds until there is a connection; None for the setting.
            read_timeout: seconds without a byte; None for the setting.
            line_limit: bytes of the longest line; None for the setting.
            **kwargs: ignored.
        """
        check_messages(messages)
        temperature = check_temperature(temperature)
        connection = {"base_url": base_url, "token": token, "proxy": proxy, "trust_env": trust_env}
        tls = {"ca_bundle": ca_bundle, "client_cert": client_cert, "client_key": client_key}
        limits = {"connect_timeout": connect_timeout, "read_timeout": read_timeout, "line_limit": line_limit}
        server = call_once(_ResolvedServer.resolve, {**connection, **tls, **limits})
        body = request_body(cls.get_model(model), messages, temperature)
        if server.notice:
            notice(server.notice)
        reader, surrogates = EventReader(), SurrogateJoiner()
        empty = True
        async with http.request("POST", server.endpoint, request_headers(server.token), body) as response:
            async for lines in response.lines():
                if (texts := reader.read_texts(lines)) is not None:
                    for chunk in surrogates.join_all(texts):
                        empty = False
                        yield chunk
                    continue
                for line in lines:
                    text, failure = reader.read(line)
                    if chunk := surrogates.join(text):
                        empty = False
                        yield chunk
                    if failure is not None:
                        raise failure
            if (failure := reader.end()) is not None:
                raise failure
        if rest := surrogates.finish():
            yield rest
        elif empty:
            notice(f"{server.endpoint.url.host} sent an empty reply")
