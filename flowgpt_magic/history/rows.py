# ruff: noqa: S608 # the names in these statements are our own, the values are bound
"""Convert between the history's rows and its records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from flowgpt_magic.history.dead_kernels import is_abandoned
from flowgpt_magic.history.records import (
    ChangeRecord,
    ConversationRecord,
    KeyChange,
    NotebookRecord,
    PartialText,
    PictureRecord,
    Record,
    RequestRecord,
)
from flowgpt_magic.messages import Sent, Turn, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.prompt.pictures import Picture, picture_of_url
from flowgpt_magic.redaction import redact, without_secrets

NOTEBOOK = ("notebook_id", "key", "label", "kind", "path", "created", "seen")
CONVERSATION = (
    *("conversation_id", "notebook_id", "name", "system", "model", "parameters", "created", "changed", "removed"),
)
USAGE = (
    *("prompt_tokens", "completion_tokens", "finish_reason", "first_chunk_seconds", "seconds", "chunks"),
    *("reasoning_tokens", "cached_tokens", "cache_write_tokens", "service_tier", "answered_by", "cost"),
    *("cost_source", "reasoning_seconds"),
)
TURN = (
    *("turn_id", "conversation_id", "place", "version", "live", "cell_id", "run", "prompt", "text", "status", "error"),
    *("provider", "model", "system", "parameters", "request_key", *USAGE, "notices", "left_out", "replayed", "kernel"),
    *("started", "ended", "grown", "images", "extras", "sent"),
)
SPENT = tuple(name for name in USAGE if name != "finish_reason")
REQUEST = ("request_id", "notebook_id", "provider", "model", "status", "started", "estimated", *SPENT)
PICTURE = ("digest", "type", "width", "height", "asked", "added", "thumbnail", "content")
KEPT = "picture:"  # begins what stands for a picture among the images of a turn: its digest and its type follow
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
SAVE_PICTURE = (
    f"INSERT INTO pictures ({', '.join(PICTURE)}) VALUES ({', '.join('?' * len(PICTURE))}) "
    "ON CONFLICT (digest) DO UPDATE SET asked = max(asked, excluded.asked), added = max(added, excluded.added), "
    "thumbnail = CASE thumbnail WHEN x'' THEN excluded.thumbnail ELSE thumbnail END "
    "WHERE (asked < excluded.asked) OR (NOT asked AND added < excluded.added) "
    "OR (thumbnail = x'' AND excluded.thumbnail <> x'')"
)
GROW_TURN = "UPDATE turns SET text = ?, grown = ?, indexed = 0 WHERE turn_id = ?"
GROW_REASONING = "UPDATE turns SET text = ?, extras = ?, grown = ?, indexed = 0 WHERE turn_id = ?"


def statement(
    record: Record | PartialText, picture_of: Callable[[str], Picture | None] = picture_of_url
) -> tuple[str, tuple[Any, ...]]:
    """The SQL and its values that insert ``record`` or update the row with its id.

    ``picture_of`` returns the picture of a URL. The pictures of a turn are records of their own: ``pictures_of``.
    """
    if isinstance(record, PartialText) and record.reasoning:
        extras = _json(Extras(reasoning=record.reasoning).as_json())
        return GROW_REASONING, (record.text, extras, time.time(), record.turn_id)
    if isinstance(record, PartialText):
        return GROW_TURN, (record.text, time.time(), record.turn_id)
    if isinstance(record, KeyChange):
        return "UPDATE notebooks SET key = ? WHERE key = ?", (record.new, record.old)
    if isinstance(record, Turn):
        return SAVE_TURN, _turn_values(record, picture_of)
    if isinstance(record, PictureRecord):
        return SAVE_PICTURE, _picture_values(record)
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


def pictures_of(turn: Turn, picture_of: Callable[[str], Picture | None] = picture_of_url) -> list[PictureRecord]:
    """The pictures that were sent with a turn, to be saved before it."""
    pictures = [picture for url in turn.images if (picture := picture_of(url)) is not None]
    return [PictureRecord(picture, asked=True, added=turn.started) for picture in pictures]


def kept(url: str, picture_of: Callable[[str], Picture | None] = picture_of_url) -> str:
    """What stands for the image at ``url`` in the row of its turn: the URL itself if it is no picture."""
    picture = picture_of(url)
    return url if picture is None else f"{KEPT}{picture.digest}:{picture.type}"


def digests_in(images: str) -> list[str]:
    """The digests of the pictures in the column ``images`` of a turn."""
    return [entry.split(":")[1] for entry in _list(images) if entry.startswith(KEPT)] if KEPT in images else []


def _images(column: str, pictures: Mapping[str, Picture]) -> tuple[str, ...]:
    """The URLs of the images of a turn. A picture that is missing in a damaged file is left out."""
    urls = []
    for entry in _list(column):
        _kept, _colon, rest = entry.partition(KEPT) if entry.startswith(KEPT) else ("", "", "")
        digest, _colon, mime = rest.partition(":")
        if not digest:
            urls.append(entry)
        elif digest in pictures:
            picture = pictures[digest]
            urls.append((picture if picture.type == mime else replace(picture, type=mime)).url)
    return tuple(urls)


def _picture_values(record: PictureRecord) -> tuple[Any, ...]:
    picture = record.picture
    size = picture.width, picture.height
    return picture.digest, picture.type, *size, record.asked, record.added, picture.thumbnail, picture.content


def picture_of(row: Sequence[Any]) -> PictureRecord:
    """The picture of a row with the columns ``PICTURE``."""
    _digest, mime, width, height, asked, added, thumbnail, content = row
    return PictureRecord(Picture(mime, width, height, content, thumbnail), bool(asked), added)


def _turn_values(turn: Turn, picture_of: Callable[[str], Picture | None]) -> tuple[Any, ...]:
    """The row of a turn, in the order of ``TURN``."""
    values = {name: getattr(turn, name, None) for name in TURN}
    values |= _values(turn.usage, USAGE)
    values |= {
        "parameters": _json(without_secrets(turn.parameters)),
        "notices": _json(map(redact, turn.notices)),
        "error": redact(turn.error),
        "grown": turn.ended or time.time(),
        "images": _json(kept(url, picture_of) for url in turn.images),
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


def turn_of(row: dict[str, Any], pictures: Mapping[str, Picture] = MappingProxyType({})) -> Turn:
    """The turn of a row; a turn that its kernel abandoned is cancelled, see ``dead_kernels``.

    ``pictures`` has those of ``digests_in``, by digest.
    """
    grown = row.pop("grown")
    if row["status"] == "streaming" and is_abandoned(row["kernel"], grown):
        row |= {"status": "cancelled", "ended": grown}
    row["usage"] = Usage(**{name: row.pop(name) for name in USAGE})
    row["parameters"] = _mapping(row["parameters"])
    row["notices"], row["images"] = _list(row["notices"]), _images(row["images"], pictures)
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
