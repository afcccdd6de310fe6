"""Keys, tokens and passwords, kept out of what is written down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic import settings

DEPTH = 20  # levels of a nested parameter that are kept

_WORDS = "(?<!com)(?<!by)(?<!tres)(?<!sur)(?<!over)(?<!under)(?<!low)(?<!high)(?<!band)"  # that end in "pass" too
_NAMES = (
    rf"key|token|passw|{_WORDS}pass(?![a-z])|pwd|passphrase|secret|credential|auth(?!or)|authori[sz]ation|cookie|bearer|"
    r"prox(?:y|ies)"
)
_NAME = re.compile(_NAMES, re.I)
_COUNTED = re.compile(r"tokens(?![a-z])", re.I)  # max_tokens: a number of them is no secret
_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")  # user:password@ in a URL; people type passwords with @, # and ? in them
_QUERY = re.compile(rf"(?<=[?&#])(?=[^=?&#\s]*?(?:{_NAMES}))([^=?&#\s]+=)[^&#\s]+", re.I)


def without_secrets(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """``parameters`` as they may be written down, in values that JSON has.

    Left out are secret settings and whatever is named like a key, a token or a password, at any depth; in URLs the user
    and password are. A value that JSON does not have is there as the name of its type.
    """
    return {str(name): _harmless(value, DEPTH) for name, value in parameters.items() if not _secret(str(name), value)}


def without_passwords(text: str) -> str:
    """``text`` with the user and password of every URL in it, and the keys in its query, as ``***``."""
    return _QUERY.sub(r"\1***", _PASSWORD.sub("***@", text))


def _secret(name: str, value: Any) -> bool:
    if name in settings.TABLE:
        return bool(settings.TABLE[name].metadata["secret"])
    if _COUNTED.search(name) and isinstance(value, (int, float)):
        return False
    return bool(_NAME.search(name))


def _harmless(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return without_passwords(value)
    if depth and isinstance(value, Mapping):
        return {str(name): _harmless(each, depth - 1) for name, each in value.items() if not _secret(str(name), each)}
    if depth and isinstance(value, (list, tuple)):
        return [_harmless(each, depth - 1) for each in value]
    return f"<{type(value).__name__}>"
