"""Keys, tokens and passwords that show by their form what they are.

Nothing else of the package is needed here, so that every error can mask what it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

_WORDS = "(?<!com)(?<!by)(?<!tres)(?<!sur)(?<!over)(?<!under)(?<!low)(?<!high)(?<!band)"  # that end in "pass" too
# Words that have "key" in them, and keys of a table.
_KEY = "(?<!mon)(?<!don)(?<!tur)(?<!whis)(?<!hoc)(?<!joc)(?<!primary_)(?<!foreign_)key(?!word|board|frame|stroke)"
_COUNTABLE = "token(?!_?count|_?limit|_?budget|i[sz])"
NAMES = (
    rf"{_KEY}|{_COUNTABLE}|passw|{_WORDS}pass(?![a-z])|pwd|passphrase|secret|credential|"
    r"auth(?!or)|authori[sz]ation|cookie|bearer|"
    r"prox(?:y|ies)"
)
"""What the names of secrets have in them, as a pattern without regard to case."""

_NAME = re.compile(NAMES, re.I)
_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")  # user:password@ in a URL; people type passwords with @, # and ? in them
# The same without a scheme. What stands before the colon may say that an address of mail follows; that has no password.
_MAIL = "(?:e-?mails?|mail-?to|to|cc|bcc|from|sender|reply-to|contacts?|sips?|xmpp)"
_LOGIN = re.compile(
    rf"(?<![\w.+:@-])(?!{_MAIL}:)(?=[\d.+-]{{0,64}}[A-Za-z_])[\w.+-]{{1,64}}:(?![\s/])[^\s/\"'`<>@]{{1,128}}@(?=[\w-]{{1,63}}[.:/]|localhost|\[)",
    re.I,
)
_QUERY = re.compile(rf"(?<=[?&#])(?=[^=?&#\s]*?(?:{NAMES}))([^=?&#\s]+=)[^&#\s]+", re.I)

# What is said to be a password or a key: ``password=…``, ``"api_key": "…"``. A name of a variable, as in ``$NAME``, and
# code that reads it from somewhere are none.
_SIGNED = r"\\{0,8}[\"']?[ \t]{0,3}(?::=|=>|[=:])[ \t]{0,3}(?:[bru](?=[\"']))?"
_WORD = r"(?:pass(?:word|wd|phrase|code)s?|pwd)\d?"
_KEY_NAME = (
    r"(?:secret(?:[_-]?access)?[_-]?key|(?:api|access|account|private|signing|encryption)[_-]?key"
    r"|(?:access|auth|refresh|bearer|session|id)?[_-]?token|(?:client|app|shared|webhook)?[_-]?secret)s?\d?"
)
_BARE = r"[^\s,;&\"'`()\[\]{}<>\\]"
_CODE = r"(?![\w.]*[(\[])"
_ASSIGNED = re.compile(
    rf"(?P<password>{_WORD}{_SIGNED})(?:"
    r"(?P<q>\\{0,8}[\"'])(?![$)\]},; ])[^\n]{1,256}?(?P=q)"
    rf"|(?!\$){_CODE}(?={_BARE}{{0,256}}[\d!#%^*+~]){_BARE}{{2,256}}"
    rf"|(?<=[\w\"']=)(?!\$|None\b|True\b|False\b){_CODE}{_BARE}{{2,256}}(?=\s|;|&|[\"']|\Z))"
    rf"|(?P<key>{_KEY_NAME}{_SIGNED})(?:"
    r"(?P<k>\\{0,8}[\"'])(?!\$)[^\s\"']{8,4096}?(?P=k)"
    rf"|(?!\$){_CODE}(?=[^\d\s]{{0,256}}\d)(?=[^A-Za-z\s]{{0,256}}[A-Za-z])[\w.~+/=-]{{8,4096}})",
    re.I,
)
_ASSIGNED_WORDS = re.compile("passw|passphrase|passcode|pwd|key|token|secret", re.I)

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
    | eyJ (?=[\w-]{8,1000}\.eyJ[\w-]{8,}\.) [\w-]+\.[\w-]+\.[\w-]*                         # JWT (RFC 7519)
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
_KIND = "[A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PRIVATE_KEY = re.compile(rf"(-----BEGIN {_KIND}).*?(?:-----END {_KIND}|\Z)", re.S)
_HEADER_MARKS = ("earer", "EARER", "asic", "ASIC")
# A text without any of these has nothing that is masked by its form; looking for them is cheap.
_MARKS = (
    *("hooks.slack", "/webhooks/", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "xapp-"),
    *("AKIA", "ASIA", "ABIA", "ACCA", "eyJ", "sk-", "k_live_", "k_test_", "hf_", "gsk_", "xai-", "pplx-", "r8_"),
    *("dapi", "AIza", "ya29.", "GOCSPX-", "npm_", "pypi-", "SG.", "dop_v1_", "AccountKey=", "AccessKey="),
)


def without_passwords(text: str) -> str:
    """``text`` with everything in it that shows by its form that it is secret as ``***``.

    These are the user and password of addresses, keys in their queries, what is said to be a password or a key, and the
    keys and tokens of known services. The text is to be masked before it is cut: the beginning of a key has no form.
    """
    if "@" in text:
        text = _PASSWORD.sub("***@", text) if "://" in text else text
        text = _LOGIN.sub("***@", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(r"\1***", text)
    if "=" in text:
        text = _QUERY.sub(r"\1***", text)
    if any(mark in text for mark in _MARKS):
        text = _KNOWN.sub(lambda found: f"{_prefix(found[0])}***", text)
    if any(mark in text for mark in _HEADER_MARKS):
        text = _HEADER.sub(r"\1***", text)
    if ("=" in text or ":" in text) and _ASSIGNED_WORDS.search(text):
        text = _ASSIGNED.sub(_masked_value, text)
    return text


def _prefix(secret: str) -> str:
    found = _PREFIX.match(secret)
    return found[0] if found else ""


def _masked_value(found: re.Match[str]) -> str:
    if "***" in found[0]:  # of a form that is known besides
        return found[0]
    quote = found["q"] or found["k"] or ""
    return f"{found['password'] or found['key']}{quote}***{quote}"


def masked_repr(value: Any) -> str:
    """The ``repr`` of an instance of a dataclass, without what shows by its form that it is secret."""
    shown = (f"{each.name}={_unnamed(getattr(value, each.name))!r}" for each in fields(value) if each.repr)
    return without_passwords(f"{type(value).__qualname__}({', '.join(shown)})")


def _unnamed(value: Any) -> Any:
    """``value`` without what is named like a secret in it, at any depth of mappings."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: "***" if isinstance(each, str) and _NAME.search(str(name)) else _unnamed(each)
        for name, each in value.items()
    }
