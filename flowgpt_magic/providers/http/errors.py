"""From what the HTTP library and an HTTP status say to our errors, each with what to try next."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser

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
from flowgpt_magic.providers.failure_reports import SHOWN, WORDS, asked_wait, failure_text, refused_by_base, report_of
from flowgpt_magic.providers.http.connection import Peer
from flowgpt_magic.providers.rate_limit_headers import wait_until_reset
from flowgpt_magic.text import cut_between_words, one_line, sentences

CHALLENGES = ("Just a moment...", "Attention Required! | Cloudflare")  # titles of the bot checks
# OpenSSL's numbers (x509_vfy.h) for a certificate that is not valid yet or no more, and for one of another host.
WRONG_TIME = (9, 10)
WRONG_NAME = (62, 63, 64)
HANDSHAKE_ADVICE = {
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server may ask for a client certificate (settings client_cert, client_key)"
}
CLIENT_CERTIFICATE = re.compile("ALERT_((BAD|NO|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_|UNKNOWN_CA)")
NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
SECONDS = re.compile(rf"({NUMBER.pattern})\s*(?:s|secs?|seconds?)?", re.IGNORECASE | re.ASCII)
EPOCH_SECONDS = 10**9  # a number as large as this is a time, in seconds since 1970, and no wait
HIDDEN_ELEMENTS = ("script", "style", "template", "noscript")


def explain(error: Exception, peer: Peer) -> ProviderError:
    """Our error for one of the HTTP library's, with the host, the cause and what to try."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        limit = f"within {peer.route.connect_timeout:g} s (setting connect_timeout)"
        return ConnectTimeoutError(sentences(f"no connection to {_place(peer)} {limit}", *_advice(peer)))
    if isinstance(error, asyncio.TimeoutError):
        return timeout_error(peer)
    if isinstance(error, aiohttp.ClientPayloadError | HttpProcessingError):
        return cut_off(peer)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refused(error.status, error.headers or {}, peer)
    if isinstance(error, aiohttp.ClientConnectorError | UnicodeError):
        return _not_connected(error, peer)
    if isinstance(error, aiohttp.ClientResponseError):
        said = cut_between_words(one_line(peer.hide_secrets(error.message)), 200)
        return ProtocolError(sentences(f"{peer.host} does not answer in HTTP as it should: {said}"))
    if CLIENT_CERTIFICATE.search(str(error)):
        refused = f"{peer.host} asks for a client certificate, or does not take the one it got"
        text = sentences(f"{refused}; check the settings client_cert and client_key")
        return ProviderConnectionError(text, lasting=True)
    if isinstance(error, aiohttp.ClientConnectionError):
        text = f"{_place(peer)} closed the connection without an answer"
        speaks = "check whether it speaks https" if peer.url.scheme == "http" else ""
        return StreamInterruptedError(sentences(f"{text}; {speaks}" if speaks else text, _unused_proxy(peer)))
    return ProviderConnectionError(
        sentences(f"{_place(peer)} could not be asked: {type(error).__name__}", *_advice(peer))
    )


def cut_off(peer: Peer) -> StreamInterruptedError:
    """The body ended before it was whole."""
    return StreamInterruptedError(sentences(f"{peer.host} ended the connection before the reply was complete"))


def timeout_error(peer: Peer) -> ProviderTimeoutError:
    """Nothing moved for longer than the read timeout."""
    silent = f"{peer.host} was silent for {peer.route.read_timeout:g} s"
    return ProviderTimeoutError(sentences(f"{silent}; to wait longer, use --timeout SECONDS (setting read_timeout)"))


def _place(peer: Peer) -> str:
    """The host, and the proxy on the way to it."""
    if peer.proxy.url is None:
        return peer.host
    return f"{peer.host} through the proxy {peer.proxy.url} ({peer.proxy.source})"


def _advice(peer: Peer) -> tuple[str, ...]:
    """What to try where no connection came about."""
    return _unused_proxy(peer), peer.route.unreachable


def _unused_proxy(peer: Peer) -> str:
    unused = peer.unused_proxy
    if unused.url is None:
        return ""
    return f"The proxy {unused.url} ({unused.source}) was not used; the setting trust_env = on would use it"


def _not_connected(error: Exception, peer: Peer) -> ProviderConnectionError:
    cause, attempt = _cause(error, peer)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        place = f"the proxy {peer.proxy.url} of {peer.host} ({peer.proxy.source})"
        return ProviderConnectionError(sentences(f"no connection to {place}: {cause}; {attempt}"))
    return ProviderConnectionError(
        sentences(f"no connection to {_place(peer)}: {cause}; {attempt}", *_advice(peer)),
        lasting=isinstance(error, aiohttp.ClientConnectorCertificateError | UnicodeError),
        refused=isinstance(getattr(error, "os_error", None), ConnectionRefusedError),
    )


def _cause(error: Exception, peer: Peer) -> tuple[str, str]:
    """Why there is no connection, and what to try."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _cause_of_certificate(error.certificate_error, peer)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _cause_of_os_error(error)
    return "this cannot be the name of a host", "check the address"


def _cause_of_certificate(error: Exception, peer: Peer) -> tuple[str, str]:
    reason = getattr(error, "verify_message", "") or "it is not valid"
    code = getattr(error, "verify_code", 0)
    if code in WRONG_TIME:
        attempt = "check this machine's clock, or tell whoever runs the server"
    else:
        attempt = "check the address" if code in WRONG_NAME else peer.route.tls.advice
    return f"TLS failed, its certificate was refused ({reason.rstrip('.')})", attempt


def _cause_of_os_error(error: aiohttp.ClientConnectorError) -> tuple[str, str]:
    os_error = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name was not found", "check the address and the network"
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(os_error, ssl.SSLError):
        reason = getattr(os_error, "reason", None) or "no handshake"
        if CLIENT_CERTIFICATE.search(reason):
            return f"TLS failed ({reason})", "check the settings client_cert and client_key"
        return f"TLS failed ({reason})", HANDSHAKE_ADVICE.get(reason, "check whether the server speaks https or http")
    if isinstance(os_error, ConnectionRefusedError):
        return "connection refused", "check that the server runs and the port is right"
    text = os.strerror(os_error.errno) if os_error.errno else str(os_error)
    return one_line(text) or type(os_error).__name__, "check the address and the network"


def _proxy_refused(status: int, headers: Mapping[str, str], peer: Peer) -> ProviderError:
    attempt = "check its user and password" if status == 407 else "ask who runs it, or go without"
    text = f"the proxy {peer.proxy.url} ({peer.proxy.source}) refused to connect to {peer.host} ({status})"
    delay = retry_delay(headers)
    if delay is not None and status != 407:
        return ProviderStatusError(sentences(f"{text}; {_wait_text(delay)}"), status, delay)
    # A proxy may lock the account of whoever sends a wrong password several times.
    return ProviderConnectionError(sentences(f"{text}; {attempt}", peer.route.unreachable), lasting=status < 500)


def _wait_text(seconds: float) -> str:
    return f"it asks to wait {seconds:,.0f} s" if seconds >= 10 else f"it asks to wait {seconds:.2g} s"


def status_error(status: int, headers: Mapping[str, str], body: bytes, peer: Peer) -> ProviderError:
    """The error for an HTTP status that is not a success; ``body`` is what came with it, or its beginning."""
    page = peer.hide_known(body.decode("utf-8", "replace"))
    if status == 407 and peer.proxy.url:
        return _proxy_refused(status, headers, peer)
    if status < 400:
        return _redirect_error(status, headers, peer)
    if status == 403 and (headers.get("cf-mitigated") == "challenge" or any(mark in page for mark in CHALLENGES)):
        text = f"{peer.host} answered 403: a bot check stands in the way, which only a browser can pass"
        return PermissionDeniedError(sentences(text, peer.route.unreachable), status)
    shown, delay = cut_between_words(peer.hide_secrets(message_of(page)), SHOWN), retry_delay(headers)
    if delay is None:
        delay = asked_wait(report_of(page), shown)
    if delay is None and status == 429:
        delay = wait_until_reset(headers)
    message = f"{peer.host} answered {status}" + (f": {shown}" if shown else "")
    if delay:
        message = f"{message.rstrip('. ')}; {_wait_text(delay)}"
    if status == 401:
        return AuthenticationError(sentences(message, peer.route.unauthorized), status, delay)
    kinds = {402: RateLimitError, 403: PermissionDeniedError, 429: RateLimitError}
    return kinds.get(status, ProviderStatusError)(sentences(message), status, delay)


def _redirect_error(status: int, headers: Mapping[str, str], peer: Peer) -> ProviderStatusError:
    target = cut_between_words(one_line(peer.hide_secrets(headers.get("Location", ""))), 200) or "somewhere"
    said = f"{peer.host} answered {status}: it redirects to {target}, where nothing was sent"
    return ProviderStatusError(sentences(f"{said}; if you trust that address, make it the base URL"), status)


def retry_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait, or None when it does not say.

    ``Retry-After`` is a number of seconds or an HTTP date (RFC 9110, section 10.2.3). Some servers add a unit, or send
    a time as seconds since 1970. OpenAI and Azure send ``retry-after-ms`` or ``x-ms-retry-after-ms``, a number of
    milliseconds, which is more exact.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if NUMBER.fullmatch(exact := headers.get(name, "").strip()):
            return float(exact) / 1000
    value = headers.get("Retry-After", "").strip()
    if found := SECONDS.fullmatch(value):
        seconds = float(found[1])
        return seconds if seconds < EPOCH_SECONDS else max(0.0, seconds - datetime.now(timezone.utc).timestamp())
    moment = _moment(value)
    if moment is None:
        return None
    # The server's own clock tells how far away that is; ours may be wrong.
    now = _moment(headers.get("Date", "")) or datetime.now(timezone.utc)
    return max(0.0, (moment - now).total_seconds())


def _moment(text: str) -> datetime | None:
    """The time that an HTTP date names; one without a zone is in UTC."""
    try:
        moment = parsedate_to_datetime(text.strip())
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def message_of(page: str) -> str:
    """What the body of an error status says: the message of an object that reports a failure, or all of its text."""
    found = report_of(page)
    report = {name: value for name, value in found.items() if name in WORDS and value}
    if refused_by_base(found):
        report["base_resp"] = found["base_resp"]
    return failure_text(report) if report else readable(page)


def readable(page: str) -> str:
    """The text of a page: without HTML tags, in one line."""
    if not re.search(r"<(!doctype|html|head|body|title|h1|p|div|center)\b", page, re.IGNORECASE):
        return one_line(page)
    reader = _TextReader()
    reader.feed(page)
    reader.close()
    return one_line(" ".join(reader.texts))


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
