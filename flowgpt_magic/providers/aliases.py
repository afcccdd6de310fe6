"""Short names that a user makes for whom to ask, and how.

They are kept in ``aliases.json`` beside the settings file. A key is never among what is kept: an alias knows the name
of the environment variable that holds it, or of the keyring's entry, and that is read when something is asked.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flowgpt_magic import keys, settings
from flowgpt_magic.errors import FlowGptError, MissingKeyError
from flowgpt_magic.providers.registry import find_target, is_built_in, provider_names, server_settings
from flowgpt_magic.settings import extra_headers, parameters
from flowgpt_magic.settings.parameters import Layer

FILE = "aliases.json"
ALIASES_VERSION = 1
LONGEST_CHAIN = 3  # aliases, one pointing to the next
LONGEST_NAME = 100  # characters
TABLES = ("params", "extra_headers")  # settings that are merged, and so never taken or left as a whole
ALIAS_TEXTS = ("target", "base_url", "system", "key_variable")
_lock = threading.Lock()


class AliasError(FlowGptError):
    """An alias cannot be made, kept or followed; the message says why."""


class _NewerFileError(Exception):
    pass


@dataclass(frozen=True)
class Alias:
    """A short name, and what it stands for; what is empty is not the alias's to say.

    ``target`` is a provider and model, a provider, a model or another alias. ``base_url`` is its server, and
    ``key_variable`` the *name* of what holds the key for that: an environment variable, or ``keyring:SERVICE/USER``.
    ``params`` are further parameters of the provider, and ``extra_headers`` headers for its server.
    """

    name: str
    target: str
    base_url: str = ""
    system: str = ""
    temperature: float | None = None
    key_variable: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    extra_headers: Mapping[str, str | None] = field(default_factory=dict)

    def __repr__(self) -> str:
        from flowgpt_magic.redaction import redacted_repr  # its patterns take a while to compile

        return redacted_repr(self)


def aliases_file() -> Path:
    """Where the aliases are kept, or would be."""
    return settings.settings_file().parent / FILE


def load() -> dict[str, Alias]:
    """The user's aliases by name. Raises ``AliasError`` that names the file where it cannot be used."""
    path = aliases_file()
    try:
        return dict(settings.parsed(path, _read))
    except FileNotFoundError:
        return {}
    except _NewerFileError:
        raise AliasError(f"{path} is of a newer flowgpt_magic: update this one. It is left as it is.") from None
    except json.JSONDecodeError as error:
        cause = f"it is not JSON ({error})"
    except UnicodeDecodeError:
        cause = "it is not UTF-8 text"
    except RecursionError:
        cause = "it is nested too deeply"
    except OSError as error:
        cause = error.strerror or str(error)
    except FlowGptError as error:  # what _read finds
        cause = error.clause
    except ValueError as error:  # of a number with thousands of digits
        cause = str(error)
    raise AliasError(f"{path} cannot be used: {cause}; mend it or move it away. It is left as it is.")


def save(alias: Alias) -> None:
    """Keep ``alias``, in the place of one of the same name.

    Raises ``AliasError`` or ``SettingError`` for what cannot be one, and ``AliasError`` where the file cannot be
    written.
    """
    _check_name(alias.name)
    alias = _checked(alias)
    with _lock:
        changed = {**load(), alias.name: alias}
        for each in changed.values():
            chain = _chain(each, changed)
            if alias.name in chain:
                _check_chain(chain)
        _write(changed)


def remove(name: str) -> bool:
    """Forget an alias; False where there is none of this name."""
    with _lock:
        known = load()
        if name not in known:
            return False
        del known[name]
        _write(known)
        return True


def target_of(name: str) -> str | None:
    """Whom the alias ``name`` asks in the end, over other aliases; None where there is no alias of this name."""
    known = load()
    return _merged(known[name], known).target if name in known else None


def merged(alias: Alias) -> Alias:
    """``alias`` with what it takes over from the alias it points to. Raises ``AliasError`` for a circle."""
    return _merged(alias, load())


def to_options(alias: Alias, *, need_key: bool = True, known: Mapping[str, Alias] | None = None) -> dict[str, Any]:
    """The settings that a prompt is asked with under this alias; a key is read now. ``known`` are all aliases.

    A server that an alias names gets the alias's key or none, never one that is set for another one. Raises
    ``MissingKeyError`` where the key is not there, unless it is not needed, and ``AliasError`` for a circle.
    """
    alias = merged(alias) if known is None else _merged(alias, known)
    found: dict[str, Any] = {"model": alias.target}
    if alias.system:
        found["system"] = alias.system
    if alias.temperature is not None:
        found["temperature"] = alias.temperature
    for name in TABLES:
        if given := getattr(alias, name):
            found[name] = dict(given)
    if alias.base_url or alias.key_variable:
        address, key = _address_and_key(alias)
        if alias.base_url:
            found |= {address: alias.base_url, key: ""}
        if alias.key_variable:
            if need_key and (reason := keys.missing(alias.key_variable)):
                raise MissingKeyError(f"alias {alias.name} has no key: {reason}")
            found[key] = _key(alias.key_variable, key, need_key=need_key)
    return found


def _address_and_key(alias: Alias) -> tuple[str, str]:
    """The settings that its endpoint and its key stand for."""
    return server_settings(lambda: find_target(alias.target.strip()))


def _key(name: str, setting: str, *, need_key: bool) -> str:
    """The value of a setting for the key ``name``: the name, or where the setting holds the key itself, that."""
    if not settings.TABLE[setting].metadata["secret"]:
        return name
    return keys.read(name) if need_key else os.environ.get(name, "").strip()


def apply(chosen: settings.Settings, *, need_key: bool = True) -> settings.Settings:
    """``chosen`` with what its model implies, where that is an alias.

    What was set as near to the prompt as the model was, or nearer, stays. The server and its key go together: both are
    the alias's, or neither. Raises what ``to_options`` does.
    """
    name = chosen.model.strip()
    known = load() if may_be_alias(name) else {}
    if name not in known:
        return chosen
    implied, rank = to_options(known[name], need_key=need_key, known=known), chosen.ranks.get("model", -1)
    source = f"alias {name}"
    tables = {table: implied.pop(table, {}) for table in TABLES}
    own = {each: value for each, value in tables["params"].items() if each in settings.TABLE}
    implied |= {each: settings.check(each, value, source) for each, value in own.items()}

    def stays(setting: str) -> bool:
        return chosen.ranks.get(setting, -1) >= rank

    taken = {"model", *(each for each in implied if each not in settings.KEYS.values() and not stays(each))}
    for address, key in settings.KEYS.items():
        if key in implied and (address in taken or (address not in implied and not stays(key))):
            taken.add(key)
    labels = {each: f"{source}, {chosen.sources.get(each, '')}" if each == "model" else source for each in taken}
    asked = replace(
        chosen,
        **{each: implied[each] for each in taken},
        sources={**chosen.sources, **labels},
        ranks={**chosen.ranks, **dict.fromkeys(taken, rank)},
    )
    tables["params"] = {each: value for each, value in tables["params"].items() if each not in own}
    server = str(implied.get(settings.SERVER, asked.openai_base_url))
    return _with_tables(asked, tables, source, rank, server)


def _with_tables(
    chosen: settings.Settings, tables: Mapping[str, Any], source: str, rank: float, server: str
) -> settings.Settings:
    """``chosen`` with the tables of an alias merged in, just below what was set as near as the alias was.

    - ``tables`` are what the alias gives, by the names of the settings.
    - ``source`` is what the alias is called where a value's source is shown.
    - ``rank`` is that of the setting that named the alias.
    - ``server`` is the one that its headers go to.
    """
    layers, sources = dict(chosen.layers), dict(chosen.sources)
    server = server.strip().rstrip("/")
    for name, values in tables.items():
        if values:
            layers[name] = (*layers.get(name, ()), Layer(source, rank - 0.5, values, server))
            sources.setdefault(name, source)
    return settings.with_tables(replace(chosen, layers=layers, sources=sources))


def key_for(address: str, server: str, chosen: settings.Settings, otherwise: str = "") -> str:
    """The key for ``server``, or its name, for asking again whom a turn asked: a turn knows its server and no key.

    ``address`` is the setting of that server. It is the one in force there, else that of an alias that names the
    server, else ``otherwise``.
    """
    key = settings.KEYS[address]
    if server == getattr(chosen, address) and (found := getattr(chosen, key)):
        return str(found)
    known = load()
    for alias in (_merged(each, known) for each in known.values()):
        if alias.key_variable and alias.base_url == server.strip().rstrip("/") and _address_and_key(alias)[1] == key:
            return _key(alias.key_variable, key, need_key=True)
    return otherwise


def may_be_alias(name: str) -> bool:
    """Can an alias be called so? Says whether it is worth while to look, without reading the file."""
    return bool(name) and not re.search(r"[\s:/]", name) and not is_built_in(name)


# Checks


def _check_name(name: str) -> None:
    _check_form(name)
    if name in provider_names():
        raise AliasError(f"{name} is the name of a provider; call the alias something else")


def _check_form(name: object) -> None:
    if not isinstance(name, str) or not name or not name.isprintable() or re.search(r"[\s:/\\\"']", name):
        raise AliasError("an alias has a name of printable characters, without spaces, quotes, : / or \\")
    if name.startswith("-") or name.lower() == "none":
        raise AliasError(f"an alias cannot be called {name}: on the line of a magic that means something else")
    if len(name) > LONGEST_NAME:
        raise AliasError(f"the name of an alias has {LONGEST_NAME} characters at most")


def _checked(alias: Alias) -> Alias:
    """``alias`` with its values as they are used; raises ``AliasError`` or ``SettingError`` that names it."""
    _check_form(alias.name)
    source = f"alias {alias.name}"
    for name in ALIAS_TEXTS:
        if not isinstance(getattr(alias, name), str):
            raise AliasError(f"{source}: {name} must be text")
    if not alias.target.strip():
        raise AliasError(f"{source} needs a target: a provider, a model, provider:model or another alias")
    _check_key_variable(alias.key_variable, source)
    params, headers = _checked_tables(alias, source)
    temperature = alias.temperature
    if "temperature" in params:
        if temperature is not None:
            raise AliasError(f"{source}: temperature is there twice, by itself and among the parameters")
        temperature = params.pop("temperature")
    return replace(
        alias,
        target=alias.target.strip(),
        base_url=_base_url(alias.base_url, source),
        temperature=settings.check("temperature", temperature, source),
        params=params,
        extra_headers=headers,
    )


def _checked_tables(alias: Alias, source: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """The parameters and headers of ``alias``; headers may be given among the parameters.

    Raises ``SettingError`` for what cannot be one, and for what is the alias's in another way.
    """
    params = dict(settings.check("params", alias.params or None, source) or {})
    for name, value in params.items():
        known = settings.TABLE.get(name)
        if name in (*settings.NO_PARAMETERS, *settings.KEYS) or (known and known.metadata["secret"]):
            raise AliasError(f"{source}: {name} is no parameter that an alias keeps")
        if name in settings.KEYS.values():
            raise AliasError(f"{source}: {name} is no parameter; an alias names its key with --key-variable")
        if known and value is not None:
            params[name] = settings.check(name, value, source)
    given = params.pop(extra_headers.EXTRA_HEADERS, None) or {}
    headers = settings.check(extra_headers.EXTRA_HEADERS, alias.extra_headers or None, source) or {}
    return params, extra_headers.joined(headers, given)


def _base_url(text: str, source: str) -> str:
    """``text`` in the form of a base URL, or empty. It is not quoted in an error: there may be a password in it."""
    text = text.strip().rstrip("/")
    if not text:
        return ""
    if "@" in text:
        raise AliasError(f"{source}: an endpoint holds no user and password; give the name of the key's variable")
    try:
        url = urlsplit(text)
        complete = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        complete = False
    if not complete or url.query or url.fragment or not text.isprintable() or " " in text:
        raise AliasError(
            f"{source}: the endpoint is not a base URL; write scheme and host, such as http://127.0.0.1:8765"
        )
    return text


def _check_key_variable(name: str, source: str) -> None:
    """Raise ``AliasError``, which does not quote it, for what is a key itself, or no name of what holds one."""
    if name and not keys.is_name(name):
        raise AliasError(
            f"{source}: give the name of the variable that holds the key, such as OPENAI_API_KEY, or "
            "keyring:SERVICE/USER, not the key itself"
        )


def _chain(alias: Alias, known: Mapping[str, Alias]) -> list[str]:
    """The names from ``alias`` on, to the last alias, to the first that comes again, or to one too many."""
    chain = [alias.name]
    while alias.target in known and len(chain) <= LONGEST_CHAIN and alias.target not in chain:
        alias = known[alias.target]
        chain.append(alias.name)
    return [*chain, alias.target] if alias.target in chain else chain


def _check_chain(chain: list[str]) -> None:
    if len(set(chain)) < len(chain):
        hint = f"; a model of that name is written provider:{chain[0]}" if len(chain) == 2 else ""
        raise AliasError(f"the aliases go in a circle: {' → '.join(chain)}{hint}")
    if len(chain) > LONGEST_CHAIN:
        raise AliasError(f"more than {LONGEST_CHAIN} aliases point one to the next: {' → '.join(chain)}")


def _merged(alias: Alias, known: Mapping[str, Alias]) -> Alias:
    chain = _chain(alias, known)
    _check_chain(chain)
    found = alias
    for name in chain[1:]:
        lower = known[name]
        found = replace(
            found,
            target=lower.target,
            base_url=found.base_url or lower.base_url,
            system=found.system or lower.system,
            temperature=lower.temperature if found.temperature is None else found.temperature,
            # A key goes to no other server than the one it was given for.
            key_variable=found.key_variable or ("" if found.base_url else lower.key_variable),
            extra_headers=extra_headers.joined({} if found.base_url else lower.extra_headers, found.extra_headers),
            params=parameters.merged([Layer(name, 0, lower.params), Layer(found.name, 1, found.params)]),
        )
    return found


# The file


def _read(content: bytes) -> dict[str, Alias]:
    document = json.loads(content.decode("utf-8-sig"))
    if not isinstance(document, dict) or not isinstance(document.get("version"), int):
        raise AliasError("it does not say of which version it is")
    if document["version"] > ALIASES_VERSION:
        raise _NewerFileError
    entries = document.get("aliases")
    if not isinstance(entries, dict):
        raise AliasError("it holds no aliases")
    return {name: _entry(name, values) for name, values in entries.items()}


def _entry(name: str, values: object) -> Alias:
    known = [each.name for each in fields(Alias) if each.name != "name"]
    if not isinstance(values, dict) or "target" not in values:
        raise AliasError(f"alias {name!r} has no target")
    for each in values:
        if each not in known:
            raise AliasError(f"alias {name!r} has {each!r}, which is none of {', '.join(known)}")
    return _checked(Alias(name, **values))


def _write(known: Mapping[str, Alias]) -> None:
    """Replace the file atomically; only the owner can read it."""
    entries = {name: _kept(alias) for name, alias in sorted(known.items())}
    text = json.dumps({"version": ALIASES_VERSION, "aliases": entries}, indent=2) + "\n"
    if aliases_file().is_relative_to(settings.NOWHERE):
        raise AliasError("there is no home folder to keep aliases in: XDG_CONFIG_HOME names another folder for them.")
    path = Path(os.path.realpath(aliases_file()))  # a link to a file kept elsewhere stays one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{FILE}-", dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AliasError(f"{path} cannot be written: {error.strerror or error}; the aliases are as they were") from None


def _kept(alias: Alias) -> dict[str, Any]:
    values = asdict(alias)
    del values["name"]
    return {name: value for name, value in values.items() if value not in ("", None, {})}
