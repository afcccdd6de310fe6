"""What can be named in a shell just now, for completion.

What may take long is looked up on another thread, and is there the next time.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from flowgpt_magic.completion.names import SEEN, Item
from flowgpt_magic.completion.values import Known
from flowgpt_magic.errors import FlowGptError

T = TypeVar("T")
PATIENCE = 0.015  # seconds that the history is waited for; a provider's module is, once, for longer
PATIENCE_TO_IMPORT = 1.0


def known(shell: Any, **others: Any) -> Known:
    """What ``shell`` knows; ``others`` are the fields of ``Known`` that only the caller can fill."""
    names = shell.user_ns
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if error is not None:
        names = {**names, "Err": error}
    return Known(
        names,
        shell.user_ns_hidden,
        models=all_models,
        files=_folder,
        environment=lambda: list(os.environ),
        automagic=bool(getattr(shell, "automagic", False)),
        parameters=_all_parameters,
        **others,
    )


def all_models(*, wait: bool = True) -> Sequence[Item]:
    """Aliases, providers and their models; no provider is asked, because one might ask a server.

    Without ``wait`` none are there as long as their modules are being imported.
    """

    def look() -> Sequence[Item]:
        from flowgpt_magic.providers import aliases, registry
        from flowgpt_magic.redaction import redact

        found: list[Item] = []
        with suppress(FlowGptError):
            found += [Item(each.name, f"alias of {redact(each.target)}") for each in aliases.load().values()]
        found += [Item(name, "provider") for name in registry.provider_names()]
        bare: dict[str, list[Item]] = {}
        for known in registry.known_models():
            found += [Item(f"{known.provider}:{model}", "model") for model in known.models if model]
            for model in (*known.models, *known.aliases):
                bare.setdefault(model, []).append(Item(model, f"model of {known.provider}"))
        return [*found, *(owners[0] for owners in bare.values() if len(owners) == 1)]

    return in_time("models", look, PATIENCE_TO_IMPORT if wait else PATIENCE)


def _all_parameters() -> Sequence[Item]:
    """What ``-P`` takes, of all providers."""

    def look() -> Sequence[Item]:
        from flowgpt_magic.providers import registry

        found: dict[str, list[str]] = {}
        for name in registry.provider_names():
            with suppress(Exception):  # a plug-in is foreign code
                provider = registry.find_provider(name)
                connection = {"proxy", "schema", *provider.settings} - {"extra_headers"}
                for each in sorted(registry.parameter_names(registry.Target(name, provider, "")) - connection):
                    found.setdefault(each, []).append(name)
        return [Item(f"{each}=", f"parameter of {', '.join(owners)}") for each, owners in sorted(found.items())]

    return in_time("parameters", look, PATIENCE_TO_IMPORT)


def _folder(folder: str) -> list[Item]:
    """What is in a folder, folders with a slash."""
    with suppress(OSError, ValueError), os.scandir(os.path.expanduser(folder) or ".") as entries:
        found = [(each.name, each.is_dir()) for each in islice(entries, SEEN)]
        return [Item(f"{name}/" if folder else name, "folder" if folder else "file") for name, folder in sorted(found)]
    return []


_last: dict[str, Sequence[Any]] = {}
_looking: dict[str, threading.Thread] = {}


def in_time(key: str, look: Callable[[], Sequence[T]], patience: float) -> Sequence[T]:
    """What ``look`` returns, if it does within ``patience`` seconds; else what it returned last."""

    def run() -> None:
        with suppress(Exception):  # whatever is wrong is said where it is used
            _last[key] = look()

    if key not in _looking or not _looking[key].is_alive():
        _looking[key] = threading.Thread(target=run, name=f"flowgpt_magic {key}", daemon=True)
        _looking[key].start()
    _looking[key].join(patience)
    return _last.get(key, ())
