"""Find a picture that is attached to a cell of a notebook file.

Markdown cells have ``attachments``. The format has none for code cells, so a prompt cell has its pictures in its
metadata, under ``flowgpt_magic``.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

from flowgpt_magic.errors import PromptError
from flowgpt_magic.notebook.place import BIGGEST_NOTEBOOK, mapping, read_json

MOST_NOTEBOOKS = 50  # files of a folder that are looked at


def attached_picture(path: str, name: str, cell_id: str = "") -> bytes | None:
    """The content of the attachment ``name`` in the notebook at ``path``; None if there is none.

    The attachment of the cell ``cell_id`` comes before those of others. A run without a notebook's name looks at the
    notebooks in the working directory. Raises ``PromptError`` if other cells have different pictures of this name.
    """
    contents: dict[bytes, None] = {}
    for notebook in [path] if os.path.isfile(path) else _notebooks_here():
        for owner, content in _attachments(notebook, name):
            if owner and owner == cell_id:
                return content
            contents[content] = None
    if len(contents) > 1:
        raise PromptError(
            f"{len(contents)} cells of this notebook have different pictures of the name {name}: paste the one that "
            "you mean into this cell"
        )
    return next(iter(contents), None)


def _notebooks_here() -> Iterator[str]:
    """The notebooks in the working directory, which nbconvert makes that of the notebook it runs."""
    try:
        with os.scandir() as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".ipynb"))
    except OSError:
        return iter(())
    return islice(names, MOST_NOTEBOOKS)


def _attachments(path: str, name: str) -> Iterator[tuple[str, bytes]]:
    """The attachments of this name, each with the id of its cell."""
    notebook = read_json(path, BIGGEST_NOTEBOOK)
    cells = notebook.get("cells") if isinstance(notebook, Mapping) else None
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, Mapping):
            continue
        own = mapping(mapping(mapping(cell, "metadata"), "flowgpt_magic"), "attachments")
        for attachments in (own, mapping(cell, "attachments")):
            for stored, bundle in attachments.items():
                if stored == name or unquote(str(stored)) == name:
                    yield from ((str(cell.get("id") or ""), content) for content in _contents(bundle))


def _contents(bundle: Any) -> Iterator[bytes]:
    """The first image of a bundle, which has base64 by MIME type."""
    for mime, data in bundle.items() if isinstance(bundle, Mapping) else ():
        text = "".join(map(str, data)) if isinstance(data, list) else data
        if str(mime).startswith("image/") and isinstance(text, str):
            try:
                yield base64.b64decode(text)
            except (binascii.Error, ValueError):
                continue
            return
