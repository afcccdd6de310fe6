"""From what a user writes after ``-m`` to a provider class and one of its models."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from flowgpt_magic.errors import FlowGptWarning, ModelNotSupportedError, ProviderNotFoundError, closest

if TYPE_CHECKING:
    from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin

    class Provider(AsyncGeneratorProvider, ProviderModelMixin):
        """What the classes behind the entry points are."""


GROUP = "flowgpt_magic.providers"


@dataclass(frozen=True)
class Target:
    """Who is asked: the provider's name, its class, and one of its models."""

    provider: str
    provider_class: type[Provider]
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def provider_names() -> list[str]:
    """The providers that are installed, ours and plug-ins, without importing any of them."""
    return sorted(_entry_points())


def find_provider(name: str) -> type[Provider]:
    """The class of provider ``name``; raises ``ProviderNotFoundError`` where there is none, or it cannot be loaded."""
    points = _entry_points()
    if name not in points:
        known = provider_names()
        raise ProviderNotFoundError(f"no provider {name!r}{closest(name, known)} Installed: {', '.join(known)}")
    try:
        found: type[Provider] = points[name].load()
    except (ImportError, AttributeError) as error:
        raise ProviderNotFoundError(f"provider {name!r} cannot be loaded: {error}") from error
    return found


def default_provider() -> str:
    """The embedded model where it is installed, else the FlowGPT service."""
    from flowgpt_magic.providers.local import installed

    return "local" if installed() else "flowgpt"


def find_model(name: str, aliases: Mapping[str, str] | None = None) -> Target:
    """Who is meant by ``name``: an alias, ``provider:model``, ``provider/model``, a provider, or a model.

    An empty name means the default. A model's name alone will do where only one provider has it. Raises
    ``ModelNotSupportedError`` or ``ProviderNotFoundError``; nobody is ever asked in another one's place.
    """
    name = (aliases or {}).get(name, name).strip()
    if not name:
        return _target(default_provider(), "")
    for separator in ":/":
        provider, found, model = name.partition(separator)
        if found and provider in _entry_points():
            return _target(provider, model)
    if name in _entry_points():
        return _target(name, "")
    return _by_model(name, aliases or {})


def is_model(name: str, aliases: Mapping[str, str] | None = None) -> bool:
    """Does the first word of a magic line name who to ask? Every word with ``:`` or ``/`` claims to."""
    if ":" in name or "/" in name or name in _entry_points() or name in (aliases or {}):
        return True
    return bool(_owners(name))


def _target(provider: str, model: str) -> Target:
    provider_class = find_provider(provider)
    return Target(provider, provider_class, provider_class.get_model(model))


def _loadable() -> dict[str, type[Provider]]:
    """Every provider that can be imported; one that cannot is named in a warning and left out."""
    found = {}
    for name in provider_names():
        try:
            found[name] = find_provider(name)
        except ProviderNotFoundError as error:
            warnings.warn(str(error), FlowGptWarning, stacklevel=2)
    return found


def _owners(model: str) -> list[str]:
    return [name for name, each in _loadable().items() if model in each.get_models() or model in each.model_aliases]


def _by_model(name: str, aliases: Mapping[str, str]) -> Target:
    owners = _owners(name)
    if len(owners) == 1:
        return _target(owners[0], name)
    if owners:
        choices = ", ".join(f"{owner}:{name}" for owner in owners)
        raise ModelNotSupportedError(f"more than one provider has a model {name!r}; say which: {choices}")
    provider = name.partition(":")[0] if ":" in name else ""
    if provider:
        find_provider(provider)
    known = [*provider_names(), *aliases]
    for owner, each in _loadable().items():
        known += [
            *each.get_models(),
            *each.model_aliases,
            *(f"{owner}:{model}" for model in each.get_models()),
        ]
    raise ModelNotSupportedError(
        f"no model, provider or alias {name!r}{closest(name, known)} Installed providers: {', '.join(provider_names())}"
    )
