"""Authenticate a request to the gateway, and read its body."""

from __future__ import annotations

import asyncio
import heapq
import hmac
import ipaddress
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http import HttpProcessingError
from yarl import URL

from flowgpt_magic.messages import Message
from flowgpt_magic.providers.flowgpt import GREETING, SYSTEM_PROMPT, sign

CLOCK_SKEW = 300  # seconds that the client's clock may differ from ours, in either direction
MAX_NONCES = 200_000  # about 30 MB; a nonce is kept as long as its timestamp is accepted
BODY_TIMEOUT = 30.0  # seconds for the body to arrive
MAX_TEMPERATURE = 2
HISTORY_ROLES = ("system", "user", "assistant")


class StatusError(Exception):
    """The request is answered with this HTTP status, text and headers instead of a reply."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True)
class ChatRequest:
    """The content of a request; a temperature of None is the provider's default."""

    model: str
    messages: list[Message]
    temperature: float | None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Authenticator:
    """Checks host, token, signature, timestamp and nonce of requests.

    ``host`` is the one that the gateway listens on; an empty ``token`` requires none.
    """

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._token = token
        self._nonces: set[str] = set()
        self._expiries: list[tuple[int, str]] = []  # a heap of (time from which the timestamp is refused, nonce)

    def check(self, request: web.BaseRequest) -> None:
        """Raise ``StatusError`` for a request that must not be answered."""
        self.check_host(request)
        self._check_token(request.headers.get("Authorization", ""))
        if request.content_type != "application/json":
            raise StatusError(415, "the body must be application/json")
        self._check_signature(request.headers)

    def check_host(self, request: web.BaseRequest) -> None:
        """Refuse foreign names on loopback (DNS rebinding). Behind a token any name is accepted."""
        named = request.headers.get("Host")
        if named is None and request.version > HttpVersion10:
            raise StatusError(400, "the request has no Host header")
        # HTTP/1.0 allows requests without Host, but no browser sends them.
        if named is None or self._token or not is_loopback(self._host):
            return
        try:
            host = URL(f"http://{named}").host or ""
        except ValueError:
            host = ""
        if not is_loopback(host):
            raise StatusError(403, "this gateway answers only requests from this machine, addressed to localhost")

    def _check_token(self, authorization: str) -> None:
        wanted = f"Bearer {self._token}"
        if self._token and not hmac.compare_digest(authorization.encode("utf-8", "replace"), wanted.encode()):
            raise StatusError(401, "this gateway requires a token", {"WWW-Authenticate": "Bearer"})

    def _check_signature(self, headers: Mapping[str, str]) -> None:
        timestamp, nonce = headers.get("x-timestamp", ""), headers.get("x-nonce", "")
        authorization = headers.get("Authorization", "")
        if not re.fullmatch("[0-9]{1,12}", timestamp) or not re.fullmatch("[0-9a-zA-Z-]{8,64}", nonce):
            raise StatusError(403, "the request is not signed")
        if not authorization.isascii() or not hmac.compare_digest(
            headers.get("x-signature", "").encode("utf-8", "replace"), sign(timestamp, nonce, authorization).encode()
        ):
            raise StatusError(403, "the signature is wrong")
        now = time.time()
        if abs(now - int(timestamp)) > CLOCK_SKEW:
            raise StatusError(403, f"the clocks of client and gateway differ by {now - int(timestamp):+.0f} s")
        self._check_nonce(nonce, int(timestamp), now)

    def _check_nonce(self, nonce: str, timestamp: int, now: float) -> None:
        """Refuse a nonce that was used before; each is kept until its timestamp is refused anyway."""
        while self._expiries and self._expiries[0][0] < now:
            self._nonces.discard(heapq.heappop(self._expiries)[1])
        if nonce in self._nonces:
            raise StatusError(403, "this request was sent before")
        if len(self._nonces) >= MAX_NONCES:
            seconds = max(1, round(self._expiries[0][0] - now))
            raise StatusError(503, "too many requests in the last minutes", {"Retry-After": str(seconds)})
        self._nonces.add(nonce)
        heapq.heappush(self._expiries, (timestamp + CLOCK_SKEW, nonce))


async def read_chat_request(request: web.BaseRequest, max_body: int) -> ChatRequest:
    """Read the body, of at most ``max_body`` bytes.

    Raises ``StatusError`` if it is too large, too slow or not in the format of the protocol.
    """
    if (request.content_length or 0) > max_body:
        raise _too_large(max_body)
    await _invite_body(request)
    try:
        body = await asyncio.wait_for(_read_body(request, max_body), BODY_TIMEOUT)
    except asyncio.TimeoutError:
        raise StatusError(408, f"the body did not arrive within {BODY_TIMEOUT:g} s") from None
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise StatusError(400, "the body is not JSON") from None
    if not isinstance(fields, dict):
        raise StatusError(400, "the body is not a JSON object")
    model = fields.get("model") or ""
    if not isinstance(model, str):
        raise StatusError(400, "model is not text")
    return ChatRequest(model, _messages(fields), _temperature(fields.get("temperature")))


async def _invite_body(request: web.BaseRequest) -> None:
    """Send ``100 Continue`` if the client waits for it."""
    expected = request.headers.get("Expect", "").lower()
    if not expected or request.version < HttpVersion11:
        return
    if expected != "100-continue":
        raise StatusError(417, "the only supported value of Expect is 100-continue")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the reply has not begun


async def _read_body(request: web.BaseRequest, max_body: int) -> bytes:
    body = bytearray()
    try:
        while block := await request.content.readany():
            body += block
            if len(body) > max_body:
                raise _too_large(max_body)
    except (web.RequestPayloadError, HttpProcessingError):
        raise StatusError(400, "the body does not match its Transfer-Encoding or Content-Encoding header") from None
    return bytes(body)


def _too_large(max_body: int) -> StatusError:
    return StatusError(413, f"the body is longer than {max_body} bytes")


def _messages(fields: Mapping[str, Any]) -> list[Message]:
    """The messages for the provider, without the greeting and system prompt that the protocol adds."""
    question, history, system = fields.get("question"), fields.get("history", []), fields.get("system", "")
    if not isinstance(question, str) or not isinstance(system, str) or not isinstance(history, list):
        raise StatusError(400, "question and system must be text, history must be a list")
    messages = [_message(entry) for entry in history]
    if messages[:1] == [GREETING]:
        del messages[0]
    if system and system != SYSTEM_PROMPT:
        messages.insert(0, {"role": "system", "content": system})
    messages.append({"role": "user", "content": question})
    return messages


def _message(entry: Any) -> Message:
    if isinstance(entry, dict) and entry.get("role") in HISTORY_ROLES and isinstance(entry.get("content"), str):
        return {"role": entry["role"], "content": entry["content"]}
    raise StatusError(400, f"each message of the history needs a role ({', '.join(HISTORY_ROLES)}) and text content")


def _temperature(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) in (int, float) and 0 <= value <= MAX_TEMPERATURE:
        return float(value)
    raise StatusError(400, f"temperature must be a number from 0 to {MAX_TEMPERATURE}")


def choose_model(requested: str, default: str, choices: Iterable[str]) -> str:
    """``requested`` if it is one of ``choices``, else ``default``."""
    return requested if requested in choices else default
