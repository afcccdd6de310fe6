"""Prompts that an empty conversation offers: about the person's own variables, functions and last error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

from flowgpt_magic.errors import last_error
from flowgpt_magic.prompt.describe.recognize import headline
from flowgpt_magic.prompt.references import steps
from flowgpt_magic.redaction import is_secret_name

COUNT = 3
MAX_NAMES = 2000  # variables that are looked at, the newest first
GENERAL = (
    "Write a function that counts the words of a text",
    "Explain list comprehensions with two examples",
    "How do I plot two columns of a table?",
)
CONTAINERS = (list, dict, tuple, set)


def examples(shell: Any) -> list[str]:
    """Three prompts. Those about what the session in ``shell`` has come first; general ones follow."""
    if shell is None:
        return list(GENERAL)
    own = dict(_newest_first(shell.user_ns, shell.user_ns_hidden))
    kinds: list[tuple[str, Callable[[object], object]]] = [
        ("Describe {%s}", headline),
        ("Explain {%s}, and write a test for it", lambda value: type(value) is FunctionType),
        ("What stands out in {%s}?", lambda value: type(value) in CONTAINERS and value),
    ]
    prompts = [text % name for text, fits in kinds if (name := next((n for n, v in own.items() if fits(v)), ""))]
    if last_error() is not None:
        prompts.insert(1, "Why did this fail, and how do I fix it? {Err}")
    return [*prompts, *GENERAL][:COUNT]


def _newest_first(names: Mapping[str, object], hidden: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The user's variables that a prompt can name."""
    for name in list(reversed(list(names)))[:MAX_NAMES]:
        if type(name) is not str or name.startswith("_") or name in hidden or name in ("In", "Out"):
            continue
        if steps(name) and not is_secret_name(name):
            yield name, names[name]
