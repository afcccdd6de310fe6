"""Keys, tokens and passwords, kept out of what is written down."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from flowgpt_magic import settings
from flowgpt_magic.secret_forms import NAMES, without_passwords
from flowgpt_magic.settings import extra_headers

__all__ = ["environment_secret", "without_known_values", "without_passwords", "without_secrets"]

DEPTH = 20  # levels of a nested parameter that are kept

_NAME = re.compile(NAMES, re.I)
_COUNTED = re.compile(r"tokens(?![a-z])", re.I)  # max_tokens: a number of them is no secret
# What keys look like whose service is not known: long, without a break, with letters and figures.
_RANDOM = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9][A-Za-z0-9_+/=~-]{15,}")
SHORTEST = 8  # characters of a variable's value that is looked for in other texts; shorter ones stand in many words


def without_secrets(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """``parameters`` as they may be written down, in values that JSON has.

    Left out are secret settings and whatever is named like a key, a token or a password, at any depth; in URLs the user
    and password are. A header stays that names the variable of what is secret. A value that JSON does not have is there
    as the name of its type.
    """
    found: dict[str, Any] = _harmless(parameters, DEPTH + 1)
    return found


def environment_secret(name: str, value: object, environ: Mapping[str, str] = os.environ) -> bool:
    """Is it a variable of this process's environment, with a value that looks like a key?

    Programs are handed keys in variables of any name.
    """
    return isinstance(value, str) and environ.get(name) == value and _RANDOM.fullmatch(value) is not None


def without_known_values(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """``text`` without secrets by their form, and without the values of environment variables with secret names."""
    for name, value in environ.items():
        if len(value) >= SHORTEST and value in text and _secret(name, value):
            text = text.replace(value, "***")
    return without_passwords(text)


def _secret(name: str, value: Any) -> bool:
    if name in settings.TABLE:
        return bool(settings.TABLE[name].metadata["secret"])
    if _COUNTED.search(name) and isinstance(value, (int, float)):
        return False
    return bool(_NAME.search(name))


def _headers(given: Any) -> dict[str, str | None]:
    """Those headers that can be set as they are written: a secret one names its variable."""
    found: dict[str, str | None] = {}
    for name, value in given.items() if isinstance(given, Mapping) else ():
        with suppress(ValueError):
            found |= extra_headers.checked({name: value}) or {}
    return {name: value and without_passwords(value) for name, value in found.items()}


def _harmless(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return without_passwords(value)
    if depth and isinstance(value, Mapping):
        return {
            str(name): _headers(each) if name == extra_headers.NAME else _harmless(each, depth - 1)
            for name, each in value.items()
            if not _secret(str(name), each)
        }
    if depth and isinstance(value, (list, tuple)):
        return [_harmless(each, depth - 1) for each in value]
    return f"<{type(value).__name__}>"
