"""What the editor of a prompt asks: which names the prompt can refer to, which words are models."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from flowgpt_magic.errors import last_error
from flowgpt_magic.lab.page import Facts, Page
from flowgpt_magic.notebook.ipython import shell
from flowgpt_magic.redaction import is_secret_name


def names(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """What is behind the ``names`` in braces, and the ``models`` on the lines of magics.

    ``known`` names are filled in. ``missing`` ones do not exist. Builtins and names of secrets are neither: they are
    sent as typed. ``models`` are the words that name a model, and ``magics`` the cell magics that are ours.
    """
    namespace = shell().user_ns
    asked = [name for name in request.get("names", []) if isinstance(name, str)]
    existing = {name for name in asked if name in namespace or (name == "Err" and last_error() is not None)}
    return {
        "known": [name for name in asked if name in existing and not is_secret_name(name)],
        "missing": [name for name in asked if name not in existing and not hasattr(builtins, name)],
        "models": [word for word in request.get("models", []) if isinstance(word, str) and _is_model(word)],
        "magics": own_magics(),
    }


def own_magics() -> list[str]:
    """The names of the cell magics that are this package's."""
    magics = shell().magics_manager.magics["cell"]
    is_ours = {"flowgpt": "flowgpt" in magics, "ai": getattr(magics.get("ai"), "is_ours", False)}
    return [name for name, ours in is_ours.items() if ours]


def _is_model(word: str) -> bool:
    from flowgpt_magic.errors import FlowGptError
    from flowgpt_magic.providers.models import are_model_names, is_model_name

    try:
        return is_model_name(word) or are_model_names(word)
    except FlowGptError:  # the file of aliases is damaged; the next cell says so
        return False
