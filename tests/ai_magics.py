"""The magics that are registered under the name ``ai``: ours and other extensions'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Magics:
    """What is registered under the name ``ai``."""

    def __init__(self, **registered: Callable[..., Any]) -> None:
        self.registered = registered

    def put(self, kind: str, magic: Callable[..., Any] | None) -> None:
        if magic is None:
            self.registered.pop(kind, None)
        else:
            self.registered[kind] = magic


def ours(line: str, cell: str | None = None) -> None:
    """Our own answer."""


def of(module: str) -> Callable[..., Any]:
    def magic(line: str, cell: str | None = None) -> None:
        """Somebody else's answer."""

    magic.__module__ = module
    return magic
