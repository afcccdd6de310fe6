"""What a shell can complete just now.

A lookup that may take long runs on another thread. What it finds is offered the next time.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from flowgpt_magic.completion.names import MAX_INSPECTED, Candidate
from flowgpt_magic.completion.values import CompletionSources
from flowgpt_magic.errors import FlowGptError

T = TypeVar("T")
LOOKUP_SECONDS = 0.015  # how long a completion waits for a lookup, such as one in the history
IMPORT_SECONDS = 1.0  # how long it waits for the modules of the providers


def sources_of(shell: Any, **others: Any) -> CompletionSources:
    """What ``shell`` can complete; ``others`` are the fields of ``CompletionSources`` that only the caller knows."""
    names = shell.user_ns
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if error is not None:
        names = {**names, "Err": error}
    return CompletionSources(
        names,
        shell.user_ns_hidden,
        models=all_models,
        files=_folder,
        environment=lambda: list(os.environ),
        automagic=bool(getattr(shell, "automagic", False)),
        parameters=_all_parameters,
        **others,
    )


def all_models(*, wait: bool = True) -> Sequence[Candidate]:
    """Aliases, providers and the models that their modules name; no provider is asked, because it may call a server.

    Without ``wait`` the result is empty while the modules are being imported.
    """

    def look_up() -> Sequence[Candidate]:
        from flowgpt_magic.providers import aliases, registry
        from flowgpt_magic.redaction import redact

        candidates: list[Candidate] = []
        with suppress(FlowGptError):
            saved = aliases.load().values()
            candidates += [Candidate(alias.name, f"alias of {redact(alias.target)}") for alias in saved]
        candidates += [Candidate(name, "provider") for name in registry.provider_names()]
        bare: dict[str, list[Candidate]] = {}
        for known in registry.known_models():
            candidates += [Candidate(f"{known.provider}:{model}", "model") for model in known.models if model]
            for model in (*known.models, *known.aliases):
                bare.setdefault(model, []).append(Candidate(model, f"model of {known.provider}"))
        return [*candidates, *(owners[0] for owners in bare.values() if len(owners) == 1)]

    return in_time("models", look_up, IMPORT_SECONDS if wait else LOOKUP_SECONDS)


def _all_parameters() -> Sequence[Candidate]:
    """The parameters of all providers, for ``-P``."""

    def look_up() -> Sequence[Candidate]:
        from flowgpt_magic.providers import registry

        owners: dict[str, list[str]] = {}
        for name in registry.provider_names():
            with suppress(Exception):  # plug-ins are foreign code
                provider = registry.find_provider(name)
                connection = {"proxy", "schema", *provider.settings} - {"extra_headers"}
                for parameter in sorted(registry.parameter_names(registry.Target(name, provider, "")) - connection):
                    owners.setdefault(parameter, []).append(name)
        return [
            Candidate(f"{parameter}=", f"parameter of {', '.join(names)}")
            for parameter, names in sorted(owners.items())
        ]

    return in_time("parameters", look_up, IMPORT_SECONDS)


def _folder(folder: str) -> list[Candidate]:
    """The files and folders in ``folder``; the names of folders end in a slash."""
    with suppress(OSError, ValueError), os.scandir(os.path.expanduser(folder) or ".") as entries:
        names = sorted((entry.name, entry.is_dir()) for entry in islice(entries, MAX_INSPECTED))
        return [Candidate(f"{name}/", "folder") if is_folder else Candidate(name, "file") for name, is_folder in names]
    return []


_last: dict[str, Sequence[Any]] = {}
_lookups: dict[str, threading.Thread] = {}


def in_time(key: str, look_up: Callable[[], Sequence[T]], seconds: float) -> Sequence[T]:
    """What ``look_up`` returns within ``seconds``; if it takes longer, what it returned the last time for ``key``."""

    def run() -> None:
        with suppress(Exception):  # the prompt itself reports it
            _last[key] = look_up()

    if key not in _lookups or not _lookups[key].is_alive():
        _lookups[key] = threading.Thread(target=run, name=f"flowgpt_magic {key}", daemon=True)
        _lookups[key].start()
    _lookups[key].join(seconds)
    return _last.get(key, ())
