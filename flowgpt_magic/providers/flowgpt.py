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
from flowgpt_magic.messages import Message, Messages, Usage, notice
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.providers.arguments import check_messages, check_temperature
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.characters import WholeCharacters
from flowgpt_magic.providers.flowgpt_events import EventReader
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.body import ENCODINGS
from flowgpt_magic.providers.http.connection import Peer, Route
from flowgpt_magic.providers.request_group import call_once
from flowgpt_magic.redaction import redact
from flowgpt_magic.settings import CONNECTION, TABLE, Settings, load, variable

PATH = "/v3/chat-anonymous"
GREETING = {"role": "assistant", "content": "Hello, how can I help you today?"}
SYSTEM_PROMPT = "You are helpful assistant. Follow the user's instructions carefully."
TEMPERATURE = 0.7  # what a client of the protocol sends that was told none
PUBLIC_HOST = URL(str(TABLE["base_url"].default)).host
DEVICE_CHARACTERS = string.ascii_lowercase + string.digits


def sign(timestamp: str, nonce: str, authorization: str) -> str:
    """The signature of a request: an integrity tag of the protocol, no secret."""
    tag = hashlib.md5(f"{timestamp}-{nonce}-{authorization}".encode("ascii"), usedforsecurity=False)
    return tag.hexdigest()


def _device_id() -> str:
    """19 characters by chance, from one number: to choose each by itself takes ten times as long."""
    number, found = secrets.randbelow(len(DEVICE_CHARACTERS) ** 19), ""
    for _ in range(19):
        number, place = divmod(number, len(DEVICE_CHARACTERS))
        found += DEVICE_CHARACTERS[place]
    return found


def request_headers(token: str) -> dict[str, str]:
    """The headers of one request: those of the web client, and its signature."""
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
        "x-flow-device-id": f"f-{_device_id()}",
        "x-nonce": nonce,
        "x-timestamp": timestamp,
        "x-signature": sign(timestamp, nonce, authorization),
    }


def request_body(model: str, messages: Messages, temperature: float | None) -> dict[str, Any]:
    """What is asked, in the order of the protocol; raises ``PromptError`` for messages that are none."""
    said = read_messages(messages, images=False, who="FlowGPT")
    system = "\n".join(message["content"] for message in said if message["role"] == "system")
    return {
        "model": model,
        "nsfw": False,
        "question": said[-1]["content"],
        "history": [GREETING, *(message for message in _whole(messages, said)[:-1] if message["role"] != "system")],
        "system": system or SYSTEM_PROMPT,
        "temperature": temperature,
        "promptId": f"model-{model}",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }


def _whole(given: Messages, said: Sequence[Message]) -> list[dict[str, Any]]:
    """``said``, each with the further fields that it was given, which the protocol passes on."""
    if len(given) != len(said):
        return [dict(message) for message in said]
    return [{**one, **message} for one, message in zip(given, said, strict=True)]


@dataclass(frozen=True)
class _Server:
    """Who is asked, and how: the same for all requests of a batch. ``told`` is a notice for each, if there is one."""

    peer: Peer
    token: str = field(repr=False)
    told: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> _Server:
        """The server that the settings name; raises ``SettingError`` and ``ProxyError``."""
        chosen = load(given)
        url = http.check_base_url(chosen.base_url, chosen.sources.get("base_url", "default"))
        token = http.check_token(chosen.token, chosen.sources.get("token", "default"))
        open_way = token and http.crosses_open_network(url)
        told = f"the token goes to {url.host} unencrypted; use https if that server can" if open_way else ""
        return cls(http.reach(url.joinpath(PATH.strip("/")), _route(url, chosen)), token, told)


def _route(url: URL, chosen: Settings) -> Route:
    if url.host == PUBLIC_HOST:
        advice = (
            f"The public service is not known to answer: point {variable('base_url')} at a server that does, or use "
            f"the embedded model ({installing.module('install-model')})."
        )
    else:
        advice = f"The address is the setting base_url, {variable('base_url')} in the environment."
    token = f"The token is the setting token, {variable('token')} in the environment."
    return Route.from_settings(chosen, token=chosen.token, unreachable=advice, unauthorized=token)


class FlowGpt(AsyncGeneratorProvider, ProviderModelMixin):
    """Asks a server that speaks the FlowGPT v3 protocol: the public service, or a gateway.

    The base URL says which. Nobody has seen the public service answer lately, hence ``working`` is False.
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
        """Which server it hangs on."""
        if chosen.base_url == TABLE["base_url"].default:
            return "not known to: set base_url to a server that does"
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
        **kwargs: Any,  # noqa: ARG003 - the protocol has no place for them
    ) -> AsyncGenerator[str | Usage, None]:
        """The chunks of the reply, each as its line arrives; an empty reply is told as a notice.

        The keyword arguments are the settings of the same names, and None means what is set there; so does a
        ``proxy`` of None, while an empty one means a direct connection. Timeouts are in seconds, ``line_limit`` in
        bytes. Raises ``SettingError``, ``ProxyError``, ``PromptError`` and ``ModelNotSupportedError`` before anything
        is sent, and kinds of ``ProviderError`` after.
        """
        check_messages(messages)
        temperature = check_temperature(temperature)
        given = {"base_url": base_url, "token": token, "proxy": proxy, "trust_env": trust_env}
        tls = {"ca_bundle": ca_bundle, "client_cert": client_cert, "client_key": client_key}
        limits = {"connect_timeout": connect_timeout, "read_timeout": read_timeout, "line_limit": line_limit}
        server = call_once(_Server.of, {**given, **tls, **limits})
        body = request_body(cls.get_model(model), messages, temperature)
        if server.told:
            notice(server.told)
        reader, characters = EventReader(), WholeCharacters()
        empty = True
        async with http.request("POST", server.peer, request_headers(server.token), body) as response:
            async for lines in response.lines():
                if (texts := reader.read_texts(lines)) is not None:
                    for chunk in characters.mend_each(texts):
                        empty = False
                        yield chunk
                    continue
                for line in lines:
                    text, failure = reader.read(line)
                    if chunk := characters.mend(text):
                        empty = False
                        yield chunk
                    if failure is not None:
                        raise failure
            if (failure := reader.end()) is not None:
                raise failure
        if rest := characters.rest():
            yield rest
        elif empty:
            notice(f"{server.peer.url.host} sent an empty reply")
