"""The settings, target and parameters of one prompt, resolved once and passed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flowgpt_magic.errors import ModelNotSupportedError, OptionError, ProviderNotFoundError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.refused_parameters import ModelKey
from flowgpt_magic.providers.registry import Target, find_target, parameter_names, refused_parameters
from flowgpt_magic.settings import API, SERVER, TABLE, Settings, alias_of, extra_headers, with_source, with_tables
from flowgpt_magic.settings.parameters import EXTRA_BODY, origins, without
from flowgpt_magic.text import short_path

IMAGES = "images"  # among the refused parameters of a model that reads text only


@dataclass(frozen=True)
class Resolved:
    """The settings in force for a prompt, including those of its alias, and its target.

    ``typed`` are the names of the request fields that the user gave for this prompt.
    """

    settings: Settings
    target: Target
    typed: frozenset[str] = frozenset()

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The arguments for the provider, besides model and messages. Raises what ``think_parameters`` does."""
        arguments = parameters(self.target, self.settings)
        return {**without(arguments, self.think_parameters), **self.think_parameters}

    @cached_property
    def think_parameters(self) -> Mapping[str, Any]:
        """The arguments for the provider that the setting ``think`` stands for; empty if the provider takes none.

        Raises ``OptionError`` if ``--think`` was given for this prompt and the provider takes none, or if one of them
        was given too.
        """
        arguments, refusal = self._thinking
        if "think" not in self.typed:
            return {name: value for name, value in arguments.items() if not self._is_nearer(name)}
        if refusal:
            raise OptionError(f"{self.target.provider} takes no --think: {refusal}")
        if twice := next((name for name in arguments if name in self.typed), ""):
            raise OptionError(f"{twice} is given twice, with --think and as a parameter: which one do you mean?")
        return arguments

    @property
    def takes_no_think(self) -> str:
        """Why the provider takes no ``think``, a clause; empty if it does, or if that is not set."""
        return self._thinking[1]

    @cached_property
    def _thinking(self) -> tuple[Mapping[str, Any], str]:
        if not self.settings.think:
            return {}, ""
        try:
            return self.target.provider_class.think_parameters(self.target.model, self.settings.think), ""
        except OptionError as error:
            return {}, error.clause

    def _is_nearer(self, parameter: str) -> bool:
        """Was ``parameter`` set at least as close to the prompt as ``think``?"""
        places = origins(self.settings.layers.get("params", ()))
        place = places.get(parameter) or places.get(f"{EXTRA_BODY}.{parameter}")
        return place is not None and place.rank >= self.settings.ranks.get("think", -1)

    @property
    def takes_images(self) -> bool:
        """Does the provider accept images?"""
        return self.target.provider_class.supports_images

    @property
    def takes_documents(self) -> bool:
        """Does the provider accept PDF documents as they are?"""
        return getattr(self.target.provider_class, "supports_documents", False)

    @property
    def takes_earlier_images(self) -> bool:
        """Does the provider accept images, and has the model refused none in this process?"""
        return self.takes_images and not refused_parameters().known(self.model_key, {IMAGES: None})

    @property
    def model_key(self) -> ModelKey:
        """The server, with the API that the user has chosen, and the model: so refused parameters are remembered."""
        address = str(self.parameters.get(self.target.provider_class.address_setting) or "")
        api = self.parameters.get(API)
        own_api = f" {api}" if api not in (None, TABLE[API].default) else ""
        return f"{address}{own_api}", self.target.provider, self.target.model

    @property
    def reader(self) -> str:
        """Who reads the prompt, in a clause about what it cannot read: the provider, the alias or the model."""
        if not self.takes_images:
            return self.target.provider
        address = self.target.provider_class.address_setting
        return (alias_of(self.settings, address) if address else "") or self.target.model or self.target.provider


def resolve(
    chosen: Settings,
    typed: frozenset[str] = frozenset(),
    load_aliases: Callable[[], Mapping[str, Alias]] = aliases.load,
) -> Resolved:
    """Follow the alias in the settings ``chosen``, and find the target. ``typed`` is that of the result.

    Raises the same errors as ``aliases.apply`` and ``models.find_model``.
    """
    settings = aliases.apply(chosen, load_aliases=load_aliases)
    return Resolved(settings, _target(settings, load_aliases), typed)


def _target(chosen: Settings, load_aliases: Callable[[], Mapping[str, Alias]]) -> Target:
    """The target of the model in ``chosen``. An error for a name that was not typed here says where it was set."""
    try:
        return find_target(chosen.model.strip(), load_aliases)
    except (ModelNotSupportedError, ProviderNotFoundError) as error:
        source = chosen.sources.get("model", "option")
        if source in ("option", "default") or type(error) not in (ModelNotSupportedError, ProviderNotFoundError):
            raise
        raise type(error)(f"{error.clause}; the setting model comes from {short_path(source)}") from None


def parameters(target: Target, chosen: Settings) -> dict[str, Any]:
    """The arguments for a provider, besides model and messages: the settings and parameters that it supports."""
    address = target.provider_class.address_setting
    if extra_headers.EXTRA_HEADERS in target.provider_class.settings and address != SERVER:
        chosen = with_tables(chosen, address)  # only the headers for its server
    arguments: dict[str, Any] = {name: with_source(chosen, name) for name in target.provider_class.settings}
    if chosen.proxy:
        arguments["proxy"] = chosen.proxy
    if chosen.temperature is not None:
        arguments["temperature"] = chosen.temperature
    if not chosen.params and "max_tokens" not in chosen.sources:
        return arguments
    supported = parameter_names(target)
    if "max_tokens" in chosen.sources and "max_tokens" in supported:
        arguments["max_tokens"] = chosen.max_tokens
    arguments |= {name: value for name, value in (chosen.params or {}).items() if name in supported}
    return _without_duplicates(arguments, chosen)


def _without_duplicates(arguments: Mapping[str, Any], chosen: Settings) -> dict[str, Any]:
    """``arguments`` without the fields that are both a setting and in ``extra_body``: the higher rank wins."""
    body, places = arguments.get(EXTRA_BODY) or {}, origins(chosen.layers.get("params", ()))
    duplicates = [name for name in body if name in arguments and name in TABLE]
    as_settings = {name for name in duplicates if chosen.ranks.get(name, -1) > places[f"{EXTRA_BODY}.{name}"].rank}
    others = {name: value for name, value in arguments.items() if name not in duplicates or name in as_settings}
    return {**others, EXTRA_BODY: without(body, as_settings)} if duplicates else dict(arguments)
