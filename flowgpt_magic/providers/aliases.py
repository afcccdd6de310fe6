"""Aliases: short names that the user defines for a model, its server and its options.

They are stored in ``aliases.json`` beside the settings file. Keys are never stored: an alias has the name of the
environment variable or keyring entry, which is read when a prompt is sent.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flowgpt_magic import keys, settings
from flowgpt_magic.errors import FlowGptError, MissingKeyError
from flowgpt_magic.providers.registry import find_target, is_built_in, provider_names, server_settings
from flowgpt_magic.settings import extra_headers, parameters
from flowgpt_magic.settings.parameters import Layer

ALIASES_FILE_NAME = "aliases.json"
ALIASES_VERSION = 1
MAX_CHAIN = 3  # aliases that point from one to the next
MAX_NAME_LENGTH = 100
MERGED_ALIAS_FIELDS = ("params", "extra_headers")  # merged with the settings; the other fields replace them
ALIAS_TEXT_FIELDS = ("target", "base_url", "system", "key_variable")
_file_lock = threading.Lock()


class AliasError(FlowGptError):
    """An alias is invalid, or cannot be stored or resolved."""


class _NewerFileError(Exception):
    pass


@dataclass(frozen=True)
class Alias:
    """A short name for a model. Empty fields leave the setting unchanged.

    Attributes:
        name: the short name.
        target: a provider and model, a provider, a model or another alias.
        base_url: the server; empty for the one of the settings.
        system: the system prompt.
        temperature: None for the setting.
        key_variable: the *name* of the environment variable with the key, or ``keyring:SERVICE/USER``.
        params: further parameters of the provider.
        extra_headers: further headers for the server.
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
    """The path of the file of aliases, which need not exist."""
    return settings.settings_file().parent / ALIASES_FILE_NAME


def load() -> dict[str, Alias]:
    """The user's aliases by name. Raises ``AliasError``, which names the file, if it cannot be used."""
    path = aliases_file()
    try:
        return dict(settings.parsed(path, _parse))
    except FileNotFoundError:
        return {}
    except _NewerFileError:
        raise AliasError(
            f"{path} was written by a newer flowgpt_magic: upgrade this one. The file is unchanged."
        ) from None
    except json.JSONDecodeError as error:
        cause = f"it is not JSON ({error})"
    except UnicodeDecodeError:
        cause = "it is not UTF-8 text"
    except RecursionError:
        cause = "it is nested too deeply"
    except OSError as error:
        cause = error.strerror or str(error)
    except FlowGptError as error:  # of ``_parse``
        cause = error.clause
    except ValueError as error:  # a number with thousands of digits
        cause = str(error)
    raise AliasError(f"{path} cannot be used: {cause}; repair or move it. The file is unchanged.")


def save(alias: Alias) -> None:
    """Store ``alias``; it replaces one of the same name.

    Raises ``AliasError`` or ``SettingError`` for invalid values, and ``AliasError`` if the file cannot be written.
    """
    _check_name(alias.name)
    alias = _checked(alias)
    with _file_lock:
        aliases = {**load(), alias.name: alias}
        for other in aliases.values():
            chain = _chain(other, aliases)
            if alias.name in chain:
                _check_chain(chain)
        _write(aliases)


def remove(name: str) -> bool:
    """Delete an alias; False if there is none of this name."""
    with _file_lock:
        aliases = load()
        if name not in aliases:
            return False
        del aliases[name]
        _write(aliases)
        return True


def target_of(name: str) -> str | None:
    """The model behind the alias ``name``, through other aliases; None if there is no such alias."""
    aliases = load()
    return _merged(aliases[name], aliases).target if name in aliases else None


def merged(alias: Alias) -> Alias:
    """``alias`` with the values that it inherits from its target. Raises ``AliasError`` for a cycle."""
    return _merged(alias, load())


def to_options(alias: Alias, *, need_key: bool = True, aliases: Mapping[str, Alias] | None = None) -> dict[str, Any]:
    """The settings that ``alias`` stands for, with its key read now.

    A server that an alias names gets the alias's key or none, never a key that is set for another server. Raises
    ``MissingKeyError`` unless ``need_key`` is False, and ``AliasError`` for a cycle.
    """
    alias = merged(alias) if aliases is None else _merged(alias, aliases)
    options: dict[str, Any] = {"model": alias.target}
    if alias.system:
        options["system"] = alias.system
    if alias.temperature is not None:
        options["temperature"] = alias.temperature
    for name in MERGED_ALIAS_FIELDS:
        if values := getattr(alias, name):
            options[name] = dict(values)
    if alias.base_url or alias.key_variable:
        address, key = _server_settings(alias)
        if alias.base_url:
            options |= {address: alias.base_url, key: ""}
        if alias.key_variable:
            if need_key and (reason := keys.missing(alias.key_variable)):
                raise MissingKeyError(f"alias {alias.name} has no key: {reason}")
            options[key] = _key(alias.key_variable, key, need_key=need_key)
    return options


def _server_settings(alias: Alias) -> tuple[str, str]:
    """The names of the settings for its endpoint and its key."""
    return server_settings(lambda: find_target(alias.target.strip()))


def _key(name: str, setting: str, *, need_key: bool) -> str:
    """The value of a key's ``setting``: ``name``, or the key itself if the setting contains that."""
    if not settings.TABLE[setting].metadata["secret"]:
        return name
    return keys.read(name) if need_key else os.environ.get(name, "").strip()


def apply(
    chosen: settings.Settings, *, need_key: bool = True, load_aliases: Callable[[], Mapping[str, Alias]] = load
) -> settings.Settings:
    """``chosen`` with the values of the alias that its model names, if it names one.

    Values that were set as close to the prompt as the model, or closer, stay. The server and its key are replaced
    together or not at all. Raises the same errors as ``to_options``.
    """
    name = chosen.model.strip()
    aliases = load_aliases() if may_be_alias(name) else {}
    if name not in aliases:
        return chosen
    options, rank = to_options(aliases[name], need_key=need_key, aliases=aliases), chosen.ranks.get("model", -1)
    source = f"alias {name}"
    tables = {table: options.pop(table, {}) for table in MERGED_ALIAS_FIELDS}
    if settings.SERVER in options:
        options[settings.API] = settings.TABLE[settings.API].default  # that of the settings is for their server
    as_settings = {setting: value for setting, value in tables["params"].items() if setting in settings.TABLE}
    options |= {setting: settings.check(setting, value, source) for setting, value in as_settings.items()}

    def stays(setting: str) -> bool:
        return chosen.ranks.get(setting, -1) >= rank

    replaced = {
        "model",
        *(setting for setting in options if setting not in settings.KEYS.values() and not stays(setting)),
    }
    for address, key in settings.KEYS.items():
        if key in options and (address in replaced or (address not in options and not stays(key))):
            replaced.add(key)
    labels = {
        setting: f"{source}, {chosen.sources.get(setting, '')}" if setting == "model" else source
        for setting in replaced
    }
    changed = replace(
        chosen,
        **{setting: options[setting] for setting in replaced},
        sources={**chosen.sources, **labels},
        ranks={**chosen.ranks, **dict.fromkeys(replaced, rank)},
    )
    tables["params"] = {setting: value for setting, value in tables["params"].items() if setting not in as_settings}
    address = _header_address(aliases[name], tables)
    server = str(options.get(address, getattr(changed, address))).strip().rstrip("/")
    layers = {
        table: Layer(source, rank - 0.5, values, server)  # just below what was set as close to the prompt as the alias
        for table, values in tables.items()
        if values
    }
    return _with_tables(changed, layers, source, address)


def _header_address(alias: Alias, tables: Mapping[str, Any]) -> str:
    """The setting of the address of the server that the headers of ``alias`` are for."""
    address = _server_settings(alias)[0] if tables[extra_headers.EXTRA_HEADERS] else settings.SERVER
    return address if address in settings.CLIENT_VARIABLES else settings.SERVER


def _with_tables(
    chosen: settings.Settings, tables: Mapping[str, Layer], source: str, address: str
) -> settings.Settings:
    """``chosen`` with the merged fields of an alias.

    Args:
        chosen: the settings.
        tables: the alias's values by the name of the setting.
        source: the name of the alias for messages.
        address: the setting of the address of the server that its headers are for.
    """
    layers = {**chosen.layers, **{name: (*chosen.layers.get(name, ()), layer) for name, layer in tables.items()}}
    sources = {**dict.fromkeys(tables, source), **chosen.sources}
    return settings.with_tables(replace(chosen, layers=layers, sources=sources), address)


def key_for(address: str, server: str, chosen: settings.Settings, default: str = "") -> str:
    """The key for ``server``, or its name, to send a stored turn again: a turn records its server but no key.

    It is the one in force for that server, else that of an alias that names the server, else ``default``. ``address``
    is the setting of the server's address.
    """
    key = settings.KEYS[address]
    if server == getattr(chosen, address) and (value := getattr(chosen, key)):
        return str(value)
    aliases = load()
    for alias in (_merged(other, aliases) for other in aliases.values()):
        if alias.key_variable and alias.base_url == server.strip().rstrip("/") and _server_settings(alias)[1] == key:
            return _key(alias.key_variable, key, need_key=True)
    return default


def may_be_alias(name: str) -> bool:
    """Could ``name`` be an alias? Decided by its form, without reading the file."""
    return bool(name) and not re.search(r"[\s:/]", name) and not is_built_in(name)


# Checks


def _check_name(name: str) -> None:
    _check_form(name)
    if name in provider_names():
        raise AliasError(f"{name} is the name of a provider; choose another name for the alias")


def _check_form(name: object) -> None:
    if not isinstance(name, str) or not name or not name.isprintable() or re.search(r"[\s:/\\\"']", name):
        raise AliasError("the name of an alias has only printable characters, without spaces, quotes, : / or \\")
    if name.startswith("-") or name.lower() == "none":
        raise AliasError(f"an alias cannot be named {name}: that has another meaning on a magic line")
    if len(name) > MAX_NAME_LENGTH:
        raise AliasError(f"the name of an alias has at most {MAX_NAME_LENGTH} characters")


def _checked(alias: Alias) -> Alias:
    """``alias`` with normalized values. Raises ``AliasError`` or ``SettingError``, which name it."""
    _check_form(alias.name)
    source = f"alias {alias.name}"
    for name in ALIAS_TEXT_FIELDS:
        if not isinstance(getattr(alias, name), str):
            raise AliasError(f"{source}: {name} must be text")
    if not alias.target.strip():
        raise AliasError(f"{source} needs a target: a provider, a model, provider:model or another alias")
    _check_key_variable(alias.key_variable, source)
    params, headers = _checked_tables(alias, source)
    temperature = alias.temperature
    if "temperature" in params:
        if temperature is not None:
            raise AliasError(f"{source}: temperature is there twice, as an option and as a parameter")
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
    """The parameters and headers of ``alias``. Headers may be given as a parameter too.

    Raises ``SettingError`` for invalid values, and ``AliasError`` for what an alias sets in another way.
    """
    params = dict(settings.check("params", alias.params or None, source) or {})
    for name, value in params.items():
        setting = settings.TABLE.get(name)
        if name in (*settings.NO_PARAMETERS, *settings.KEYS) or (setting and setting.metadata["secret"]):
            raise AliasError(f"{source}: {name} is not a parameter of an alias")
        if name in settings.KEYS.values():
            raise AliasError(f"{source}: {name} is not a parameter; an alias names its key with --key-variable")
        if setting and value is not None:
            params[name] = settings.check(name, value, source)
    more_headers = params.pop(extra_headers.EXTRA_HEADERS, None) or {}
    headers = settings.check(extra_headers.EXTRA_HEADERS, alias.extra_headers or None, source) or {}
    return params, extra_headers.joined(headers, more_headers)


def _base_url(text: str, source: str) -> str:
    """The normalized base URL, or empty. Errors do not quote it, because it may contain a password."""
    text = text.strip().rstrip("/")
    if not text:
        return ""
    if "@" in text:
        raise AliasError(f"{source}: an endpoint cannot contain a password; give the name of the key's variable")
    try:
        url = urlsplit(text)
        is_complete = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_complete = False
    if not is_complete or url.query or url.fragment or not text.isprintable() or " " in text:
        raise AliasError(
            f"{source}: the endpoint is not a base URL; write scheme and host, such as http://127.0.0.1:8765"
        )
    return text


def _check_key_variable(name: str, source: str) -> None:
    """Raise ``AliasError`` if ``name`` looks like a key itself. The error does not quote it."""
    if name and not keys.is_name(name):
        raise AliasError(
            f"{source}: give the name of the variable that holds the key, such as OPENAI_API_KEY, or "
            "keyring:SERVICE/USER, not the key itself"
        )


def _chain(alias: Alias, aliases: Mapping[str, Alias]) -> list[str]:
    """The names from ``alias`` to the last alias, to the first repeated one, or to one more than allowed."""
    chain = [alias.name]
    while alias.target in aliases and len(chain) <= MAX_CHAIN and alias.target not in chain:
        alias = aliases[alias.target]
        chain.append(alias.name)
    return [*chain, alias.target] if alias.target in chain else chain


def _check_chain(chain: list[str]) -> None:
    if len(set(chain)) < len(chain):
        hint = f"; a model of that name is written provider:{chain[0]}" if len(chain) == 2 else ""
        raise AliasError(f"the aliases form a cycle: {' → '.join(chain)}{hint}")
    if len(chain) > MAX_CHAIN:
        raise AliasError(f"more than {MAX_CHAIN} aliases in a chain: {' → '.join(chain)}")


def _merged(alias: Alias, aliases: Mapping[str, Alias]) -> Alias:
    chain = _chain(alias, aliases)
    _check_chain(chain)
    merged_alias = alias
    for name in chain[1:]:
        lower = aliases[name]
        merged_alias = replace(
            merged_alias,
            target=lower.target,
            base_url=merged_alias.base_url or lower.base_url,
            system=merged_alias.system or lower.system,
            temperature=lower.temperature if merged_alias.temperature is None else merged_alias.temperature,
            # A key is sent only to the server it was given for.
            key_variable=merged_alias.key_variable or ("" if merged_alias.base_url else lower.key_variable),
            extra_headers=extra_headers.joined(
                {} if merged_alias.base_url else lower.extra_headers, merged_alias.extra_headers
            ),
            params=parameters.merged([Layer(name, 0, lower.params), Layer(merged_alias.name, 1, merged_alias.params)]),
        )
    return merged_alias


# The file


def _parse(content: bytes) -> dict[str, Alias]:
    document = json.loads(content.decode("utf-8-sig"))
    if not isinstance(document, dict) or not isinstance(document.get("version"), int):
        raise AliasError("it has no version")
    if document["version"] > ALIASES_VERSION:
        raise _NewerFileError
    entries = document.get("aliases")
    if not isinstance(entries, dict):
        raise AliasError("it contains no aliases")
    return {name: _parse_entry(name, values) for name, values in entries.items()}


def _parse_entry(name: str, values: object) -> Alias:
    names = [field.name for field in fields(Alias) if field.name != "name"]
    if not isinstance(values, dict) or "target" not in values:
        raise AliasError(f"alias {name!r} has no target")
    for key in values:
        if key not in names:
            raise AliasError(f"alias {name!r} has {key!r}, which is none of {', '.join(names)}")
    return _checked(Alias(name, **values))


def _write(aliases: Mapping[str, Alias]) -> None:
    """Replace the file atomically; only the owner can read it."""
    entries = {name: _stored_fields(alias) for name, alias in sorted(aliases.items())}
    text = json.dumps({"version": ALIASES_VERSION, "aliases": entries}, indent=2) + "\n"
    if aliases_file().is_relative_to(settings.NOWHERE):
        raise AliasError("there is no home folder for aliases; set XDG_CONFIG_HOME to a folder.")
    path = Path(os.path.realpath(aliases_file()))  # keeps a symbolic link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{ALIASES_FILE_NAME}-", dir=path.parent)  # of mode 0600
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
        raise AliasError(f"{path} cannot be written: {error.strerror or error}; the aliases are unchanged") from None


def _stored_fields(alias: Alias) -> dict[str, Any]:
    values = asdict(alias)
    del values["name"]
    return {name: value for name, value in values.items() if value not in ("", None, {})}
