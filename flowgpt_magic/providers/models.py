"""Resolve what a user writes after ``-m``: an alias, a provider or a model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from flowgpt_magic.errors import ModelNotSupportedError, ProviderNotFoundError, ProviderTimeoutError
from flowgpt_magic.providers import aliases as user_aliases
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.registry import (
    Target,
    find_target,
    has_embedded_model,
    provider_names,
    providers_with_model,
)
from flowgpt_magic.settings import Settings, with_source

if TYPE_CHECKING:
    from flowgpt_magic.providers.registry import Provider

LISTING_TIMEOUT = 5.0  # seconds for each step of listing a server's models
SERVER_PROVIDER = "flowgpt"  # used if only the address of its server is set


# A time or a fraction, such as 10:30; two short words, such as and/or or A/B; a file, such as src/main.py:12.
NO_MODEL = re.compile(r"\d+[:/]\d\S*|[A-Za-z]{1,3}/[A-Za-z]{1,3}|\S+\.(?!gguf)[A-Za-z]{1,5}(?::\d+)*")


def with_implied_model(chosen: Settings) -> Settings:
    """``chosen`` with ``flowgpt`` as the model, if the user has set only the address of its server."""
    address = "base_url"
    if chosen.model.strip() or chosen.sources.get(address, "default").startswith("default") or has_embedded_model():
        return chosen
    return replace(chosen, model=SERVER_PROVIDER, sources={**chosen.sources, "model": chosen.sources[address]})


def find_model(name: str, aliases: Mapping[str, str] | None = None) -> Target:
    """The target of ``name``: an alias, ``provider:model``, ``provider/model``, a provider, or a model.

    An empty name means the embedded model. The name of a model alone is enough if only one provider has it. There is no
    fallback to another provider. ``aliases`` are by default the user's.

    Raises ``NothingChosenError`` for an empty name if the embedded model is not installed, ``ModelNotSupportedError``,
    ``ProviderNotFoundError``, and ``AliasError`` if the file of aliases is damaged.
    """
    name = name.strip()
    target = _alias_target(name, aliases)
    if target is None:
        return find_target(name, partial(_all_names, aliases))
    try:
        return find_target(target.strip(), partial(_all_names, aliases))
    except (ModelNotSupportedError, ProviderNotFoundError) as error:
        raise type(error)(f"alias {name}: {error}") from None


def canonical_name(name: str) -> str:
    """``name`` as it is stored: an alias unchanged, anything else as ``provider:model``.

    Raises the same errors as ``find_model``.
    """
    name, target = name.strip(), find_model(name)
    return name if name in _names(name, None) else str(target)


def is_model_name(name: str, aliases: Collection[str] | None = None) -> bool:
    """Does the first word of a magic line name a model? Every ``this:that`` and ``this/that`` is taken for one,
    if ``this`` is ASCII: languages without spaces have no first word. Times, files and pairs such as and/or are not,
    unless ``this`` is a provider.

    ``aliases`` are by default the user's.
    """
    has_model_form = re.fullmatch(r"([A-Za-z0-9_.-]+)[:/]\S+", name) if "://" not in name else None
    if has_model_form and (has_model_form[1] in provider_names() or not NO_MODEL.fullmatch(name)):
        return True
    if name in provider_names() or name in _names(name, aliases):
        return True
    return bool(providers_with_model(name))


def split_names(text: str, aliases: Collection[str] | None = None) -> list[str]:
    """The names in ``text``, which are separated by commas; one if there is no comma, or if a known name has one.

    Raises ``ModelNotSupportedError`` if a name is missing. ``aliases`` are by default the user's.
    """
    parts, names = text.split(","), list[str]()
    while parts:
        ends = range(len(parts), 1, -1)
        count = next((end for end in ends if _is_known(",".join(parts[:end]).strip(), aliases)), 1)
        names.append(",".join(parts[:count]).strip())
        del parts[:count]
    if len(names) > 1 and not all(names):
        raise ModelNotSupportedError(f"a name is missing in {text!r}: write the models without spaces, such as a,b")
    return names


def are_model_names(text: str, aliases: Collection[str] | None = None) -> bool:
    """Does the first word of a magic line name several models, each of them a known one or of a known provider?"""
    names = [name.strip() for name in text.split(",")]
    return len(names) > 1 and all(
        _is_known(name, aliases) or re.split("[:/]", name)[0] in provider_names() for name in names
    )


def _is_known(name: str, aliases: Collection[str] | None) -> bool:
    """Is it a provider, a model that is known without asking a server, or an alias?"""
    if name in provider_names() or name in _names(name, aliases):
        return True
    provider, _separator, model = name.partition(":")
    owners = providers_with_model(model if provider in provider_names() else name)
    return provider in owners if provider in provider_names() else bool(owners)


def known_names() -> list[str]:
    """The names that ``find_model`` finds without asking a server, with the user's aliases."""
    return [*registry.target_names(), *user_aliases.load()]


async def list_models(name: str, provider: type[Provider], chosen: Settings) -> list[str]:
    """The current models of provider ``name``; its server is asked if it has one.

    Raises the provider's errors, and ``ProviderTimeoutError`` after 10 s.
    """
    import asyncio

    options = {setting: with_source(chosen, setting) for setting in (*provider.settings, "proxy")}
    for setting in ("connect_timeout", "read_timeout"):
        if setting in options:
            options[setting] = min(options[setting], LISTING_TIMEOUT)
    try:
        return await asyncio.wait_for(provider.list_models(**options), 2 * LISTING_TIMEOUT)
    except asyncio.TimeoutError:
        raise ProviderTimeoutError(f"{name} did not list its models within {2 * LISTING_TIMEOUT:g} s") from None


def server_settings(name: str) -> tuple[str, str]:
    """The names of the settings for the server of ``name``: its address and its key. ``name`` may be an alias."""
    return registry.server_settings(lambda: find_model(name))


def _all_names(aliases: Mapping[str, str] | None) -> Mapping[str, Any]:
    return user_aliases.load() if aliases is None else aliases


def _names(name: str, aliases: Collection[str] | None) -> Collection[str]:
    """The aliases. The user's are not loaded if ``name`` cannot be one."""
    if aliases is not None:
        return aliases
    return user_aliases.load() if user_aliases.may_be_alias(name) else ()


def _alias_target(name: str, aliases: Mapping[str, str] | None) -> str | None:
    if name not in _names(name, aliases):
        return None
    return user_aliases.target_of(name) if aliases is None else aliases[name]
