"""From what the HTTP library and an HTTP status say to our errors, each with what to try next."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Any

import aiohttp
from aiohttp.http import HttpProcessingError

from flowgpt_magic.errors import (
    AuthenticationError,
    ConnectTimeoutError,
    PermissionDeniedError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    RateLimitError,
    StreamInterruptedError,
)
from flowgpt_magic.plain_text import one_line
from flowgpt_magic.providers.http_connection import Peer

SHOWN = 500  # characters of the body of an error status
CHALLENGES = ("Just a moment...", "Attention Required! | Cloudflare")  # titles of the bot checks
REPORTING = ("error", "message", "detail")  # what an object that reports a failure has
EXPLAINING = ("message", "msg", "detail", "error")  # where in there the words are
HIDDEN_ELEMENTS = ("script", "style", "template", "noscript")


def explain(error: Exception, peer: Peer) -> ProviderError:
    """Our error for one of the HTTP library's, with the host, the cause and what to try."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        limit = f"within {peer.route.connect_timeout:g} s"
        return ConnectTimeoutError(_sentence(f"no connection to {peer.host} {limit}", peer.route.unreachable))
    if isinstance(error, asyncio.TimeoutError):
        return timeout_error(peer)
    if isinstance(error, aiohttp.ClientPayloadError | HttpProcessingError):
        return StreamInterruptedError(f"{peer.host} ended the connection before the reply was complete")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refused(error.status, peer)
    if isinstance(error, aiohttp.ClientConnectorError | UnicodeError):
        return _not_connected(error, peer)
    if isinstance(error, aiohttp.ClientResponseError):
        return ProtocolError(f"{peer.host} does not answer in HTTP as it should: {one_line(error.message)[:200]}")
    if isinstance(error, aiohttp.ClientConnectionError):
        return StreamInterruptedError(f"{peer.host} closed the connection without an answer")
    return ProviderConnectionError(
        _sentence(f"{peer.host} could not be asked: {type(error).__name__}", peer.route.unreachable)
    )


def timeout_error(peer: Peer) -> ProviderTimeoutError:
    """Nothing moved for longer than the read timeout."""
    return ProviderTimeoutError(f"{peer.host} was silent for {peer.route.read_timeout:g} s (setting read_timeout)")


def _not_connected(error: Exception, peer: Peer) -> ProviderConnectionError:
    cause, attempt = _cause(error)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return ProviderConnectionError(
            f"no connection to the proxy {peer.proxy.url} of {peer.host}: {cause}; {attempt}"
        )
    return ProviderConnectionError(
        _sentence(f"no connection to {peer.host}: {cause}; {attempt}", peer.route.unreachable),
        lasting=isinstance(error, aiohttp.ClientConnectorCertificateError | UnicodeError),
    )


def _cause(error: Exception) -> tuple[str, str]:
    """Why there is no connection, and what to try."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
        return f"TLS failed, its certificate was refused ({reason})", "check the address and this machine's clock"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _cause_of_os_error(error)
    return "this cannot be the name of a host", "check the address"


def _cause_of_os_error(error: aiohttp.ClientConnectorError) -> tuple[str, str]:
    os_error = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name was not found", "check the address and the network"
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(os_error, ssl.SSLError):
        reason = getattr(os_error, "reason", None) or "no handshake"
        return f"TLS failed ({reason})", "check whether the server speaks https or http"
    if isinstance(os_error, ConnectionRefusedError):
        return "connection refused", "check that the server runs and the port is right"
    text = os.strerror(os_error.errno) if os_error.errno else str(os_error)
    return one_line(text) or type(os_error).__name__, "check the address and the network"


def _proxy_refused(status: int, peer: Peer) -> ProviderConnectionError:
    attempt = "check its user and password" if status == 407 else "ask who runs it, or go without"
    text = f"the proxy {peer.proxy.url} refused to connect to {peer.host} ({status}); {attempt}"
    # A proxy may lock the account of whoever sends a wrong password several times.
    return ProviderConnectionError(_sentence(text, peer.route.unreachable), lasting=status < 500)


def status_error(status: int, headers: Mapping[str, str], body: bytes, peer: Peer) -> ProviderError:
    """The error for an HTTP status that is not a success; ``body`` is what came with it, or its beginning."""
    page = body.decode("utf-8", "replace")
    if status == 407 and peer.proxy.url:
        return _proxy_refused(status, peer)
    if status < 400:
        return _redirect_error(status, headers, peer)
    if status == 403 and (headers.get("cf-mitigated") == "challenge" or any(mark in page for mark in CHALLENGES)):
        text = f"{peer.host} answered 403: a bot check stands in the way, which only a browser can pass"
        return PermissionDeniedError(_sentence(text, peer.route.unreachable), status)
    shown, delay = message_of(page)[:SHOWN], retry_delay(headers)
    message = f"{peer.host} answered {status}" + (f": {shown}" if shown else "")
    if delay is not None:
        message += f"; it asks to wait {delay:.0f} s"
    if status == 401:
        return AuthenticationError(_sentence(message, peer.route.unauthorized), status, delay)
    kinds = {402: RateLimitError, 403: PermissionDeniedError, 429: RateLimitError}
    return kinds.get(status, ProviderStatusError)(message, status, delay)


def _redirect_error(status: int, headers: Mapping[str, str], peer: Peer) -> ProviderStatusError:
    target = one_line(headers.get("Location", ""))[:200] or "somewhere"
    return ProviderStatusError(
        f"{peer.host} answered {status}: it redirects to {target}, where nothing was sent; if you trust that address, "
        "make it the base URL",
        status,
    )


def retry_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait, or None when it does not say.

    ``Retry-After`` is a number of seconds or an HTTP date (RFC 9110, section 10.2.3); some send ``retry-after-ms``,
    a number of milliseconds, which is more exact.
    """
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", exact := headers.get("retry-after-ms", "").strip()):
        return float(exact) / 1000
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def failure_text(report: Mapping[str, Any]) -> str:
    """What an object that reports a failure says, in a line of at most 500 characters."""
    words: list[str] = []
    for name in ("statusCode", "error", "message", "detail", "data"):
        text = _words(report.get(name))
        if text and text not in words:
            words.append(text)
    return one_line(": ".join(words))[:SHOWN] or "it does not say why"


def _words(value: Any, depth: int = 4) -> str:
    """The words of a value that explains a failure: a text, or an object or a list that holds one."""
    if isinstance(value, Mapping) and depth:
        text = next((_words(value[name], depth - 1) for name in EXPLAINING if value.get(name)), "")
        place = ".".join(str(part) for part in value["loc"]) if isinstance(value.get("loc"), list) else ""
        return f"{place}: {text}" if place and text else text or str(value)
    if isinstance(value, list) and depth:
        return ", ".join(_words(each, depth - 1) for each in value)
    return str(value) if value else ""


def report_of(page: str) -> dict[str, Any]:
    """The object in the body of an error status; empty where there is none."""
    try:
        report = json.loads(page)
    except (ValueError, RecursionError):
        return {}
    if isinstance(report, list) and report:
        report = report[0]
    return report if isinstance(report, dict) else {}


def message_of(page: str) -> str:
    """What the body of an error status says: the message of an object that reports a failure, or all of its text."""
    report = {name: value for name, value in report_of(page).items() if name in REPORTING and value}
    return failure_text(report) if report else readable(page)


def readable(page: str) -> str:
    """The text of a page: without HTML tags, in one line."""
    if not re.search(r"<(!doctype|html|head|body|title|h1|p|div|center)\b", page, re.IGNORECASE):
        return one_line(page)
    reader = _TextReader()
    reader.feed(page)
    reader.close()
    return one_line(" ".join(reader.texts))


def _sentence(text: str, advice: str) -> str:
    return f"{text}. {advice}" if advice else text


class _TextReader(HTMLParser):
    """Collects the text between the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._hidden += tag in HIDDEN_ELEMENTS

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in HIDDEN_ELEMENTS))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)
