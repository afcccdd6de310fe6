"""Headers of one's own for the requests to a server, such as ``HTTP-Referer``.

A value is written as it is sent, but ``$NAME`` in it stands for the environment variable of that name, which is read
when the request is made; ``$$`` is a dollar sign. What is secret is given in this way only, so that no settings file,
no history and no error ever holds it.
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
OF_THE_CONNECTION = {  # what HTTP itself needs, and the reading of a stream
    *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive"),
    *("te", "trailer", "upgrade", "expect", "accept", "accept-encoding", "proxy-authorization", "proxy-connection"),
}


def checked(value: Any) -> dict[str, str | None] | None:
    """``value`` as headers by name, None where none are given; a text is JSON.

    A header that is None takes back the one of this name. Raises ``ValueError`` that shows no value.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise ValueError(f"must be a JSON object, such as {HEADERS_EXAMPLE}") from None
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table of header names and values, such as {HEADERS_EXAMPLE}")  # noqa: TRY004 - a check's
    found: dict[str, str | None] = {}
    for name, each in value.items():
        _check_name(name)
        if name.lower() in (other.lower() for other in found):
            raise ValueError(f"gives the header {name} twice")
        found[name] = _checked_value(name, each)
    return found


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError("must have names of headers, such as HTTP-Referer")
    if name.lower() == "authorization":
        raise ValueError(
            "cannot set Authorization: the setting openai_key names the environment variable that holds the key"
        )
    if name.lower() in OF_THE_CONNECTION:
        raise ValueError(f"cannot set {name}, which the request needs as it is")


def _checked_value(name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or not _sendable(value):
        raise ValueError(f"must give {name} a text of printable ASCII characters on one line")
    from flowgpt_magic.redaction import is_secret_header  # its patterns take a while to compile

    if is_secret_header(name, value):
        raise ValueError(
            f"must give {name} the name of the environment variable that holds its value, such as "
            f'{{"{name}": "$MY_KEY"}}, not the value itself'
        )
    return value.strip()


def _sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()


def joined(below: Mapping[str, str | None], above: Mapping[str, str | None]) -> dict[str, str | None]:
    """``above`` over ``below``; the names of headers are the same in small letters and capitals."""
    nearer = {name.lower() for name in above}
    return {**{name: each for name, each in below.items() if name.lower() not in nearer}, **above}


def read(given: Mapping[str, str | None] | None) -> tuple[dict[str, str], list[str]]:
    """The headers as they are sent, and what of them no error may show.

    Raises ``MissingKeyError`` where a variable is not set, and ``SettingError`` where no header can hold its value.
    """
    from flowgpt_magic.redaction import VARIABLE  # its patterns take a while to compile

    found: dict[str, str] = {}
    secrets: list[str] = []
    for name, value in (given or {}).items():
        if value is not None:
            found[name] = VARIABLE.sub(lambda each, name=name: _replaced(each, name, secrets), value)  # type: ignore[misc]
    return found, secrets


def _replaced(found: re.Match[str], header: str, secrets: list[str]) -> str:
    variable = found[1] or found[2]
    if not variable:
        return "$"
    value = os.environ.get(variable, "").strip()
    if not value:
        raise MissingKeyError(f"the header {header} has no value: the environment variable {variable} is not set")
    if not _sendable(value):
        raise SettingError(
            f"the environment variable {variable} holds a character that the header {header} cannot have"
        )
    secrets.append(value)
    return value
