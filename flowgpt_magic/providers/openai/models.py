"""The list of models of a server of the OpenAI protocol, in the shapes that servers have for it.

OpenAI's is ``{"data": [{"id": …}]}``. Together and GitHub Models send the list alone, Ollama's own call has ``models``
with ``name``, Cloudflare has ``result``. How many tokens a model sees is told under many names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.providers.base import ListedModel
from flowgpt_magic.providers.failure_reports import reports_failure
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Peer
from flowgpt_magic.providers.openai.errors import Failures

LISTS = ("data", "models", "result", "items")
NAMES = ("id", "name", "model", "model_name", "modelId", "modelName", "slug", "key")
CONTEXT = (  # what servers call the number of tokens that a model sees; what is in force comes before what could be
    *("loaded_context_length", "max_model_len", "n_ctx", "context_length", "context_window", "max_context_length"),
    *("max_context_tokens", "context_size", "max_input_tokens", "inputTokenLimit", "input_token_limit"),
    *("max_sequence_length", "n_ctx_train"),
)
INSIDE = ("meta", "model_info", "limits", "top_provider", "details", "model_spec")  # objects that have it too
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def listed_models(content: bytes, peer: Peer) -> list[ListedModel]:
    """The models of a list, in its order.

    Raises what a report of a failure in its place says, and ``ProtocolError`` for what is no list.
    """
    content = content.removeprefix(http.BOM)
    found = http.read_object(b'{"data": %s}' % content if content.lstrip()[:1] == b"[" else content)
    entries = _entries(found)
    if entries is None:
        if reports_failure(found):
            raise Failures({}).reported(found, peer, begun=False)
        raise http.unexpected(content, "something else than a list of models")
    models = (ListedModel(_name(entry), _context_length(entry)) for entry in entries)
    return list(dict.fromkeys(model for model in models if model))


def _entries(found: Mapping[str, Any], depth: int = 2) -> list[Any] | None:
    """The entries of the list in an object; none where it says that there are none, None where it has no list."""
    for name in LISTS:
        inner = found.get(name, found)
        if isinstance(inner, list):
            return inner
        if inner is None:
            return []
        if isinstance(inner, Mapping) and inner is not found and depth and (deeper := _entries(inner, depth - 1)):
            return deeper
    return None


def _name(entry: Any) -> str:
    """What a model is asked by: its id, or its name where the id is an address or a number that nobody asks by."""
    if not isinstance(entry, Mapping):
        return entry if isinstance(entry, str) else ""
    names = [entry[name] for name in NAMES if isinstance(entry.get(name), str) and entry[name]]
    usable = [name for name in names if "://" not in name and not UUID.fullmatch(name)]
    return next(iter(usable or names), "")


def _context_length(entry: Any) -> int | None:
    """How many tokens a model sees, where its entry says so."""
    if not isinstance(entry, Mapping):
        return None
    places = [entry, *(entry[name] for name in INSIDE if isinstance(entry.get(name), Mapping))]
    numbers = (place[name] for place in places for name in CONTEXT if name in place)
    return next((number for number in numbers if type(number) is int and number > 0), None)
