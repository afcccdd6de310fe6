"""A secret that a server repeats is not shown, not even in part, wherever the text is cut."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from yarl import URL

from flowgpt_magic.providers.failure_reports import failure_text
from flowgpt_magic.providers.flowgpt_events import EventReader
from flowgpt_magic.providers.http.client import unexpected_content
from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route
from flowgpt_magic.providers.http.errors import status_error
from flowgpt_magic.providers.openai.errors import ErrorMapper

PART = 5  # characters of a secret that a text may hold by chance
KEYS = (
    "Zq8vLw3nXk5tBy7mRc2dHf9g",
    "ghp_Zq8vLw3nXk5tBy7mRc2dHf9gJs4p",
    "sk-proj-Zq8vLw3nXk5tBy7mRc2dHf9g",
    "p@ss:W0rd!9x#Qz",
)


def endpoint(secret: str) -> Endpoint:
    return Endpoint(URL("http://127.0.0.1:1"), Proxy(), Route(token=secret))


def of_status(secret: str, text: str) -> str:
    return str(status_error(500, {}, json.dumps({"error": {"message": text}}).encode(), endpoint(secret)))


def of_page(secret: str, text: str) -> str:
    return str(status_error(502, {}, text.encode(), endpoint(secret)))


def of_refusal(secret: str, text: str) -> str:
    body = json.dumps({"error": {"message": text}}).encode()
    return str(ErrorMapper({"model": "m"}).for_status(400, {}, body, endpoint(secret)))


def of_report(secret: str, text: str) -> str:
    return str(ErrorMapper({"model": "m"}).for_report({"error": {"message": text}}, endpoint(secret)))


def of_redirect(secret: str, text: str) -> str:
    return str(status_error(302, {"Location": text}, b"", endpoint(secret)))


def of_line(_secret: str, text: str) -> str:
    return str(unexpected_content(text.encode(), "a line that is not JSON"))


def of_event(_secret: str, text: str) -> str:
    _text, failure = EventReader().read(json.dumps({"event": "error", "data": {"message": text}}).encode())
    return str(failure)


def of_failure(_secret: str, text: str) -> str:
    return failure_text({"message": text})


READERS = (of_status, of_page, of_refusal, of_report, of_redirect, of_line, of_event, of_failure)


def masked(reader: Callable[[str, str], str], secret: str, text: str) -> str:
    """What is shown: the exit of the request hides what stands whole in an error."""
    return endpoint(secret).hide_secrets(reader(secret, text))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("secret", KEYS)
def test_a_secret_at_any_place_around_the_cut_is_not_shown_in_part(
    reader: Callable[[str, str], str], secret: str
) -> None:
    parts = [secret[start : start + PART + 1] for start in range(4, len(secret) - PART)]
    for place in (*range(150, 205), *range(440, 505)):
        words = ("word " * 200)[:place]
        shown = masked(reader, secret, f"{words} {secret} and more words that follow it" * 2)
        assert not [part for part in parts if part in shown], (place, shown)
