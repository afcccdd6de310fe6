"""HTTP statuses and aiohttp's errors as our errors."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace

import aiohttp
import pytest
from yarl import URL

from flowgpt_magic.errors import (
    AuthenticationError,
    ConnectTimeoutError,
    PermissionDeniedError,
    ProtocolError,
    ProviderConnectionError,
    ProviderStatusError,
    ProviderTimeoutError,
    RateLimitError,
    StreamInterruptedError,
)
from flowgpt_magic.providers.failure_reports import parse_report
from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route
from flowgpt_magic.providers.http.errors import error_message, map_error, page_text, status_error


def endpoint(url: str = "http://host.example:1", **route: object) -> Endpoint:
    return Endpoint(URL(url), Proxy(), Route(**route))


def test_without_retry_after_the_limit_that_is_used_up_says_how_long_to_wait():
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"}
    headers |= {"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "60s"}
    endpoint = Endpoint(URL("http://127.0.0.1"), Proxy(), Route())

    assert status_error(429, headers, b"", endpoint).retry_after == 1.5
    assert status_error(429, headers | {"Retry-After": "7"}, b"", endpoint).retry_after == 7
    assert status_error(500, headers, b"", endpoint).retry_after is None


def test_html_becomes_the_text_a_person_would_see() -> None:
    page = (
        "<!DOCTYPE html><html><head><title>502</title><style>b{}</style><script>if (a < b) {}</script></head>"
        "<body><h1>Bad&nbsp;Gateway</h1>\n<p>nginx &amp; co</p></body></html>"
    )
    assert page_text(page) == "502 Bad Gateway nginx & co"


def test_text_that_is_no_html_keeps_its_angle_brackets() -> None:
    assert page_text("a < b and c > d") == "a < b and c > d"


@pytest.mark.parametrize(
    ("page", "report", "message"),
    [
        ('{"error": "boom", "code": 7}', {"error": "boom", "code": 7}, "boom"),
        ('[{"error": {"message": "boom"}}]', {"error": {"message": "boom"}}, "boom"),
        ('{"code": 7}', {"code": 7}, '{"code": 7}'),
        ("[]", {}, "[]"),
        ("null", {}, "null"),
        ("boom", {}, "boom"),
        ("[" * 100_000, {}, "[" * 100_000),
    ],
)
def test_the_body_of_an_error_status_is_read_whatever_it_is(page: str, report: dict[str, object], message: str) -> None:
    assert parse_report(page) == report
    assert error_message(page) == message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (402, RateLimitError),
        (403, PermissionDeniedError),
        (429, RateLimitError),
        (404, ProviderStatusError),
        (500, ProviderStatusError),
        (529, ProviderStatusError),
    ],
)
def test_each_status_has_its_class_and_only_a_wrong_key_is_told_where_it_came_from(status, kind):
    error = status_error(status, {}, b"no", endpoint(unauthorized="The key came from KEY"))

    assert (type(error), error.status) == (kind, status)
    assert ("The key came from KEY" in str(error)) == (status == 401)


@pytest.mark.parametrize(("status", "headers", "text"), [(300, {}, "somewhere"), (399, {"Location": "/x"}, "/x")])
def test_a_redirect_that_was_not_followed_names_its_target(status, headers, text):
    assert f"it redirects to {text}, where nothing was sent" in str(status_error(status, headers, b"", endpoint()))


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (403, {"cf-mitigated": "challenge"}, b"", True),
        (403, {}, b"<title>Just a moment...</title>", True),
        (403, {}, b"not allowed", False),
        (503, {"cf-mitigated": "challenge"}, b"", False),
    ],
)
def test_a_bot_check_is_recognized(status, headers, body, kind):
    assert ("a bot check" in str(status_error(status, headers, body, endpoint()))) is kind


@pytest.mark.parametrize(
    ("seconds", "text"), [("9.994", "10 s"), ("10", "10 s"), ("1234", "1,234 s"), ("0.25", "0.25 s")]
)
def test_a_wait_is_rounded_to_what_a_person_reads(seconds, text):
    assert str(status_error(503, {"Retry-After": seconds}, b"", endpoint())).endswith(f"it asks to wait {text}.")


KEY = SimpleNamespace(host="host.example", port=1, ssl=True, is_ssl=True)


@pytest.mark.parametrize(
    ("error", "kind", "lasting", "text"),
    [
        (aiohttp.ConnectionTimeoutError(), ConnectTimeoutError, False, "within 10 s"),
        (asyncio.TimeoutError(), ProviderTimeoutError, None, "was silent for 600 s"),
        (aiohttp.ClientPayloadError(), StreamInterruptedError, None, "before the reply was complete"),
        (aiohttp.ServerDisconnectedError(), StreamInterruptedError, None, "check whether it speaks https"),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "no")),
            ProviderConnectionError,
            False,
            "refused",
        ),
        (UnicodeError(), ProviderConnectionError, True, "not a valid host name"),
        (aiohttp.ClientOSError(1, "TLSV13_ALERT_CERTIFICATE_REQUIRED"), ProviderConnectionError, True, "client_cert"),
        (aiohttp.InvalidURL("x"), ProviderConnectionError, False, "InvalidURL"),
    ],
)
def test_an_error_of_the_library_is_one_of_ours_with_what_to_try(error, kind, lasting, text):
    mapped = map_error(error, endpoint())

    assert type(mapped) is kind
    assert getattr(mapped, "lasting", None) is lasting
    assert text in str(mapped)


def test_an_answer_that_is_not_http_is_quoted_without_secrets():
    error = aiohttp.ClientResponseError(SimpleNamespace(real_url=URL("http://x")), (), message="bad token hunter2")

    mapped = map_error(error, endpoint(token="hunter2"))

    assert type(mapped) is ProtocolError
    assert "sent an invalid HTTP response: bad token ***" in str(mapped)


@pytest.mark.parametrize(
    ("code", "text"), [(10, "this machine's clock"), (62, "check the address"), (18, "setting ca_bundle")]
)
def test_a_refused_certificate_comes_with_advice_for_its_cause(code, text):
    reason = ssl.SSLCertVerificationError(1, "no")
    reason.verify_code, reason.verify_message = code, "reason."

    mapped = map_error(aiohttp.ClientConnectorCertificateError(KEY, reason), endpoint("https://host.example"))

    assert mapped.lasting
    assert "its certificate was refused (reason)" in str(mapped)
    assert text in str(mapped)
