"""A page keeps pictures and files for its prompt cells; see ``panel/pictures.py``.

A prompt cell refers to them: to a picture with ``![description](attachment:NAME)``, to a file with ``--attach``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowgpt_magic.notebook.ipython import shell

if TYPE_CHECKING:
    from flowgpt_magic.lab.page import Facts, Page, Request
    from flowgpt_magic.magics.state import ShellState


def taken(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """What pictures the model takes."""
    from flowgpt_magic.panel import pictures

    return pictures.taken(_state().conversation(), request)


def take(_page: Page, request: Facts, buffers: Sequence[memoryview]) -> Facts:
    """Keep a picture."""
    from flowgpt_magic.panel import pictures

    return pictures.take(_state().notebook_history, request, buffers)


def missing(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """The pictures that the page has to send."""
    from flowgpt_magic.panel import pictures

    return pictures.missing(_state().notebook_history, request)


def thumbnail(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """A small copy of a picture."""
    from flowgpt_magic.panel import pictures

    return pictures.thumbnail(_state().conversation(), request)


def take_file(_page: Page, request: Facts, buffers: Sequence[memoryview]) -> Facts:
    """Keep a file."""
    from flowgpt_magic.panel import pictures

    return pictures.take_file(_state().conversation(), request, buffers)


def find_file(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """How to attach a file of the file browser."""
    from flowgpt_magic.panel import pictures

    return pictures.find_file(_state().conversation(), request)


def _state() -> ShellState:
    state: ShellState = shell().magics_manager.registry["FlowGPT"].state
    return state


PICTURE_REQUESTS: dict[str, Request] = {
    "pictures_taken": taken,
    "picture": take,
    "pictures_missing": missing,
    "thumbnail": thumbnail,
    "file": take_file,
    "file_path": find_file,
}
