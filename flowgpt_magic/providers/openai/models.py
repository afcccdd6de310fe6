"""The list of models of an OpenAI-compatible server, in all the shapes that servers use.

OpenAI's is ``{"data": [{"id": …}]}``. Together and GitHub Models send the list alone, Ollama's own call has ``models``
with ``name``, Cloudflare has ``result``. The context length has many names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.providers.base import ListedModel
from flowgpt_magic.providers.failure_reports import reports_failure
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.server_sent_events import BOM
from flowgpt_magic.providers.openai.errors import ErrorMapper

LIST_FIELDS = ("data", "models", "result", "items")
NAME_FIELDS = ("id", "name", "model", "model_name", "modelId", "modelName", "slug", "key")
CONTEXT_FIELDS = (  # the length in force before the largest possible one
    *("loaded_context_length", "max_model_len", "n_ctx", "context_length", "context_window", "max_context_length"),
    *("max_context_tokens", "context_size", "max_input_tokens", "inputTokenLimit", "input_token_limit"),
    *("max_sequence_length", "n_ctx_train"),
)
CONTEXT_OBJECTS = ("meta", "model_info", "limits", "top_provider", "details", "model_spec")  # may have these fields
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def listed_models(content: bytes, endpoint: Endpoint) -> list[ListedModel]:
    """The models in the body ``content``, in its order, each once.

    Raises the error that the server reports instead of a list, and ``ProtocolError`` for anything else.
    """
    content = content.removeprefix(BOM)
    body = http.read_object(b'{"data": %s}' % content if content.lstrip()[:1] == b"[" else content)
    entries = _entries(body)
    if entries is None:
        if reports_failure(body):
            raise ErrorMapper({}).for_report(body, endpoint, begun=False)
        raise http.unexpected_content(content, "something that is not a list of models")
    models = (ListedModel(_name(entry), _context_length(entry)) for entry in entries)
    return list(dict.fromkeys(model for model in models if model))


def _entries(body: Mapping[str, Any], depth: int = 2) -> list[Any] | None:
    """The entries of the list in ``body``: empty for a list that is null, None if there is no list."""
    for name in LIST_FIELDS:
        inner = body.get(name, body)
        if isinstance(inner, list):
            return inner
        if inner is None:
            return []
        if isinstance(inner, Mapping) and inner is not body and depth and (entries := _entries(inner, depth - 1)):
            return entries
    return None


def _name(entry: Any) -> str:
    """The name to request a model by: its id, or its name if the id is an address or a UUID."""
    if not isinstance(entry, Mapping):
        return entry if isinstance(entry, str) else ""
    names = [entry[field] for field in NAME_FIELDS if isinstance(entry.get(field), str) and entry[field]]
    usable = [name for name in names if "://" not in name and not UUID.fullmatch(name)]
    return next(iter(usable or names), "")


def _context_length(entry: Any) -> int | None:
    if not isinstance(entry, Mapping):
        return None
    objects = [entry, *(entry[name] for name in CONTEXT_OBJECTS if isinstance(entry.get(name), Mapping))]
    numbers = (each[field] for each in objects for field in CONTEXT_FIELDS if field in each)
    return next((number for number in numbers if type(number) is int and number > 0), None)
