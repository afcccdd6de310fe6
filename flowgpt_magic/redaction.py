"""Recognise secrets by their name or form, and keep them out of texts, parameters and files.

This is the only list of secrets in the package. To add a name, add a word to ``SECRET_WORDS`` or ``SECRET_ENDINGS``; to
add a kind of key, add a line to ``SERVICE_KEYS``. It imports no other module of the package: ``errors`` imports it.

Compiling its patterns takes 50 ms, so modules that are loaded with the extension import it inside functions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

MASK = "***"

# Names are split into lower-case words: ``dbPassword`` is "db password". A word such as "monkey" is harmless.

# A name is secret if one of its words contains one of these,
SECRET_WORDS = (
    "passw",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "credential",
    "token",
    "auth",
    "cookie",
    "bearer",
    "proxy",
    "proxies",
    "keystore",
    "keytab",
)
# or ends with one of these,
SECRET_ENDINGS = ("key", "pass", "creds", "apikeys")
SECRET_PHRASES = (
    "(?:api|access|auth|refresh|secret|private|ssh|signing|encryption) (?:keys|tokens)",
    "x signature",
    "x [a-z]+ signature",  # X-Amz-Signature
)
HARMLESS_WORDS = (
    "(?:mon|don|tur|whis|hoc|joc|lac|hic|mic|flun|ho|jo|o|turn|hot|latch|smo|port)key",
    "(?:com|encom|by|tres|sur|over|under|low|high|band|all)pass",
    r"tokens|(?:de|re|sub|un)?tokeni[sz]\w*",
    r"(?:co|un)?author(?!i[sz]ation)\w*|authentic(?:ity)?",
    r"secret(?:ar|ion|iv)\w*",
)
HARMLESS_PHRASES = (
    "(?:primary|foreign|unique|composite|surrogate|candidate|sort|group|partition|cache|public|join|merge) key",
    "(?:idempotency|dict|column|row|answer|shortcut) key",
    "key (?:error|points?|columns?|words?|frames?|phrases?|features?|results?|metrics?|findings?)",
    "token (?:counts?|limits?|budget|lengths?|usage|ids?|type|index|estimate|embeddings?|logprobs?)",
    "(?:max|min|num|per|eos|bos|pad|unk|sep|cls|mask|stop|special) token",
    "pass (?:rates?|fail|count|through)|(?:first|second|single|multi|forward|backward) pass",
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_HARMLESS_NAME = re.compile(rf"\b(?:{'|'.join((*HARMLESS_PHRASES, *HARMLESS_WORDS))})\b")
_SECRET_NAME = re.compile(
    rf"{'|'.join(SECRET_WORDS)}|(?:{'|'.join(SECRET_ENDINGS)})\b|\b(?:{'|'.join(SECRET_PHRASES)})\b"
)
_LAST_WORDS = (phrase.rpartition(" ")[2] for phrase in SECRET_PHRASES)
_HAS_SECRET_WORD = re.compile("|".join((*SECRET_WORDS, *SECRET_ENDINGS, *_LAST_WORDS)), re.I)
_PLURAL_NAME = re.compile(r"\b(?:keys|tokens)\b")
_SHELL_FOLDERS = ("PWD", "OLDPWD")
_KEY_PLACES = ("openai_key", "anthropic_key", "client_key")  # settings that say where a key is kept
_HEADERS = "extra_headers"  # the setting whose values may name variables

_SECRET_FILE = re.compile(
    r"\.env(?:\..*)?|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|.*\.(?:pem|key|p12|pfx|jks|keystore|kdbx)|\.?credentials.*"
    r"|secrets?(?:\..*)?|\.(?:netrc|pgpass|pypirc|htpasswd|git-credentials)",
    re.I,
)

# Keys and tokens of services, as documented: their prefixes, and a pattern for the rest.
SERVICE_KEYS = (
    ("ghp_ gho_ ghu_ ghs_ ghr_", "[A-Za-z0-9]{8,}"),  # GitHub
    ("github_pat_", r"\w{8,}"),
    ("glpat-", r"[\w-]{16,}"),  # GitLab
    ("xoxa- xoxb- xoxc- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-", r"[\w-]{8,}"),  # Slack
    ("hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/", r"\w[\w/-]*"),
    ("discord.com/api/webhooks/ discordapp.com/api/webhooks/", r"\d[\w/-]*"),
    ("AKIA ASIA ABIA ACCA", "[A-Z0-9]{16}(?![A-Za-z0-9])"),  # AWS
    ("eyJ", r"(?=[\w-]{8,1000}\.eyJ[\w-]{8,}\.)[\w-]+\.[\w-]+\.[\w-]*"),  # JWT (RFC 7519)
    ("sk-", r"[\w-]{16,}"),  # OpenAI, Anthropic
    ("sk_live_ sk_test_ rk_live_ rk_test_", "[A-Za-z0-9]{16,}"),  # Stripe
    ("sk_", "[A-Za-z0-9]{17,}"),  # ElevenLabs
    ("hf_", "[A-Za-z0-9]{16,}"),  # Hugging Face
    ("gsk_ xai- pplx- r8_", "[A-Za-z0-9]{20,}"),  # Groq, xAI, Perplexity, Replicate
    ("dapi dop_v1_", "[0-9a-f]{32,}"),  # Databricks, DigitalOcean
    ("AIza", r"[\w-]{35,}"),  # Google
    ("ya29.", r"(?=[\w-]{20})[\w.-]+"),
    ("GOCSPX-", r"[\w-]{16,}"),
    ("npm_", "[A-Za-z0-9]{30,}"),
    ("pypi-", r"[\w-]{40,}"),
    ("SG.", r"(?=[\w-]{16,}\.)[\w.-]+"),  # SendGrid
    ("AccountKey= SharedAccessKey=", r"(?=[\w+/]{20})[\w+/=]+"),  # Azure
)


def _any_of(words: str) -> str:
    return "|".join(map(re.escape, sorted(words.split(), key=len, reverse=True)))


_BEGINNINGS = " ".join(beginnings for beginnings, _rest in SERVICE_KEYS)
_BEGINNING = re.compile(_any_of(_BEGINNINGS))
_MARKS = _BEGINNINGS.split()  # a fast check: a text without any of these contains no such key
_SERVICE_KEY = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(f'(?:{_any_of(beginnings)}){rest}' for beginnings, rest in SERVICE_KEYS)})"
)
_AUTHORIZATION = re.compile(r"\b(Bearer\s+|Authorization\W{1,4}Basic\s+)(?=[\w.~+/-]*\d)[\w.~+/-]{16,}=*", re.I)
_AUTHORIZATION_MARKS = ("earer", "EARER", "asic", "ASIC")
PRIVATE_KEY_MARK = "PRIVATE KEY-----"  # in every such file except PGP's
_KIND = "[A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PRIVATE_KEY = re.compile(rf"(-----BEGIN {_KIND}).*?(?:-----END {_KIND}|\Z)", re.S)
# Servers quote a wrong key as its first and last characters with dots or asterisks between.
_SHORTENED_KEY = re.compile(r"[^\s\"']*\*{2,}[^\s\"',;]*|\b[\w-]+(?:\.{3}|…)[\w-]+")
# Keys of unknown services: long, without spaces, with letters and digits.
_RANDOM = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9][A-Za-z0-9_+/=~-]{15,}")

_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")  # user:password@ in a URL; people type passwords with @, # and ? in them
# The same without a scheme. ``mailto:anna@example.org`` and the like have no password.
_MAIL = "(?:e-?mails?|mail-?to|to|cc|bcc|from|sender|reply-to|contacts?|sips?|xmpp)"
_LOGIN = re.compile(
    rf"(?<![\w.+:@-])(?!{_MAIL}:)(?=[\d.+-]{{0,64}}[A-Za-z_])[\w.+-]{{1,64}}:(?![\s/])[^\s/\"'`<>@]{{1,128}}@(?=[\w-]{{1,63}}[.:/]|localhost|\[)",
    re.I,
)

# A name and its value in a text: ``password=…``, ``"api_key": "…"``, ``?token=…``. ``$NAME`` and code that reads the
# value from elsewhere are not values. A password may be any text. A key has letters and digits, or is in quotes. After
# a word that is common in texts, such as "key" alone, only a random-looking value counts.
_ASSIGNMENT = re.compile(
    r"(?<![\w-])(?P<name>[\w-]{1,100})\\{0,8}[\"']?[ \t]{0,3}(?::=|=>|[=:])[ \t]{0,3}(?:[bru](?=[\"']))?"
)
_PASSWORD_NAME = re.compile("passw|passphrase|passcode|pwd", re.I)
_COMMON_NAME = re.compile(r"[\W\d_]*(?:key|pass|auth|proxy|proxies|cookies?|bearer)[\W\d_]*", re.I)
_BARE = r"[^\s,;&\"'`()\[\]{}<>\\]"
_NO_CODE = r"(?!\$)(?![\w.]*[(\[])"
_MIXED = r"(?=[^\d\s]{0,256}\d)(?=[^A-Za-z\s]{0,256}[A-Za-z])"
_PASSWORD_VALUE = re.compile(
    r"(?P<quote>\\{0,8}[\"'])(?![$)\]},; ])[^\n]{1,256}?(?P=quote)"
    rf"|{_NO_CODE}(?={_BARE}{{0,256}}[\d!#%^*+~]){_BARE}{{2,256}}"
    rf"|(?<=[\w\"']=)(?!None\b|True\b|False\b){_NO_CODE}{_BARE}{{2,256}}(?=\s|;|&|[\"']|\Z)"
)
_KEY_VALUE = re.compile(
    r"(?P<quote>\\{0,8}[\"'])(?!\$|https?://)[^\s\"']{8,4096}?(?P=quote)"
    rf"|{_NO_CODE}{_MIXED}[\w.~+/=-]{{8,4096}}"
)
_RANDOM_VALUE = re.compile(
    rf"(?P<quote>\\{{0,8}}[\"']){_MIXED}[A-Za-z0-9+/=~-]{{16,4096}}(?P=quote)"
    rf"|{_NO_CODE}{_MIXED}[A-Za-z0-9+/=~-]{{16,4096}}(?![\w.])"
)
_URL_PARAMETER = re.compile(r"(?<=[?&#])(?P<name>[^=?&#\s]+)=")
_URL_VALUE = re.compile(r"[^&#\s]+(?P<quote>)")
# In a header's value: ``$NAME`` or ``${NAME}``; ``$$`` is a dollar sign.
VARIABLE = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")

# Addresses of servers in messages, for files that are handed on: a URL, an IP address, a name with a port, and a name
# with an ending that only such names have.
THE_SERVER, A_KEY = "the server", "a key"  # what is said instead of an address, and of the name of a key's variable
_PORT = r"(?::\d{1,5}(?![\w.]))"
_NAME_OF_HOST = r"[A-Za-z0-9](?:[\w-]{0,62}(?:\.[A-Za-z0-9][\w-]{0,62}){0,8})?"
_ENDINGS = "com|org|net|io|ai|dev|app|cloud|edu|gov|eu|de|uk|fr|ch|nl|cn|jp|example|local|lan|internal|intranet"
_FILES = "py|ipynb|js|json|txt|md|csv|toml|ya?ml|html?"  # ``file.py:12`` is a line of a file
_ADDRESS = (  # compiled at its first use, by an export
    r"\b[a-z][a-z0-9+.-]{1,10}://[^\s\"'<>`)\]},;]*[^\s\"'<>`)\]},;.:!?]"
    rf"|(?<![\w.:])(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?![\w]|\.\d){_PORT}?"
    rf"|\[[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]{_PORT}?"
    rf"|(?<![\w.:/@-])(?=[\w.-]{{0,300}}[A-Za-z])(?![\w.-]{{0,300}}\.(?:{_FILES}):)"
    rf"{_NAME_OF_HOST}:\d{{2,5}}(?![\w.:]\w|\w)"
    rf"|(?<![\w.:/@-])localhost\b"
    rf"|(?<![\w.:/@-])(?:[A-Za-z0-9][\w-]{{0,62}}\.){{1,8}}(?:{_ENDINGS})\b(?!\.\w|\(){_PORT}?"
)
_VARIABLE_NAME = r"\$?\{?\b[A-Z][A-Z0-9]{0,60}(?:_[A-Z0-9]{1,60}){1,9}\b\}?"

MAX_PARAMETER_DEPTH = 20  # levels of a nested parameter that are kept
MIN_VALUE = 8  # characters of a variable's value that is looked for in texts; shorter ones stand in many words
MIN_HOST = 3  # characters of a host's name that is looked for in messages
MIN_RANDOM = 32  # characters of a random text that is too long for the name of a variable


# Is it a secret?


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Is ``name`` the name of a key, a token or a password?"""
    return name not in _SHELL_FOLDERS and bool(_SECRET_NAME.search(_HARMLESS_NAME.sub("", _words(name))))


def _words(name: str) -> str:
    return " ".join(_WORD.findall(name)).lower()


def is_secret_file(path: Path) -> bool:
    """Does ``path``, or the target of the link, have the name of a file with keys or passwords?"""
    return any(_SECRET_FILE.fullmatch(re.split(r"[\\/]", each)[-1]) for each in (str(path), os.path.realpath(path)))


def is_environment_secret(name: str, value: object, environ: Mapping[str, str] = os.environ) -> bool:
    """Is it an environment variable whose value looks like a key? Its name does not matter."""
    return isinstance(value, str) and environ.get(name) == value and _RANDOM.fullmatch(value) is not None


def looks_like_key(text: str) -> bool:
    """Is ``text`` a key, and not the name of one? The name of an environment variable is no key."""
    if text in os.environ:
        return False
    digits, mixed = bool(re.search("[0-9]", text)), text not in (text.lower(), text.upper())
    return bool(_SERVICE_KEY.fullmatch(text)) or (len(text) >= MIN_RANDOM and digits and (mixed or "_" not in text))


def is_secret_header(name: str, value: str) -> bool:
    """Is ``value`` a secret itself, and not the name of the variable that contains it?"""
    if any(found[0] != "$$" for found in VARIABLE.finditer(value)):
        return False
    return is_secret_name(name) or any(map(looks_like_key, re.split(r"[\s;,=]+", value)))


# Texts


def redact(text: str) -> str:
    """``text`` with ``***`` in place of each secret that can be recognised.

    These are users and passwords in URLs, values after secret names, private keys, and keys and tokens of known
    services. Redact a text before you cut it: the beginning of a key cannot be recognised.
    """
    if "@" in text:
        text = _PASSWORD.sub("***@", text) if "://" in text else text
        text = _LOGIN.sub("***@", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(r"\1***", text)
    if "=" in text:
        text = _without_values(text, _URL_PARAMETER, lambda _name: _URL_VALUE)
    if any(mark in text for mark in _MARKS):
        text = _SERVICE_KEY.sub(_beginning, text)
    if any(mark in text for mark in _AUTHORIZATION_MARKS):
        text = _AUTHORIZATION.sub(r"\1***", text)
    if "=" in text or ":" in text:
        text = _without_values(text, _ASSIGNMENT, _value_after)
    return text


def redact_environment(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Like ``redact``, and also without the values of environment variables with secret names."""
    for name, value in environ.items():
        if len(value) >= MIN_VALUE and value in text and is_secret_name(name):
            text = text.replace(value, MASK)
    return redact(text)


def redact_shortened_keys(text: str) -> str:
    """``text`` without partly masked keys (``sk-ab…yz``). Only for messages about keys: it matches other words too."""
    return _SHORTENED_KEY.sub(MASK, text)


def _beginning(key: re.Match[str]) -> str:
    beginning = _BEGINNING.match(key[0])
    return f"{beginning[0] if beginning else ''}{MASK}"


def _value_after(name: str) -> re.Pattern[str]:
    if _PASSWORD_NAME.search(name):
        return _PASSWORD_VALUE
    return _RANDOM_VALUE if _COMMON_NAME.fullmatch(name) else _KEY_VALUE


def _without_values(text: str, names: re.Pattern[str], value_after: Callable[[str], re.Pattern[str]]) -> str:
    """``text`` with ``***`` in place of the values after secret names; ``names`` finds all names."""
    if not _HAS_SECRET_WORD.search(text):
        return text
    pieces, end = [], 0
    for found in names.finditer(text):
        if found.start() < end or not is_secret_name(found["name"]):
            continue
        value = value_after(found["name"]).match(text, found.end())
        if value and MASK not in value[0]:
            quote = value["quote"] or ""
            pieces.append(f"{text[end : found.end()]}{quote}{MASK}{quote}")
            end = value.end()
    return "".join((*pieces, text[end:]))


def without_addresses(text: str, addresses: Iterable[str] = ()) -> str:
    """A message with ``the server`` for each address, and ``a key`` for each name of an environment variable of a key.

    ``addresses`` are further addresses, of which the host's name is looked for too. Not for what a person wrote.
    """
    text = re.sub(_ADDRESS, THE_SERVER, text)
    for address in addresses:
        host = address.partition("://")[2].partition("/")[0].rpartition("@")[2] or address
        for name in (address, host, host.rpartition(":")[0]):
            if len(name) >= MIN_HOST:
                text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", THE_SERVER, text)
    return re.sub(_VARIABLE_NAME, lambda name: A_KEY if is_secret_name(name[0]) else name[0], text)


# Values


def without_secrets(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """``parameters`` without secrets, as JSON values.

    Entries with secret names are left out at any depth, and texts are redacted. Headers that name a variable stay. A
    value that JSON cannot represent becomes the name of its type.
    """
    harmless: dict[str, Any] = _harmless(parameters, MAX_PARAMETER_DEPTH + 1)
    return harmless


def redacted_repr(value: Any) -> str:
    """The ``repr`` of a dataclass instance, without secrets."""
    shown = (f"{field.name}={_masked(getattr(value, field.name))!r}" for field in fields(value) if field.repr)
    return redact(f"{type(value).__qualname__}({', '.join(shown)})")


def _harmless(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return redact(value)
    if depth and isinstance(value, Mapping):
        return {
            str(name): _headers(each) if name == _HEADERS else _harmless(each, depth - 1)
            for name, each in value.items()
            if not _is_secret_parameter(str(name), each)
        }
    if depth and isinstance(value, (list, tuple)):
        return [_harmless(each, depth - 1) for each in value]
    return f"<{type(value).__name__}>"


def _is_secret_parameter(name: str, value: Any) -> bool:
    if name in _KEY_PLACES:
        return False
    is_number = isinstance(value, (int, float))
    return is_secret_name(name) or (not is_number and bool(_PLURAL_NAME.search(_words(name))))


def _headers(headers: Any) -> dict[str, str | None]:
    texts = {str(name): value and str(value) for name, value in headers.items()} if isinstance(headers, Mapping) else {}
    return {
        name: value and redact(value) for name, value in texts.items() if not value or not is_secret_header(name, value)
    }


def _masked(value: Any) -> Any:
    """``value`` with ``***`` in place of texts with secret names, at any depth."""
    if type(value) in (list, tuple):
        return type(value)(map(_masked, value))
    if not isinstance(value, Mapping):
        return value
    return {
        name: MASK if isinstance(each, str) and is_secret_name(str(name)) else _masked(each)
        for name, each in value.items()
    }
