"""The installed providers, and their models as far as they are known without asking a server."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

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
from flowgpt_magic.spelling import nearest

if TYPE_CHECKING:
    from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin

    class Provider(AsyncGeneratorProvider, ProviderModelMixin):
        """The type of the classes behind the entry points."""


ENTRY_POINT_GROUP = "flowgpt_magic.providers"
DEFAULT_PROVIDER = "local"  # used when nothing is set and it is installed; no other provider is


@dataclass(frozen=True)
class Target:
    """A provider, by name and class, and one of its models."""

    provider: str
    provider_class: type[Provider]
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


@dataclass(frozen=True)
class KnownModels:
    """A provider with the models that it knows without asking a server.

    Args:
        provider: the name of the provider.
        provider_class: None if the provider cannot be used.
        models: the names of its models; empty if only a server knows them.
        aliases: the provider's own short names, with their models.
        error: why the provider cannot be used; None if it can.
    """

    provider: str
    provider_class: type[Provider] | None = None
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None

    def require_class(self) -> type[Provider]:
        """The class of the provider. Raises ``error`` if it cannot be used."""
        if self.provider_class is None:
            raise self.error or ProviderNotFoundError(f"no provider {self.provider!r}")
        return self.provider_class


@cache
def _entry_points() -> dict[str, EntryPoint]:
    """The entry points by name. A plug-in cannot replace a built-in provider of the same name."""
    points = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.value.startswith("flowgpt_magic."))
    return {point.name: point for point in points}


def parameter_names(target: Target) -> set[str]:
    """The names of the parameters that the provider accepts."""
    signature = inspect.signature(target.provider_class.create_async_generator)
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name for name, parameter in signature.parameters.items() if parameter.kind in kinds} - {"model", "messages"}


@cache
def refused_parameters() -> RefusedParameters:
    """The parameters that models have refused in this process."""
    return RefusedParameters()


def _installed(name: str) -> bool:
    """Is there a provider of this name, including one installed since the last look?"""
    if name not in _entry_points():
        _entry_points.cache_clear()
    return name in _entry_points()


def provider_names() -> list[str]:
    """The names of all installed providers, built-in ones and plug-ins. Imports none of them."""
    return sorted(_entry_points())


def is_built_in(name: str) -> bool:
    """Does this provider come with this package?"""
    return name in _entry_points() and _entry_points()[name].value.startswith("flowgpt_magic.")


def find_provider(name: str) -> type[Provider]:
    """The class of provider ``name``. Raises ``ProviderNotFoundError`` if there is none or it cannot be loaded."""
    if not _installed(name):
        hint, installed = closest(name, provider_names()), ", ".join(_ready_providers())
        raise ProviderNotFoundError(f"no provider {name!r}{hint} Installed: {installed}")
    try:
        provider = _entry_points()[name].load()
    except (Exception, SystemExit) as error:  # a plug-in is foreign code and may raise anything
        raise ProviderNotFoundError(f"provider {name!r} cannot be loaded: {_describe(error)}") from error
    if not (
        isinstance(provider, type) and hasattr(provider, "create_async_generator") and hasattr(provider, "get_model")
    ):
        raise ProviderNotFoundError(f"provider {name!r} cannot be used: {provider!r} is not a provider class")
    if unknown := [setting for setting in getattr(provider, "settings", ()) if setting not in TABLE]:
        raise ProviderNotFoundError(f"provider {name!r} cannot be used: there is no setting {unknown[0]!r}")
    return cast("type[Provider]", provider)


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, FlowGptError) else f"{type(error).__name__}: {error}"


def default_provider() -> str:
    """The provider of the embedded model. Raises ``NothingChosenError`` if that is not installed."""
    if not has_embedded_model():
        from flowgpt_magic.providers.local import install_command

        raise NothingChosenError(
            "no model is chosen and the embedded one is not installed, so nothing is sent. Choose one: "
            f"{install_command()} (the embedded model), %flowgpt model openai_compatible:NAME (an OpenAI-compatible "
            "server; its address is the setting openai_base_url), or %flowgpt model flowgpt (the FlowGPT service); "
            f"outside a notebook set {variable('model')} instead."
        )
    return DEFAULT_PROVIDER


def has_embedded_model() -> bool:
    """Is the embedded model installed?"""
    return not find_provider(DEFAULT_PROVIDER).would_answer(Settings())


def _ready_providers() -> list[str]:
    """The names of the providers, without the built-in ones whose package is not installed."""
    return [name for name in provider_names() if not _lacks(name, "not installed")]


def _lacks(name: str, *beginnings: str) -> bool:
    """Is it a built-in provider that, with the default settings, has such a reason not to answer?"""
    return is_built_in(name) and find_provider(name).would_answer(Settings()).startswith(beginnings)


def find_target(name: str, others: Callable[[], Mapping[str, Any]] = dict) -> Target:
    """The target of ``name``: ``provider:model``, ``provider/model``, a provider, or a model.

    ``others`` returns the aliases, which an error may suggest, or the targets, by their names. Raises the same errors
    as ``models.find_model``.
    """
    if not name:
        return _target(default_provider(), "")
    for separator in ":/":
        provider, has_separator, model = name.partition(separator)
        if has_separator and provider in _entry_points():
            return _target(provider, model)
    if name in _entry_points():
        return _target(name, "")
    return _by_model(name, others)


def server_settings(find: Callable[[], Target]) -> tuple[str, str]:
    """The names of the settings for the server of a target: its address, and its key or the key's name.

    If ``find`` raises ``FlowGptError``, they are those of the FlowGPT server.
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
    except Exception as error:  # a plug-in is foreign code
        raise ModelNotSupportedError(
            f"provider {provider!r} failed to resolve its model: {_describe(error)}"
        ) from error


def known_models() -> Iterator[KnownModels]:
    """Every installed provider with the models that can be asked. No server is asked for its list."""
    for name in provider_names():
        try:
            provider = find_provider(name)
            known = KnownModels(name, provider, tuple(provider.get_models()), dict(provider.model_aliases))
        except Exception as error:  # noqa: BLE001 - a plug-in is foreign code; it must not hide the others
            known = KnownModels(name, error=error)
        yield known


def _model_names() -> dict[str, list[str]]:
    """The names of models by provider, aliases last. A provider that fails causes a warning."""
    names = {}
    for known in known_models():
        if (error := known.error) is None:
            names[known.provider] = [*known.models, *known.aliases]
            continue
        text = f"provider {known.provider!r} cannot list its models: {_describe(error)}"
        warnings.warn(str(error) if isinstance(error, FlowGptError) else text, FlowGptWarning, stacklevel=3)
    return names


def providers_with_model(model: str) -> list[str]:
    """The providers that know a model or alias of this name."""
    return [name for name, names in _model_names().items() if model in names]


def target_names() -> list[str]:
    """Every name that ``find_target`` finds without asking a server: providers, models, and ``provider:model``."""
    names = provider_names()
    for owner, models in _model_names().items():
        names += [*models, *(f"{owner}:{model}" for model in models)]
    return names


def _by_model(name: str, others: Callable[[], Mapping[str, Any]]) -> Target:
    owners = providers_with_model(name)
    if len(owners) == 1:
        return _target(owners[0], name)
    if owners:
        choices = ", ".join(f"{owner}:{name}" for owner in owners)
        raise ModelNotSupportedError(f"several providers have a model {name!r}; choose one: {choices}")
    provider = name.partition(":")[0] if ":" in name else ""
    several = [part.strip() for part in name.split(",") if part.strip()]
    if provider and (len(several) < 2 or "," not in provider):
        find_provider(provider)
    if len(several) > 1:
        asks = f"%%flowgpt -m {','.join(several)} asks them at once, in Python compare(prompt, models={several})"
        raise ModelNotSupportedError(f"{name!r} is more than one model: {asks}")
    hint, installed = _suggestion(name, others()), ", ".join(_ready_providers())
    raise ModelNotSupportedError(f"no model, provider or alias {name!r}{hint} Installed providers: {installed}")


def _suggestion(name: str, aliases: Mapping[str, Any]) -> str:
    """The end of an error about an unknown ``name``: a question with the most similar one that can be asked.

    A model that does not answer here is suggested for a typing mistake, but not in place of another version.
    """
    from flowgpt_magic.providers.llama_cpp.catalogue import CATALOGUE

    silent = {
        model for owner, names in _model_names().items() if _lacks(owner, "unknown", "no") for model in names
    } - aliases.keys()
    asked = {str(getattr(alias, "target", alias)).partition(":")[2]: short for short, alias in aliases.items()}
    asked.pop("", None)
    names = [*asked, *target_names(), *aliases]
    model = nearest(name, names)
    if model.rpartition(":")[2] in silent and not _digits(model).startswith(_digits(name)):
        silent |= set(provider_names()) - aliases.keys()  # a loose match with the name of a provider helps nobody
        model = nearest(name, [other for other in names if other.rpartition(":")[2] not in silent])
    model = model or nearest(name, CATALOGUE)
    if model in asked and model not in aliases and model not in target_names():
        return f"; did you mean {asked[model]}, which asks {model}?"
    if model in CATALOGUE and model not in aliases and model not in target_names():
        return f"; did you mean {model}? %flowgpt install-model {model} installs it."
    return f"; did you mean {model}?" if model else "."


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, name))
