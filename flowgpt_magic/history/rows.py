# ruff: noqa: S608 # the names in these statements are our own, the values are bound
"""Convert between the history's rows and its records."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flowgpt_magic.history.dead_kernels import is_abandoned
from flowgpt_magic.history.records import (
    ChangeRecord,
    ConversationRecord,
    KeyChange,
    NotebookRecord,
    PartialText,
    Record,
    RequestRecord,
)
from flowgpt_magic.messages import Sent, Turn, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.redaction import redact, without_secrets

NOTEBOOK = ("notebook_id", "key", "label", "kind", "path", "created", "seen")
CONVERSATION = (
    *("conversation_id", "notebook_id", "name", "system", "model", "parameters", "created", "changed", "removed"),
)
USAGE = ("prompt_tokens", "completion_tokens", "finish_reason", "first_chunk_seconds", "seconds", "chunks")
TURN = (
    *("turn_id", "conversation_id", "place", "version", "live", "cell_id", "run", "prompt", "text", "status", "error"),
    *("provider", "model", "system", "parameters", "request_key", *USAGE, "notices", "left_out", "replayed", "kernel"),
    *("started", "ended", "grown", "images", "extras", "sent"),
)
SPENT = tuple(name for name in USAGE if name != "finish_reason")
REQUEST = ("request_id", "notebook_id", "provider", "model", "status", "started", "estimated", *SPENT)
NOTHING_KNOWN = Sent()
CHANGE = ("change_id", "conversation_id", "number", "kind", "added", "removed", "undone", "made")


def _upsert(table: str, names: Sequence[str], also: str = "", where: str = "") -> str:
    """SQL that inserts a row or updates the one with its id, which is the first of ``names``."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    marks = ", ".join("?" * len(names))
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) "
        f"ON CONFLICT ({names[0]}) DO UPDATE SET {changes}{also}{where}"
    )


SAVE_NOTEBOOK = _upsert("notebooks", NOTEBOOK, where=" WHERE excluded.seen >= notebooks.seen")
SAVE_CONVERSATION = _upsert("conversations", CONVERSATION, where=" WHERE excluded.changed >= conversations.changed")
# A turn whose text changes leaves the index; the triggers remove the old text.
SAVE_TURN = _upsert("turns", TURN, also=", indexed = indexed AND prompt IS excluded.prompt AND text IS excluded.text")
SAVE_CHANGE = _upsert("changes", CHANGE)
SAVE_REQUEST = (
    f"INSERT INTO requests ({', '.join(REQUEST)}) VALUES ({', '.join('?' * len(REQUEST))}) "
    "ON CONFLICT (request_id) DO NOTHING"
)
GROW_TURN = "UPDATE turns SET text = ?, grown = ?, indexed = 0 WHERE turn_id = ?"


def statement(record: Record | PartialText) -> tuple[str, tuple[Any, ...]]:
    """The SQL and its values that insert ``record`` or update the row with its id."""
    if isinstance(record, PartialText):
        return GROW_TURN, (record.text, time.time(), record.turn_id)
    if isinstance(record, KeyChange):
        return "UPDATE notebooks SET key = ? WHERE key = ?", (record.new, record.old)
    if isinstance(record, Turn):
        return SAVE_TURN, _turn_values(record)
    if isinstance(record, RequestRecord):
        return SAVE_REQUEST, _request_values(record)
    if isinstance(record, ConversationRecord):
        values = _values(record, CONVERSATION) | {"parameters": _json(without_secrets(record.parameters))}
        return SAVE_CONVERSATION, tuple(values.values())
    if isinstance(record, NotebookRecord):
        return SAVE_NOTEBOOK, tuple(_values(record, NOTEBOOK).values())
    values = _values(record, CHANGE) | {"added": _json(record.added), "removed": _json(record.removed)}
    return SAVE_CHANGE, tuple(values.values())


def from_sqlite(value: Any) -> Any:
    """The value that was saved: text that is not valid Unicode is stored as bytes."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def to_sqlite(value: Any) -> Any:
    """``value`` as SQLite accepts it: text that is not valid Unicode becomes bytes."""
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):
            value.encode()
            return value
        return value.encode("utf-8", "surrogatepass")
    return value


def _json(value: Mapping[str, Any] | Iterable[str]) -> str:
    return json.dumps(value if isinstance(value, Mapping) else list(value))


def _mapping(text: str) -> dict[str, Any]:
    return {} if text == "{}" else dict(json.loads(text))  # most are empty


def _list(text: str) -> tuple[Any, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _values(record: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _turn_values(turn: Turn) -> tuple[Any, ...]:
    """The row of a turn, in the order of ``TURN``."""
    values = {name: getattr(turn, name, None) for name in TURN}
    values |= _values(turn.usage, USAGE)
    values |= {
        "parameters": _json(without_secrets(turn.parameters)),
        "notices": _json(map(redact, turn.notices)),
        "error": redact(turn.error),
        "grown": turn.ended or time.time(),
        "images": _json(turn.images),
        "extras": _json(turn.extras.as_json()),
        "sent": _json(turn.sent.rewritten(redact).as_json()),
    }
    return tuple(values.values())


def _request_values(request: RequestRecord) -> tuple[Any, ...]:
    """The row of a request, in the order of ``REQUEST``."""
    return (*(getattr(request, name) for name in REQUEST[: -len(SPENT)]), *(_values(request.usage, SPENT).values()))


def request_of(row: dict[str, Any]) -> RequestRecord:
    """The request of a row."""
    usage = Usage(**{name: row.pop(name) for name in SPENT})
    return RequestRecord(**row | {"estimated": bool(row["estimated"])}, usage=usage)


def turn_of(row: dict[str, Any]) -> Turn:
    """The turn of a row; a turn that its kernel abandoned is cancelled, see ``dead_kernels``."""
    grown = row.pop("grown")
    if row["status"] == "streaming" and is_abandoned(row["kernel"], grown):
        row |= {"status": "cancelled", "ended": grown}
    row["usage"] = Usage(**{name: row.pop(name) for name in USAGE})
    row["parameters"] = _mapping(row["parameters"])
    row["notices"], row["images"] = _list(row["notices"]), _list(row["images"])
    row["extras"] = Extras.from_json(extras) if (extras := _mapping(row["extras"])) else Extras()
    row["sent"] = Sent.from_json(sent) if (sent := _mapping(row["sent"])) else NOTHING_KNOWN
    return Turn(**row | {"live": bool(row["live"]), "replayed": bool(row["replayed"])})


def conversation_of(row: Mapping[str, Any]) -> ConversationRecord:
    """The conversation of a row; other columns are ignored."""
    values = {name: row[name] for name in CONVERSATION}
    return ConversationRecord(**values | {"parameters": json.loads(row["parameters"]), "removed": bool(row["removed"])})


def change_of(row: dict[str, Any]) -> ChangeRecord:
    """The change of a row."""
    added, removed = tuple(json.loads(row["added"])), tuple(json.loads(row["removed"]))
    return ChangeRecord(**row | {"added": added, "removed": removed, "undone": bool(row["undone"])})
