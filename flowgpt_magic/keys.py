"""Read keys by name from an environment variable or from the system's keyring.

A name is ``OPENAI_API_KEY``, or ``keyring:SERVICE/USER`` as in ``keyring set SERVICE USER``, never the key itself.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from importlib.util import find_spec

from flowgpt_magic import installing
from flowgpt_magic.errors import MissingKeyError

KEYRING = "keyring:"


def is_name(text: str) -> bool:
    """Can ``text`` be the name of an environment variable or keyring entry? A key itself is not."""
    from flowgpt_magic.redaction import looks_like_key  # its patterns take a while to compile

    if text.startswith(KEYRING):
        service, user = _entry(text)
        return bool(service and user) and text.isprintable() and not any(map(looks_like_key, (service, user)))
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text)) and not looks_like_key(text)


def check_name(value: object) -> str:
    """``value`` without spaces around it, if it is such a name or empty; raises ``ValueError`` without showing it."""
    text = value.strip() if isinstance(value, str) else None
    if text is not None and (not text or is_name(text)):
        return text
    raise ValueError(
        "must be the name of what holds the key, an environment variable such as OPENAI_API_KEY or "
        "keyring:SERVICE/USER, not the key itself"
    )


def _entry(name: str) -> tuple[str, str]:
    """The service and user of a keyring entry; a service may contain slashes."""
    service, _slash, user = name.removeprefix(KEYRING).rpartition("/")
    return service, user


def place(name: str) -> str:
    """``name`` in words, for messages."""
    if name.startswith(KEYRING):
        service, user = _entry(name)
        return f"the keyring's entry {service} of {user}"
    return f"the environment variable {name}"


def missing(name: str) -> str:
    """Why the key ``name`` cannot be read, as far as known without opening a keyring; "" if nothing is wrong.

    Opening a keyring may ask the user for a password.
    """
    if name.startswith(KEYRING):
        return (
            ""
            if find_spec("keyring")
            else f"the keyring cannot be read without its library: {installing.command('keyring')} installs it"
        )
    return "" if os.environ.get(name, "").strip() else f"{place(name)} is not set"


def read(name: str) -> str:
    """The key; may wait for the user to unlock the keyring. Raises ``MissingKeyError``, which says what is missing."""
    if reason := missing(name):
        raise MissingKeyError(reason)
    key = _from_keyring(name) if name.startswith(KEYRING) else os.environ[name]
    return key.strip()


async def read_soon(name: str) -> str:
    """Like ``read``, but does not block the event loop. A keyring is read on a daemon thread."""
    if not name.startswith(KEYRING):
        return read(name)
    import asyncio  # loading the extension imports this module, and a plain shell does not need asyncio

    loop = asyncio.get_running_loop()
    found: asyncio.Future[str] = loop.create_future()

    def tell(key: str, error: BaseException | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(key)
        else:
            found.set_exception(error)

    def look() -> None:
        key, failure = "", None
        try:
            key = read(name)
        except MissingKeyError as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, key, failure)

    threading.Thread(target=look, name="flowgpt_magic keyring", daemon=True).start()
    return await found


def _from_keyring(name: str) -> str:
    service, user = _entry(name)
    try:
        import keyring

        found = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001 - a keyring is foreign code of many kinds; its words may hold a key
        raise MissingKeyError(
            f"{place(name)} cannot be read ({type(error).__name__}); the command `keyring "
            "diagnose` says which keyring is in use"
        ) from None
    if not found or not found.strip():
        raise MissingKeyError(f"{place(name)} is empty; `keyring set {service} {user}` sets it")
    return str(found)
