"""What a gateway makes of a request before anyone answers it: is it allowed, is it well formed, what does it ask."""

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

CLOCK_SKEW = 300  # seconds between the client's clock and ours
NONCES_KEPT = 200_000  # some 30 MB; a nonce is kept for as long as its timestamp is accepted
BODY_TIMEOUT = 30.0  # seconds for the body to arrive
HIGHEST_TEMPERATURE = 2
SPEAKERS = ("system", "user", "assistant")


class RefusedError(Exception):
    """The request is not answered; the client gets this status, and the text as its reason."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True)
class Question:
    """What a client asks: by which model, after which messages; a temperature of None is the provider's own."""

    model: str
    messages: list[Message]
    temperature: float | None


def is_loopback(host: str) -> bool:
    """Is this a name or address that only this machine itself reaches?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Doorkeeper:
    """Lets in requests that are signed, fresh and new, and bring the token where there is one."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._token = token
        self._nonces: set[str] = set()
        self._expiries: list[tuple[int, str]] = []  # a heap: when the timestamp of each nonce is no longer accepted

    def check(self, request: web.BaseRequest) -> None:
        """Raises ``RefusedError`` for a request that must not be answered."""
        self.check_host(request)
        self._check_token(request.headers.get("Authorization", ""))
        if request.content_type != "application/json":
            raise RefusedError(415, "the body must be application/json")
        self._check_signature(request.headers)

    def check_host(self, request: web.BaseRequest) -> None:
        """A web page that makes its own name point here (DNS rebinding) is a stranger; with a token it has none."""
        named = request.headers.get("Host")
        if named is None and request.version > HttpVersion10:
            raise RefusedError(400, "the request has no Host")
        # No browser leaves it out, as HTTP/1.0 allows.
        if named is None or self._token or not is_loopback(self._host):
            return
        try:
            host = URL(f"http://{named}").host or ""
        except ValueError:
            host = ""
        if not is_loopback(host):
            raise RefusedError(403, "this gateway answers this machine only, under its own name")

    def _check_token(self, authorization: str) -> None:
        wanted = f"Bearer {self._token}"
        if self._token and not hmac.compare_digest(authorization.encode("utf-8", "replace"), wanted.encode()):
            raise RefusedError(401, "this gateway wants a token", {"WWW-Authenticate": "Bearer"})

    def _check_signature(self, headers: Mapping[str, str]) -> None:
        timestamp, nonce = headers.get("x-timestamp", ""), headers.get("x-nonce", "")
        authorization = headers.get("Authorization", "")
        if not re.fullmatch("[0-9]{1,12}", timestamp) or not re.fullmatch("[0-9a-zA-Z-]{8,64}", nonce):
            raise RefusedError(403, "the request is not signed")
        if not authorization.isascii() or not hmac.compare_digest(
            headers.get("x-signature", "").encode("utf-8", "replace"), sign(timestamp, nonce, authorization).encode()
        ):
            raise RefusedError(403, "the signature is wrong")
        now = time.time()
        if abs(now - int(timestamp)) > CLOCK_SKEW:
            raise RefusedError(403, f"the clocks of client and gateway differ by {now - int(timestamp):+.0f} s")
        self._check_nonce(nonce, int(timestamp), now)

    def _check_nonce(self, nonce: str, timestamp: int, now: float) -> None:
        """Refuse a nonce that was used; none is forgotten before its timestamp is refused anyway."""
        while self._expiries and self._expiries[0][0] < now:
            self._nonces.discard(heapq.heappop(self._expiries)[1])
        if nonce in self._nonces:
            raise RefusedError(403, "this request was made before")
        if len(self._nonces) >= NONCES_KEPT:
            seconds = max(1, round(self._expiries[0][0] - now))
            raise RefusedError(503, "too many requests in the last minutes", {"Retry-After": str(seconds)})
        self._nonces.add(nonce)
        heapq.heappush(self._expiries, (timestamp + CLOCK_SKEW, nonce))


async def read_question(request: web.BaseRequest, max_body: int) -> Question:
    """What the body asks; raises ``RefusedError`` where it is too large, too slow or not the protocol.

    ``max_body`` is in bytes.
    """
    if (request.content_length or 0) > max_body:
        raise _too_large(max_body)
    await _invite_body(request)
    try:
        body = await asyncio.wait_for(_read_body(request, max_body), BODY_TIMEOUT)
    except asyncio.TimeoutError:
        raise RefusedError(408, f"the body did not arrive within {BODY_TIMEOUT:g} s") from None
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(asked, dict):
        raise RefusedError(400, "the body is not a JSON object")
    model = asked.get("model") or ""
    if not isinstance(model, str):
        raise RefusedError(400, "model is not text")
    return Question(model, _messages(asked), _temperature(asked.get("temperature")))


async def _invite_body(request: web.BaseRequest) -> None:
    """Ask for the body where the client waits until it is asked to send it."""
    expected = request.headers.get("Expect", "").lower()
    if not expected or request.version < HttpVersion11:
        return
    if expected != "100-continue":
        raise RefusedError(417, "of Expect only 100-continue is known")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # this is not yet the reply


async def _read_body(request: web.BaseRequest, max_body: int) -> bytes:
    body = bytearray()
    try:
        while block := await request.content.readany():
            body += block
            if len(body) > max_body:
                raise _too_large(max_body)
    except (web.RequestPayloadError, HttpProcessingError):
        raise RefusedError(400, "the body is not framed or compressed as its headers say") from None
    return bytes(body)


def _too_large(max_body: int) -> RefusedError:
    return RefusedError(413, f"the body is longer than {max_body} bytes")


def _messages(asked: Mapping[str, Any]) -> list[Message]:
    """The messages a provider gets: what the protocol adds of itself, greeting and system prompt, is left out."""
    question, history, system = asked.get("question"), asked.get("history", []), asked.get("system", "")
    if not isinstance(question, str) or not isinstance(system, str) or not isinstance(history, list):
        raise RefusedError(400, "question and system must be text, history a list")
    messages = [_message(each) for each in history]
    if messages[:1] == [GREETING]:
        del messages[0]
    if system and system != SYSTEM_PROMPT:
        messages.insert(0, {"role": "system", "content": system})
    messages.append({"role": "user", "content": question})
    return messages


def _message(given: Any) -> Message:
    if isinstance(given, dict) and given.get("role") in SPEAKERS and isinstance(given.get("content"), str):
        return {"role": given["role"], "content": given["content"]}
    raise RefusedError(400, f"a message of the history needs a role ({', '.join(SPEAKERS)}) and text")


def _temperature(given: Any) -> float | None:
    if given is None:
        return None
    if type(given) in (int, float) and 0 <= given <= HIGHEST_TEMPERATURE:
        return float(given)
    raise RefusedError(400, f"temperature must be a number from 0 to {HIGHEST_TEMPERATURE}")


def choose_model(asked: str, started_with: str, choices: Iterable[str]) -> str:
    """The model that answers: the one asked for where it is among ``choices``, else the one started with."""
    return asked if asked in choices else started_with
