"""A page keeps pictures and files for its prompt cells; see ``panel/pictures.py``.

A prompt cell refers to them: to a picture with ``![description](attachment:NAME)``, to a file with ``--attach``.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowgpt_magic.lab.page import Facts, Page, Request, magics_state


def taken(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """What pictures the model takes."""
    from flowgpt_magic.panel import pictures

    return pictures.taken(magics_state().conversation(), request)


def take(_page: Page, request: Facts, buffers: Sequence[memoryview]) -> Facts:
    """Keep a picture."""
    from flowgpt_magic.panel import pictures

    return pictures.take(magics_state().notebook_history, request, buffers)


def missing(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """The pictures that the page has to send."""
    from flowgpt_magic.panel import pictures

    return pictures.missing(magics_state().notebook_history, request)


def thumbnail(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """A small copy of a picture."""
    from flowgpt_magic.panel import pictures

    return pictures.thumbnail(magics_state().conversation(), request)


def take_file(_page: Page, request: Facts, buffers: Sequence[memoryview]) -> Facts:
    """Keep a file."""
    from flowgpt_magic.panel import pictures

    return pictures.take_file(magics_state().conversation(), request, buffers)


def find_file(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """How to attach a file of the file browser."""
    from flowgpt_magic.panel import pictures

    return pictures.find_file(magics_state().conversation(), request)


PICTURE_REQUESTS: dict[str, Request] = {
    "pictures_taken": taken,
    "picture": take,
    "pictures_missing": missing,
    "thumbnail": thumbnail,
    "file": take_file,
    "file_path": find_file,
}
