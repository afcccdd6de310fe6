"""From what a user writes after ``-m`` to a provider class and one of its models."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from flowgpt_magic.errors import ModelNotSupportedError, ProviderNotFoundError, ProviderTimeoutError
from flowgpt_magic.providers import aliases as short_names
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.registry import (
    Target,
    find_target,
    has_embedded_model,
    provider_names,
    providers_with_model,
)
from flowgpt_magic.settings import Settings

if TYPE_CHECKING:
    from flowgpt_magic.providers.registry import Provider

PATIENCE = 5.0  # seconds that a server is waited for which is to list its models
SERVED = "flowgpt"  # who is asked where only the address of such a server is set


def with_implied_model(chosen: Settings) -> Settings:
    """``chosen`` with ``flowgpt`` as its model, where of all this a person has chosen the address of a server alone."""
    address = "base_url"
    if chosen.model.strip() or chosen.sources.get(address, "default").startswith("default") or has_embedded_model():
        return chosen
    return replace(chosen, model=SERVED, sources={**chosen.sources, "model": chosen.sources[address]})


def find_model(name: str, aliases: Mapping[str, str] | None = None) -> Target:
    """Who is meant by ``name``: an alias, ``provider:model``, ``provider/model``, a provider, or a model.

    An empty name means the embedded model. A model's name alone will do where only one provider has it. ``aliases`` are
    by default the user's. Nobody is ever asked in another one's place. Raises ``NothingChosenError`` for an empty name
    where the embedded model is not installed, ``ModelNotSupportedError``, ``ProviderNotFoundError``, and ``AliasError``
    where the file of the aliases is damaged.
    """
    name = name.strip()
    target = _alias_target(name, aliases)
    if target is None:
        return find_target(name, partial(_known, aliases))
    try:
        return find_target(target.strip(), partial(_known, aliases))
    except (ModelNotSupportedError, ProviderNotFoundError) as error:
        raise type(error)(f"alias {name}: {error}") from None


def canonical_name(name: str) -> str:
    """``name`` as a choice of it is kept: an alias as it is, anything else as provider and model.

    Raises what ``find_model`` does.
    """
    name, target = name.strip(), find_model(name)
    return name if name in _names(name, None) else str(target)


def is_model_name(name: str, aliases: Mapping[str, str] | None = None) -> bool:
    """Does the first word of a magic line name who to ask? Every ``this:that`` and ``this/that`` claims to.

    ``aliases`` are by default the user's.
    """
    claims = re.fullmatch(r"[\w.-]+[:/]\S+", name) and "://" not in name
    if claims or name in provider_names() or name in _names(name, aliases):
        return True
    return bool(providers_with_model(name))


async def list_models(name: str, found: type[Provider], chosen: Settings) -> list[str]:
    """The models that provider ``name`` has now, its server asked where there is one.

    Raises what that answers, or ``ProviderTimeoutError``.
    """
    import asyncio

    given = {each: getattr(chosen, each) for each in (*found.settings, "proxy")}
    given |= {each: min(given[each], PATIENCE) for each in ("connect_timeout", "read_timeout") if each in given}
    try:
        return await asyncio.wait_for(found.list_models(**given), 2 * PATIENCE)
    except asyncio.TimeoutError:
        raise ProviderTimeoutError(f"{name} has not listed its models within {2 * PATIENCE:g} s") from None


def server_settings(name: str) -> tuple[str, str]:
    """The settings of the server that ``name`` asks: of its address, and of its key; ``name`` may be an alias."""
    return registry.server_settings(lambda: find_model(name))


def _known(aliases: Mapping[str, str] | None) -> Collection[str]:
    return short_names.load() if aliases is None else aliases


def _names(name: str, aliases: Mapping[str, str] | None) -> Collection[str]:
    """The aliases; the user's are not looked at for what none of them can be called."""
    if aliases is not None:
        return aliases
    return short_names.load() if short_names.may_be_alias(name) else ()


def _alias_target(name: str, aliases: Mapping[str, str] | None) -> str | None:
    if name not in _names(name, aliases):
        return None
    return short_names.target_of(name) if aliases is None else aliases[name]
