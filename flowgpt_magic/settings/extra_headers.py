"""Extra headers for the requests to a server, such as ``HTTP-Referer``.

``$NAME`` in a value is replaced with the environment variable of that name when the request is made; ``$$`` is a dollar
sign. Secrets are accepted only in this form, so that no settings file, no history and no error contains them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.errors import MissingKeyError, SettingError

EXTRA_HEADERS = "extra_headers"
HEADERS_EXAMPLE = '{"HTTP-Referer": "https://example.com"}'
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a field name of RFC 9110, section 5.6.2
CONNECTION_HEADERS = {  # set by the HTTP client
    *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive"),
    *("te", "trailer", "upgrade", "expect", "accept", "accept-encoding", "proxy-authorization", "proxy-connection"),
}


def checked(value: Any) -> dict[str, str | None] | None:
    """The headers in ``value`` by name, or None without any; a string is parsed as JSON.

    A header with the value None removes the header of that name set at a lower level. Raises ``ValueError``; its text
    contains no values, as they may be secret.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise ValueError(f"must be a JSON object, such as {HEADERS_EXAMPLE}") from None
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table of header names and values, such as {HEADERS_EXAMPLE}")  # noqa: TRY004 - `check` expects ValueError
    headers: dict[str, str | None] = {}
    for name, content in value.items():
        _check_name(name)
        if name.lower() in (other.lower() for other in headers):
            raise ValueError(f"contains the header {name} twice")
        headers[name] = _checked_value(name, content)
    return headers


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError("must use valid header names, such as HTTP-Referer")
    if name.lower() == "authorization":
        raise ValueError(
            "cannot set Authorization: the setting openai_key names the environment variable that holds the key "
            "(for Claude's API it is anthropic_key)"
        )
    if name.lower() in CONNECTION_HEADERS:
        raise ValueError(f"cannot set {name}, which the HTTP client sets itself")


def _checked_value(name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or not _sendable(value):
        raise ValueError(f"must set {name} to one line of printable ASCII characters")
    from flowgpt_magic.redaction import is_secret_header  # its patterns take a while to compile

    if is_secret_header(name, value):
        raise ValueError(
            f"must set {name} to the name of the environment variable that holds its value, such as "
            f'{{"{name}": "$MY_KEY"}}, not the value itself'
        )
    return value.strip()


def _sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()


def joined(below: Mapping[str, str | None], above: Mapping[str, str | None]) -> dict[str, str | None]:
    """Both merged; ``above`` wins. Header names are case-insensitive."""
    replaced = {name.lower() for name in above}
    return {**{name: value for name, value in below.items() if name.lower() not in replaced}, **above}


def read(headers: Mapping[str, str | None] | None) -> tuple[dict[str, str], list[str]]:
    """The headers as they are sent, and the values of their variables, which no error may show.

    Raises ``MissingKeyError`` if a variable is not set, and ``SettingError`` if its value is not allowed in a header.
    """
    from flowgpt_magic.redaction import VARIABLE  # its patterns take a while to compile

    sent: dict[str, str] = {}
    secrets: list[str] = []
    for name, value in (headers or {}).items():
        if value is not None:
            sent[name] = VARIABLE.sub(lambda match, name=name: _replaced(match, name, secrets), value)  # type: ignore[misc]
    return sent, secrets


def _replaced(match: re.Match[str], header: str, secrets: list[str]) -> str:
    variable = match[1] or match[2]
    if not variable:
        return "$"
    value = os.environ.get(variable, "").strip()
    if not value:
        raise MissingKeyError(f"the header {header} has no value: the environment variable {variable} is not set")
    if not _sendable(value):
        raise SettingError(
            f"the environment variable {variable} contains a character that is not allowed in the header {header}"
        )
    secrets.append(value)
    return value
