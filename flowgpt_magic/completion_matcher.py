"""What IPython's completer is answered: where the cursor is, and what can be named there just now.

What may take long is looked up on another thread, and is there the next time.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flowgpt_magic.completion import complete
from flowgpt_magic.completion_names import SEEN, Item
from flowgpt_magic.completion_values import Known
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.plain_text import cut
from flowgpt_magic.records import MAIN

if TYPE_CHECKING:
    from flowgpt_magic.desk import Desk

T = TypeVar("T")
PATIENCE = 0.015  # seconds that the history is waited for; a provider's module is, once, for longer
PATIENCE_TO_IMPORT = 1.0


class Context(Protocol):
    """What IPython tells a matcher: the cell, and where the cursor is in it."""

    full_text: str
    cursor_line: int
    cursor_position: int


class Nothing:
    """No items. IPython lets all its own matchers answer where ours has none, unless it seems to have some."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Item]:
        return iter(())


def matcher(context: Context, shell: Any, desk: Desk | None, magics: tuple[str, ...] = ("flowgpt",)) -> dict[str, Any]:
    """For IPython's completer; ``desk`` is None where the magics were not used yet, ``magics`` are their names."""
    text = context.full_text
    cursor = sum(len(line) + 1 for line in text.split("\n")[: context.cursor_line]) + context.cursor_position
    found = complete(text, cursor, _known(shell, desk, magics))
    if found is None:
        return {"completions": [], "suppress": False}
    # JupyterLab breaks what an item is at a space, and shows the first word only.
    items = [Item(each.text, each.type.replace(" ", "\N{NO-BREAK SPACE}")) for each in found.items]
    return {
        "completions": items or Nothing(),
        "matched_fragment": text[found.start : cursor],
        "suppress": True,
        "ordered": True,
    }


def _known(shell: Any, desk: Desk | None, magics: tuple[str, ...]) -> Known:
    names = shell.user_ns
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if error is not None:
        names = {**names, "Err": error}
    return Known(
        names,
        shell.user_ns_hidden,
        _all_commands,
        _all_models,
        lambda: _all_conversations(desk),
        _folder,
        lambda: list(os.environ),
        magics,
        bool(getattr(shell, "automagic", False)),
        _all_parameters,
    )


def _all_commands() -> dict[str, str]:
    from flowgpt_magic.commands import COMMANDS

    return {name: cut(each.short, 60) for name, each in COMMANDS.items()}


def _all_models(*, wait: bool = True) -> Sequence[Item]:
    """Aliases, providers and their models; no provider is asked, because one might ask a server.

    Without ``wait`` none are there as long as their modules are being imported.
    """

    def look() -> Sequence[Item]:
        from flowgpt_magic import aliases, registry
        from flowgpt_magic.secret_forms import without_passwords

        found: list[Item] = []
        with suppress(FlowGptError):
            found += [Item(each.name, f"alias of {without_passwords(each.target)}") for each in aliases.load().values()]
        found += [Item(name, "provider") for name in registry.provider_names()]
        bare: dict[str, list[Item]] = {}
        for name in registry.provider_names():
            with suppress(Exception):  # a plug-in is foreign code
                provider = registry.find_provider(name)
                own = list(provider.models) or [provider.default_model]
                found += [Item(f"{name}:{model}", "model") for model in own if model]
                for model in (*own, *provider.model_aliases):
                    bare.setdefault(model, []).append(Item(model, f"model of {name}"))
        return [*found, *(owners[0] for owners in bare.values() if len(owners) == 1)]

    return _in_time("models", look, PATIENCE_TO_IMPORT if wait else PATIENCE)


def _all_parameters() -> Sequence[Item]:
    """What ``-P`` takes, of all providers."""

    def look() -> Sequence[Item]:
        from flowgpt_magic import registry

        found: dict[str, list[str]] = {}
        for name in registry.provider_names():
            with suppress(Exception):  # a plug-in is foreign code
                provider = registry.find_provider(name)
                connection = {"proxy", "schema", *provider.settings} - {"extra_headers"}
                for each in sorted(registry.taken_by(registry.Target(name, provider, "")) - connection):
                    found.setdefault(each, []).append(name)
        return [Item(f"{each}=", f"parameter of {', '.join(owners)}") for each, owners in sorted(found.items())]

    return _in_time("parameters", look, PATIENCE_TO_IMPORT)


def _all_conversations(desk: Desk | None) -> Sequence[str]:
    """The newest first. Without a notebook that was found for a cell there are none: a completion is no cell."""
    try:
        journal = desk.journal if desk else None
    except FlowGptError:  # of a setting: the next cell says so
        journal = None
    if desk is None or journal is None:
        return [MAIN]
    key = f"conversations in {journal.location} of {journal.place.key}"
    names = _in_time(key, journal.known_names, PATIENCE)
    return list(dict.fromkeys([desk.current, *reversed(names), MAIN]))


def _folder(folder: str) -> list[Item]:
    """What is in a folder, folders with a slash."""
    with suppress(OSError, ValueError), os.scandir(os.path.expanduser(folder) or ".") as entries:
        found = [(each.name, each.is_dir()) for each in islice(entries, SEEN)]
        return [Item(f"{name}/" if folder else name, "folder" if folder else "file") for name, folder in sorted(found)]
    return []


_last: dict[str, Sequence[Any]] = {}
_looking: dict[str, threading.Thread] = {}


def _in_time(key: str, look: Callable[[], Sequence[T]], patience: float) -> Sequence[T]:
    """What ``look`` returns, if it does within ``patience`` seconds; else what it returned last."""

    def run() -> None:
        with suppress(Exception):  # whatever is wrong is said where it is used
            _last[key] = look()

    if key not in _looking or not _looking[key].is_alive():
        _looking[key] = threading.Thread(target=run, name=f"flowgpt_magic {key}", daemon=True)
        _looking[key].start()
    _looking[key].join(patience)
    return _last.get(key, ())
