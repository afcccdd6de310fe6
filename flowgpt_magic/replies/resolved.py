"""The settings of one prompt, whom it is asked and with which parameters: found out once, then handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.registry import Target, find_target, parameter_names
from flowgpt_magic.settings import TABLE, Settings
from flowgpt_magic.settings.parameters import EXTRA_BODY, origins, without


@dataclass(frozen=True)
class Resolved:
    """The settings in force for a prompt, an alias's included, and who is asked.

    ``typed`` are the fields of the request that were given for this very prompt.
    """

    settings: Settings
    target: Target
    typed: frozenset[str] = frozenset()

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What the provider is called with besides model and messages."""
        return parameters(self.target, self.settings)

    @property
    def takes_images(self) -> bool:
        """Does the provider look at images?"""
        return self.target.provider_class.supports_images


def resolve(chosen: Settings, typed: frozenset[str] = frozenset()) -> Resolved:
    """What a prompt with the settings ``chosen`` is asked with.

    Raises what ``aliases.apply`` and ``models.find_model`` do.
    """
    settings = aliases.apply(chosen)
    return Resolved(settings, find_target(settings.model.strip(), aliases.load), typed)


def parameters(target: Target, chosen: Settings) -> dict[str, Any]:
    """What a provider is called with besides model and messages: what is set, of what it takes."""
    found: dict[str, Any] = {name: getattr(chosen, name) for name in target.provider_class.settings}
    if chosen.proxy:
        found["proxy"] = chosen.proxy
    if chosen.temperature is not None:
        found["temperature"] = chosen.temperature
    if not chosen.params and "max_tokens" not in chosen.sources:
        return found
    taken = parameter_names(target)
    if "max_tokens" in chosen.sources and "max_tokens" in taken:
        found["max_tokens"] = chosen.max_tokens
    found |= {name: value for name, value in (chosen.params or {}).items() if name in taken}
    return _nearest(found, chosen)


def _nearest(found: Mapping[str, Any], chosen: Settings) -> dict[str, Any]:
    """``found`` with each field once, where one is a setting and stands in ``extra_body`` too."""
    body, places = found.get(EXTRA_BODY) or {}, origins(chosen.layers.get("params", ()))
    twice = [name for name in body if name in found and name in TABLE]
    nearer = {name for name in twice if chosen.ranks.get(name, -1) > places[f"{EXTRA_BODY}.{name}"].rank}
    lower = {name: value for name, value in found.items() if name not in twice or name in nearer}
    return {**lower, EXTRA_BODY: without(body, nearer)} if twice else dict(found)
