"""Turn aiohttp's errors and HTTP statuses into our errors, each with advice."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from html.parser import HTMLParser

import aiohttp
from aiohttp.http import HttpProcessingError

from flowgpt_magic.errors import (
    ConnectTimeoutError,
    PermissionDeniedError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    StreamInterruptedError,
)
from flowgpt_magic.providers.failure_reports import (
    FAILURE_FIELDS,
    MESSAGE_LIMIT,
    STATUS_ERRORS,
    failure_text,
    has_base_resp_error,
    parse_report,
)
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.rate_limit_headers import wait_until_reset
from flowgpt_magic.providers.wait_times import requested_wait, retry_delay
from flowgpt_magic.text import cut_between_words, one_line, sentences

BOT_CHECK_TITLES = ("Just a moment...", "Attention Required! | Cloudflare")
# OpenSSL's verification errors (x509_vfy.h): not valid yet or expired; issued for another host.
VALIDITY_ERRORS = (9, 10)
HOST_NAME_ERRORS = (62, 63, 64)
HANDSHAKE_ADVICE = {
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server may ask for a client certificate (settings client_cert, client_key)"
}
CLIENT_CERTIFICATE = re.compile("ALERT_((BAD|NO|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_|UNKNOWN_CA)")
HIDDEN_ELEMENTS = ("script", "style", "template", "noscript")


def map_error(error: Exception, endpoint: Endpoint) -> ProviderError:
    """Our error for one of aiohttp's, with the host, the cause and advice."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        limit = f"within {endpoint.route.connect_timeout:g} s (setting connect_timeout)"
        return ConnectTimeoutError(
            sentences(f"no connection to {_host_and_proxy(endpoint)} {limit}", *_advice(endpoint))
        )
    if isinstance(error, asyncio.TimeoutError):
        return timeout_error(endpoint)
    if isinstance(error, aiohttp.ClientPayloadError | HttpProcessingError):
        return incomplete_body_error(endpoint)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refused(error.status, error.headers or {}, endpoint)
    if isinstance(error, aiohttp.ClientConnectorError | UnicodeError):
        return _not_connected(error, endpoint)
    if isinstance(error, aiohttp.ClientResponseError):
        text = cut_between_words(one_line(endpoint.hide_secrets(error.message)), 200)
        return ProtocolError(sentences(f"{endpoint.host} sent an invalid HTTP response: {text}"))
    if CLIENT_CERTIFICATE.search(str(error)):
        refused = f"{endpoint.host} asks for a client certificate, or does not take the one it got"
        text = sentences(f"{refused}; check the settings client_cert and client_key")
        return ProviderConnectionError(text, lasting=True)
    if isinstance(error, aiohttp.ClientConnectionError):
        text = f"{_host_and_proxy(endpoint)} closed the connection without an answer"
        speaks = "check whether it speaks https" if endpoint.url.scheme == "http" else ""
        return StreamInterruptedError(sentences(f"{text}; {speaks}" if speaks else text, _unused_proxy(endpoint)))
    return ProviderConnectionError(
        sentences(f"{_host_and_proxy(endpoint)} cannot be reached: {type(error).__name__}", *_advice(endpoint))
    )


def incomplete_body_error(endpoint: Endpoint) -> StreamInterruptedError:
    """The error for a body that ended too early."""
    return StreamInterruptedError(sentences(f"{endpoint.host} ended the connection before the reply was complete"))


def timeout_error(endpoint: Endpoint) -> ProviderTimeoutError:
    """The error for a read timeout."""
    silent = f"{endpoint.host} was silent for {endpoint.route.read_timeout:g} s"
    return ProviderTimeoutError(sentences(f"{silent}; to wait longer, use --timeout SECONDS (setting read_timeout)"))


def _host_and_proxy(endpoint: Endpoint) -> str:
    """The host, and the proxy if there is one."""
    if endpoint.proxy.url is None:
        return endpoint.host
    return f"{endpoint.host} through the proxy {endpoint.proxy.url} ({endpoint.proxy.source})"


def _advice(endpoint: Endpoint) -> tuple[str, ...]:
    """What to try if there is no connection."""
    return _unused_proxy(endpoint), endpoint.route.unreachable


def _unused_proxy(endpoint: Endpoint) -> str:
    unused = endpoint.unused_proxy
    if unused.url is None:
        return ""
    return f"The proxy {unused.url} ({unused.source}) was not used; the setting trust_env = on would use it"


def _not_connected(error: Exception, endpoint: Endpoint) -> ProviderConnectionError:
    cause, advice = _cause(error, endpoint)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        place = f"the proxy {endpoint.proxy.url} of {endpoint.host} ({endpoint.proxy.source})"
        return ProviderConnectionError(sentences(f"no connection to {place}: {cause}; {advice}"))
    return ProviderConnectionError(
        sentences(f"no connection to {_host_and_proxy(endpoint)}: {cause}; {advice}", *_advice(endpoint)),
        lasting=isinstance(error, aiohttp.ClientConnectorCertificateError | UnicodeError),
        refused=isinstance(getattr(error, "os_error", None), ConnectionRefusedError),
    )


def _cause(error: Exception, endpoint: Endpoint) -> tuple[str, str]:
    """Why there is no connection, and advice."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate_cause(error.certificate_error, endpoint)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _os_error_cause(error)
    return "this is not a valid host name", "check the address"


def _certificate_cause(error: Exception, endpoint: Endpoint) -> tuple[str, str]:
    reason = getattr(error, "verify_message", "") or "it is not valid"
    code = getattr(error, "verify_code", 0)
    if code in VALIDITY_ERRORS:
        advice = "check this machine's clock, or tell whoever runs the server"
    else:
        advice = "check the address" if code in HOST_NAME_ERRORS else endpoint.route.tls.advice
    return f"TLS failed, its certificate was refused ({reason.rstrip('.')})", advice


def _os_error_cause(error: aiohttp.ClientConnectorError) -> tuple[str, str]:
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


def _proxy_refused(status: int, headers: Mapping[str, str], endpoint: Endpoint) -> ProviderError:
    advice = "check its user and password" if status == 407 else "ask its administrator, or do not use it"
    text = f"the proxy {endpoint.proxy.url} ({endpoint.proxy.source}) refused to connect to {endpoint.host} ({status})"
    delay = retry_delay(headers)
    if delay is not None and status != 407:
        return ProviderStatusError(sentences(f"{text}; {_wait_text(delay)}"), status, delay)
    # Not retried: a proxy may lock an account after several wrong passwords.
    return ProviderConnectionError(sentences(f"{text}; {advice}", endpoint.route.unreachable), lasting=status < 500)


def _wait_text(seconds: float) -> str:
    return f"it asks to wait {seconds:,.0f} s" if seconds >= 10 else f"it asks to wait {seconds:.2g} s"


def status_error(status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint) -> ProviderError:
    """The error for an HTTP status that is not a success. ``body`` may be the beginning of the body only."""
    page = endpoint.hide_known_secrets(body.decode("utf-8", "replace"))
    if status == 407 and endpoint.proxy.url:
        return _proxy_refused(status, headers, endpoint)
    if status < 400:
        return _redirect_error(status, headers, endpoint)
    if status == 403 and (headers.get("cf-mitigated") == "challenge" or any(mark in page for mark in BOT_CHECK_TITLES)):
        text = f"{endpoint.host} answered 403: a bot check that only a browser can pass"
        return PermissionDeniedError(sentences(text, endpoint.route.unreachable), status)
    text, delay = cut_between_words(endpoint.hide_secrets(error_message(page)), MESSAGE_LIMIT), retry_delay(headers)
    if delay is None:
        delay = requested_wait(parse_report(page), text)
    if delay is None and status == 429:
        delay = wait_until_reset(headers)
    message = f"{endpoint.host} answered {status}" + (f": {text}" if text else "")
    if delay:
        message = f"{message.rstrip('. ')}; {_wait_text(delay)}"
    advice = endpoint.route.unauthorized if status == 401 else ""
    return STATUS_ERRORS.get(status, ProviderStatusError)(sentences(message, advice), status, delay)


def _redirect_error(status: int, headers: Mapping[str, str], endpoint: Endpoint) -> ProviderStatusError:
    target = cut_between_words(one_line(endpoint.hide_secrets(headers.get("Location", ""))), 200) or "somewhere"
    text = f"{endpoint.host} answered {status}: it redirects to {target}, where nothing was sent"
    return ProviderStatusError(sentences(f"{text}; if you trust that address, make it the base URL"), status)


def error_message(page: str) -> str:
    """The message in the body of an error status: that of a JSON object that reports a failure, or all of its text."""
    body = parse_report(page)
    report = {name: value for name, value in body.items() if name in FAILURE_FIELDS and value}
    if has_base_resp_error(body):
        report["base_resp"] = body["base_resp"]
    return failure_text(report) if report else page_text(page)


def page_text(page: str) -> str:
    """The text of a page in one line, without HTML tags."""
    if not re.search(r"<(!doctype|html|head|body|title|h1|p|div|center)\b", page, re.IGNORECASE):
        return one_line(page)
    reader = _TextReader()
    reader.feed(page)
    reader.close()
    return one_line(" ".join(reader.texts))


class _TextReader(HTMLParser):
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
