"""Keys, tokens and passwords, kept out of what is written down."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from flowgpt_magic import extra_headers, settings

DEPTH = 20  # levels of a nested parameter that are kept

_WORDS = "(?<!com)(?<!by)(?<!tres)(?<!sur)(?<!over)(?<!under)(?<!low)(?<!high)(?<!band)"  # that end in "pass" too
# Words that have "key" in them, and keys of a table.
_KEY = "(?<!mon)(?<!don)(?<!tur)(?<!whis)(?<!hoc)(?<!joc)(?<!primary_)(?<!foreign_)key(?!word|board|frame|stroke)"
_COUNTABLE = "token(?!_?count|_?limit|_?budget|i[sz])"
_NAMES = (
    rf"{_KEY}|{_COUNTABLE}|passw|{_WORDS}pass(?![a-z])|pwd|passphrase|secret|credential|"
    r"auth(?!or)|authori[sz]ation|cookie|bearer|"
    r"prox(?:y|ies)"
)
_NAME = re.compile(_NAMES, re.I)
_COUNTED = re.compile(r"tokens(?![a-z])", re.I)  # max_tokens: a number of them is no secret
_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")  # user:password@ in a URL; people type passwords with @, # and ? in them
_QUERY = re.compile(rf"(?<=[?&#])(?=[^=?&#\s]*?(?:{_NAMES}))([^=?&#\s]+=)[^&#\s]+", re.I)

# Keys and tokens that show by their form what they are, as their services document it. What comes before ``(?=`` or in
# the first group stays: it says which kind it was.
_FORMS = r"""
    gh[pousr]_ (?=[A-Za-z0-9]{8}) [A-Za-z0-9]+          # GitHub
    | github_pat_ (?=\w{8}) \w+
    | glpat- (?=[\w-]{16}) [\w-]+                       # GitLab
    | xox[abceoprs]- (?=[\w-]{8}) [\w-]+ | xapp- (?=[\w-]{8}) [\w-]+                      # Slack
    | hooks\.slack\.com/(?:services|workflows|triggers)/ (?=\w) [\w/-]+
    | discord(?:app)?\.com/api/webhooks/ (?=\d) [\w/-]+
    | (?:AKIA|ASIA|ABIA|ACCA) (?=[A-Z0-9]{16}(?![A-Za-z0-9])) [A-Z0-9]+                    # AWS
    | eyJ (?=[\w-]{8,}\.eyJ[\w-]{8,}\.) [\w-]+\.[\w-]+\.[\w-]*                             # JWT (RFC 7519)
    | sk- (?=[\w-]{16}) [\w-]+ | [rs]k_(?:live|test)_ (?=[A-Za-z0-9]{16}) [A-Za-z0-9]+    # OpenAI, Anthropic; Stripe
    | hf_ (?=[A-Za-z0-9]{16}) [A-Za-z0-9]+ | gsk_ (?=[A-Za-z0-9]{20}) [A-Za-z0-9]+        # Hugging Face, Groq
    | xai- (?=[A-Za-z0-9]{20}) [A-Za-z0-9]+ | pplx- (?=[A-Za-z0-9]{20}) [A-Za-z0-9]+      # xAI, Perplexity
    | r8_ (?=[A-Za-z0-9]{20}) [A-Za-z0-9]+ | dapi (?=[0-9a-f]{32}) [0-9a-f]+              # Replicate, Databricks
    | AIza (?=[\w-]{35}) [\w-]+ | ya29\. (?=[\w-]{20}) [\w.-]+ | GOCSPX- (?=[\w-]{16}) [\w-]+   # Google
    | npm_ (?=[A-Za-z0-9]{30}) [A-Za-z0-9]+ | pypi- (?=[\w-]{40}) [\w-]+ | SG\. (?=[\w-]{16,}\.) [\w.-]+
    | dop_v1_ (?=[0-9a-f]{32}) [0-9a-f]+ | (?:Account|SharedAccess)Key= (?=[\w+/]{20}) [\w+/=]+  # DigitalOcean, Azure
"""
_KNOWN = re.compile(rf"(?<![A-Za-z0-9])(?:{_FORMS})", re.VERBOSE)
_PREFIX = re.compile(
    r"hooks\.slack\.com/\w+/|discord(?:app)?\.com/api/webhooks/|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|xapp-|AKIA|ASIA"
    r"|ABIA|ACCA|eyJ|sk-|[rs]k_(?:live|test)_|hf_|gsk_|xai-|pplx-|r8_|dapi|AIza|ya29\.|GOCSPX-|npm_|pypi-|SG\.|dop_v1_"
    r"|(?:Account|SharedAccess)Key="
)
_HEADER = re.compile(r"\b(Bearer\s+|Authorization\W{1,4}Basic\s+)(?=[\w.~+/-]*\d)[\w.~+/-]{16,}=*", re.I)
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)")
_HEADER_MARKS = ("earer", "EARER", "asic", "ASIC")
# A text without any of these has nothing that is masked by its form; looking for them is cheap.
_MARKS = (
    *("hooks.slack", "/webhooks/", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "xapp-"),
    *("AKIA", "ASIA", "ABIA", "ACCA", "eyJ", "sk-", "k_live_", "k_test_", "hf_", "gsk_", "xai-", "pplx-", "r8_"),
    *("dapi", "AIza", "ya29.", "GOCSPX-", "npm_", "pypi-", "SG.", "dop_v1_", "AccountKey=", "AccessKey="),
)
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


def without_passwords(text: str) -> str:
    """``text`` with everything in it that shows by its form that it is secret as ``***``.

    These are the user and password of URLs, keys in their queries, and the keys and tokens of known services. The text
    is to be masked before it is cut: the beginning of a key has no form.
    """
    if "@" in text and "://" in text:
        text = _PASSWORD.sub("***@", text)
    if "=" in text:
        text = _QUERY.sub(r"\1***", text)
    if any(mark in text for mark in _MARKS):
        text = _KNOWN.sub(lambda found: f"{_prefix(found[0])}***", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(r"\1***", text)
    return _HEADER.sub(r"\1***", text) if any(mark in text for mark in _HEADER_MARKS) else text


def _prefix(secret: str) -> str:
    found = _PREFIX.match(secret)
    return found[0] if found else ""


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
