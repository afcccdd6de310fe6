# ruff: noqa: S608 # the names in these statements are our own, the values are bound
"""All turns on disk, in an SQLite database.

It stores and returns plain values; which turns are live, and what an undo means, is up to the timeline. Text that is
not valid Unicode, such as half of a surrogate pair from a front end that cut an emoji, is stored as bytes, because
SQLite accepts no other text. It is returned unchanged.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from flowgpt_magic.errors import HistoryError, HistoryLockedError
from flowgpt_magic.history import file as history_file
from flowgpt_magic.history import migrations
from flowgpt_magic.history import usage as history_usage
from flowgpt_magic.history.dead_kernels import CANCEL_TURN, PRESUMED_DEAD_AFTER
from flowgpt_magic.history.processes import is_alive
from flowgpt_magic.history.records import (
    MEMORY,
    ChangeRecord,
    ConversationRecord,
    ConversationSummary,
    NotebookRecord,
    PartialText,
    PictureRecord,
    Record,
    RequestRecord,
    SearchHit,
    UsageRow,
)
from flowgpt_magic.history.rows import (
    CHANGE,
    CONVERSATION,
    NOTEBOOK,
    PICTURE,
    REQUEST,
    TURN,
    change_of,
    conversation_of,
    digests_in,
    from_sqlite,
    picture_of,
    pictures_of,
    request_of,
    statement,
    to_sqlite,
    turn_of,
)
from flowgpt_magic.history.search import HIT, can_be_prefix, match_expression, one_of_each, snippet, words_of
from flowgpt_magic.history.sent_requests import request_of_dead_turn
from flowgpt_magic.messages import Turn
from flowgpt_magic.prompt.pictures import Picture, picture_of_url

BUSY_TIMEOUT = 1.0  # seconds to wait for another process that writes
INDEX_AT_ONCE = 50  # turns added to the index in one transaction
DECODED_PICTURES = 4  # pictures of turns that are saved, which are saved again when they end
UNASKED_FOR = 30 * 24 * 3600.0  # seconds after which a picture that no prompt was sent with is removed
PERIODS_AT_ONCE = 20  # periods whose usage is summed in one transaction
SEARCH_COLUMNS = (("turns", TURN), ("conversations", CONVERSATION), ("notebooks", NOTEBOOK))

LOOKED_AT = 4  # times as many hits as are listed, and as many more twice: some are versions and copies of others
NUMBER_OF_TURN = (
    "CASE WHEN turns.live THEN (SELECT count(*) FROM turns AS t WHERE t.conversation_id = turns.conversation_id "
    "AND t.live = 1 AND t.place <= turns.place) ELSE 0 END"
)

SAME_NOTEBOOK = (
    "(SELECT other.notebook_id FROM notebooks AS one JOIN notebooks AS other USING (key) WHERE one.notebook_id = ?)"
)
UNINDEXED = "indexed = 0 AND (status <> 'streaming' OR grown < ?)"


Values = Sequence[Any] | Mapping[str, Any]


class History:
    """The history in the file at ``location``, or in memory for ``":memory:"``. Use it on the thread that opened it.

    A missing file is created, readable only by its owner, and an older one is migrated. Turns left streaming by a
    killed kernel of this machine are cancelled. Several processes may write to one file. A call waits up to
    ``patience`` seconds for another process. Every method raises ``HistoryError`` if the file cannot be used.
    """

    def __init__(self, location: str | Path, *, patience: float = BUSY_TIMEOUT) -> None:
        self.location = history_file.path_of(str(location))
        self._database = history_file.open_file(self.location, patience)
        self._file = history_file.file_number(self.location)
        self._picture_of = lru_cache(DECODED_PICTURES)(picture_of_url)
        with suppress(HistoryLockedError):  # then they are only shown as cancelled
            self._cancel_dead_turns()
        with suppress(HistoryLockedError):
            self._remove_unasked_pictures(time.time() - UNASKED_FOR)

    @classmethod
    def read_only(cls, location: str | Path, *, patience: float = BUSY_TIMEOUT) -> History:
        """Open an existing file for reading. The file is not changed."""
        history = cls.__new__(cls)
        history.location = history_file.path_of(str(location))
        history._database = history_file.open_read_only(history.location, patience)
        history._file = history_file.file_number(history.location)
        return history

    @classmethod
    def copied_into_memory(cls, location: str | Path) -> History:
        """A history in memory with a copy of the file's content, or empty if the file cannot be read."""
        history = cls(MEMORY)
        history_file.copy_into(history._database, history_file.path_of(str(location)))
        return history

    def close(self) -> None:
        """Close the file."""
        with history_file.translate_errors(self.location):
            self._database.close()

    @property
    def replaced(self) -> bool:
        """Was the file deleted or moved since it was opened? Then everything written here is lost."""
        return self._file is not None and history_file.file_number(self.location) != self._file

    # Writing

    def save(self, *records: Record | PartialText) -> None:
        """Insert these records, or update those with the same ids, in one transaction.

        A notebook or conversation never replaces a newer one. Secrets in a turn's parameters are left out.
        """
        with self._writing():
            for record in records:
                for picture in pictures_of(record, self._picture_of) if isinstance(record, Turn) else ():
                    self._run(*statement(picture))
                self._run(*statement(record, self._picture_of))

    def grow_turn(self, turn_id: str, text: str) -> None:
        """Set the text of a turn that streams."""
        self.save(PartialText(turn_id, text))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction. Raises ``HistoryNewerError`` if a newer version has migrated the file since it was opened."""
        with history_file.translate_errors(self.location):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                migrations.check_version(self._database, self.location)
                yield
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    with suppress(sqlite3.Error):  # the first error says more
                        self._database.execute("ROLLBACK")

    def _cancel_dead_turns(self) -> None:
        columns = ("turn_id", "kernel", "notebook_id")
        sql = (
            f"SELECT {', '.join(columns)} FROM turns JOIN conversations USING (conversation_id) "
            "WHERE status = 'streaming'"
        )
        dead = {
            row["turn_id"]: row["notebook_id"] for row in self._rows(columns, sql) if is_alive(row["kernel"]) is False
        }
        if dead:
            turns = self.turns_by_id(dead)
            with self._writing():
                for turn in turns:
                    self._run(CANCEL_TURN, (turn.turn_id,))
                    self._run(*statement(request_of_dead_turn(turn, dead[turn.turn_id])))

    def _remove_unasked_pictures(self, before: float) -> None:
        """Remove the pictures that were added before this time, in Unix seconds, and never sent with a prompt."""
        which = "FROM pictures WHERE asked = 0 AND added < ?"
        if self._rows(("digest",), f"SELECT digest {which} LIMIT 1", (before,)):
            with self._writing():
                self._run(f"DELETE {which}", (before,))

    def index_ended_turns(self) -> bool:
        """Add some ended turns to the full-text index. True if there are more.

        It takes longer than ``save`` and can be interrupted at any time.
        """
        values = (time.time() - PRESUMED_DEAD_AFTER, INDEX_AT_ONCE)
        some = f"SELECT number FROM turns WHERE {UNINDEXED} LIMIT ?"
        if not self._rows(("number",), some, values):
            return False
        with self._writing():
            done = self._run(f"UPDATE turns SET indexed = 1 WHERE number IN ({some})", values).rowcount
        return done == INDEX_AT_ONCE

    def copies(self, from_notebook_id: str, to_notebook_id: str) -> list[Record]:
        """Copies of a notebook's conversations, with all turns and changes, for another notebook to save.

        The copies have new ids. Removed conversations and those whose name the other notebook has are left out.
        """
        names = self.names(to_notebook_id)
        copies: list[Record] = []
        for summary in self.conversations(from_notebook_id):
            if summary.conversation.name not in names:
                copies += self._copy(summary.conversation, to_notebook_id)
        return copies

    def _copy(self, original: ConversationRecord, notebook_id: str) -> list[Record]:
        copy = replace(original, conversation_id=uuid4().hex, notebook_id=notebook_id)
        turns = self.turns(original.conversation_id, live_only=False)
        ids = {turn.turn_id: uuid4().hex for turn in turns}

        def renamed(turn_ids: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(ids[turn_id] for turn_id in turn_ids if turn_id in ids)

        copies: list[Record] = [copy]
        for turn in turns:
            ended = replace(turn, status="cancelled", ended=turn.started) if turn.status == "streaming" else turn
            copies.append(replace(ended, turn_id=ids[turn.turn_id], conversation_id=copy.conversation_id))
        for change in self.changes(original.conversation_id, last=-1):
            added, removed = renamed(change.added), renamed(change.removed)
            fresh = replace(change, change_id=uuid4().hex, conversation_id=copy.conversation_id)
            copies.append(replace(fresh, added=added, removed=removed))
        return copies

    # Reading

    def notebook(self, key: str) -> NotebookRecord | None:
        """The notebook with this key; the oldest one, if several kernels created one at once."""
        notebooks = self._notebooks("WHERE key = ? ORDER BY created, notebook_id LIMIT 1", (key,))
        return notebooks[0] if notebooks else None

    def notebooks(self) -> tuple[NotebookRecord, ...]:
        """All notebooks, the last seen first."""
        return self._notebooks("ORDER BY seen DESC, notebook_id")

    def cells(self, shared_with: Collection[str]) -> dict[str, frozenset[str]]:
        """The notebooks with a live turn in one of these cells: by key, all their cell ids with live turns.

        The oldest notebook comes first.
        """
        rows = self._rows(
            ("key", "cell_id"),
            "SELECT DISTINCT key, cell_id FROM notebooks JOIN conversations USING (notebook_id) "
            "JOIN turns USING (conversation_id) WHERE live = 1 AND cell_id <> '' "
            "AND key IN (SELECT n.key FROM turns AS t JOIN conversations AS c USING (conversation_id) "
            "JOIN notebooks AS n USING (notebook_id) WHERE t.live = 1 AND t.cell_id <> '' "
            "AND t.cell_id IN (SELECT value FROM json_each(?))) ORDER BY notebooks.created, key",
            (json.dumps(list(shared_with)),),
        )
        cells: dict[str, set[str]] = {}
        for row in rows:
            cells.setdefault(row["key"], set()).add(row["cell_id"])
        return {key: frozenset(ids) for key, ids in cells.items()}

    def cells_at(self, key: str) -> tuple[frozenset[str], float]:
        """The cells of the notebook with this key that have live turns, and when the last of those turns began.

        The time is in Unix seconds, 0 if there are none.
        """
        rows = self._rows(
            ("cell_id", "started"),
            "SELECT cell_id, max(started) FROM notebooks JOIN conversations USING (notebook_id) "
            "JOIN turns USING (conversation_id) WHERE key = ? AND live = 1 AND cell_id <> '' GROUP BY cell_id",
            (key,),
        )
        return frozenset(row["cell_id"] for row in rows), max((row["started"] for row in rows), default=0.0)

    def conversations(self, notebook_id: str, *, removed: bool = False) -> tuple[ConversationSummary, ...]:
        """The conversations of a notebook, oldest first; with ``removed``, also the removed ones.

        Notebooks with the same key count as one.
        """
        columns = ", ".join(f"c.{name}" for name in CONVERSATION)
        rows = self._rows(
            (*CONVERSATION, "turns", "last_used"),
            f"SELECT {columns}, "
            "(SELECT count(*) FROM turns AS t WHERE t.conversation_id = c.conversation_id AND live = 1), "
            "(SELECT max(started) FROM turns AS t WHERE t.conversation_id = c.conversation_id AND live = 1) "
            f"FROM conversations AS c WHERE notebook_id IN {SAME_NOTEBOOK} AND removed <= ? "
            "ORDER BY created, conversation_id",
            (notebook_id, removed),
        )
        return tuple(
            ConversationSummary(conversation_of(row), row["turns"], row["last_used"] or row["changed"]) for row in rows
        )

    def names(self, notebook_id: str) -> tuple[str, ...]:
        """The names of a notebook's conversations, oldest first, without the removed ones."""
        rows = self._rows(
            ("name",),
            f"SELECT name FROM conversations WHERE notebook_id IN {SAME_NOTEBOOK} AND NOT removed "
            "ORDER BY created, conversation_id",
            (notebook_id,),
        )
        return tuple(row["name"] for row in rows)

    def conversation(self, notebook_id: str, name: str) -> ConversationRecord | None:
        """The conversation of this name that was not removed; the oldest one, if several kernels began one at once."""
        conversations = self._conversations(
            f"WHERE notebook_id IN {SAME_NOTEBOOK} AND name = ? AND NOT removed "
            "ORDER BY created, conversation_id LIMIT 1",
            (notebook_id, name),
        )
        return conversations[0] if conversations else None

    def turns(self, conversation_id: str, *, live_only: bool = True) -> tuple[Turn, ...]:
        """The live turns of a conversation, or all, ordered by place and version."""
        return self._turns(
            "WHERE conversation_id = ? AND live IN (1, ?) ORDER BY place, version, started, turn_id",
            (conversation_id, int(live_only)),
        )

    def all_turns(self, at_once: int = 500) -> Iterator[tuple[Turn, ...]]:
        """All turns, live or not, in the order of their first save, ``at_once`` at a time."""
        sql = f"SELECT number, {', '.join(TURN)} FROM turns WHERE number > ? ORDER BY number LIMIT ?"
        last = 0
        while rows := self._rows(("number", *TURN), sql, (last, at_once)):
            last = [row.pop("number") for row in rows][-1]
            yield self._turns_of(rows)

    def all_requests(self, at_once: int = 2000) -> Iterator[tuple[RequestRecord, ...]]:
        """All requests in the order of their save, ``at_once`` at a time."""
        sql = f"SELECT number, {', '.join(REQUEST)} FROM requests WHERE number > ? ORDER BY number LIMIT ?"
        last = 0
        while rows := self._rows(("number", *REQUEST), sql, (last, at_once)):
            last = [row.pop("number") for row in rows][-1]
            yield tuple(map(request_of, rows))

    def all_pictures(self) -> Iterator[PictureRecord]:
        """All pictures, one at a time."""
        for row in self._rows(("digest",), "SELECT digest FROM pictures ORDER BY digest"):
            yield from self._pictures([row["digest"]])

    def picture(self, beginning: str) -> Picture | None:
        """The picture whose digest begins so."""
        between = "SELECT digest FROM pictures WHERE digest >= ? AND digest < ? LIMIT 1"
        digests = [row["digest"] for row in self._rows(("digest",), between, (beginning, f"{beginning}g"))]
        return next((record.picture for record in self._pictures(digests)), None)

    def pictures_among(self, digests: Collection[str]) -> frozenset[str]:
        """Those of these digests whose pictures are here."""
        sql = "SELECT digest FROM pictures WHERE digest IN (SELECT value FROM json_each(?))"
        return frozenset(row["digest"] for row in self._rows(("digest",), sql, (json.dumps(list(digests)),)))

    def all_conversations(self) -> tuple[ConversationRecord, ...]:
        """The conversations of all notebooks, including the removed ones, oldest first."""
        return self._conversations("ORDER BY created, conversation_id", ())

    def versions(self, conversation_id: str, place: int) -> tuple[Turn, ...]:
        """All turns at this place, oldest first."""
        return self._turns(
            "WHERE conversation_id = ? AND live IN (0, 1) AND place = ? ORDER BY version, started, turn_id",
            (conversation_id, place),
        )

    def turn(self, turn_id: str) -> Turn | None:
        """The turn with this id."""
        turns = self._turns("WHERE turn_id = ?", (turn_id,))
        return turns[0] if turns else None

    def turns_by_id(self, turn_ids: Collection[str]) -> tuple[Turn, ...]:
        """The turns with these ids, in no order."""
        return self._turns("WHERE turn_id IN (SELECT value FROM json_each(?))", (json.dumps(list(turn_ids)),))

    def newest_versions(self, conversation_id: str) -> dict[int, int]:
        """For each place of a conversation, its highest version, live or not."""
        sql = "SELECT place, max(version) FROM turns WHERE conversation_id = ? GROUP BY place"
        return {row["place"]: row["version"] for row in self._rows(("place", "version"), sql, (conversation_id,))}

    def cost_of(self, conversation_id: str) -> float:
        """The dollars that the replies of a conversation have cost, all versions of its turns, as far as known."""
        sql = "SELECT total(cost) AS cost FROM turns WHERE conversation_id = ? AND NOT replayed"
        return float(next(iter(self._rows(("cost",), sql, (conversation_id,))))["cost"])

    def turns_by_prefix(self, beginning: str) -> tuple[Turn, ...]:
        """Up to two turns of any notebook whose id begins so."""
        return self._turns("WHERE turn_id >= ? AND turn_id < ? LIMIT 2", (beginning, f"{beginning}~"))

    def changes(self, conversation_id: str, last: int = 200) -> tuple[ChangeRecord, ...]:
        """The ``last`` changes of a conversation, oldest first; all for -1."""
        rows = self._rows(
            CHANGE,
            f"SELECT {', '.join(CHANGE)} FROM changes WHERE conversation_id = ? "
            "ORDER BY number DESC, made DESC, change_id LIMIT ?",
            (conversation_id, last),
        )
        return tuple(map(change_of, reversed(rows)))

    def find_replay(self, request_key: str) -> Turn | None:
        """The newest complete turn of any notebook with this request key."""
        turns = self._turns(
            "WHERE request_key = ? AND request_key <> '' AND status = 'complete' ORDER BY started DESC LIMIT 1",
            (request_key,),
        )
        return turns[0] if turns else None

    def find_replays(self, request_keys: Collection[str]) -> dict[str, Turn]:
        """The newest complete turn for each of these request keys, by key."""
        turns = self._turns(
            "WHERE number IN (SELECT number FROM turns WHERE request_key IN (SELECT value FROM json_each(?)) "
            "AND request_key <> '' AND status = 'complete' GROUP BY request_key HAVING started = max(started))",
            (json.dumps(list(request_keys)),),
        )
        return {turn.request_key: turn for turn in turns}

    def search(
        self, words: str, limit: int = 20, notebook_id: str | None = None, *, own_key: str = ""
    ) -> tuple[SearchHit, ...]:
        """The turns whose prompt and reply contain all of ``words``, each once, newest first.

        Case and accents of Latin letters are ignored, and so is everything that is not a letter or digit. The last word
        may be a prefix. Turns of removed conversations are found too.

        Args:
            words: what a person typed; any text is valid.
            limit: the maximum number of hits, 20 by default.
            notebook_id: search this notebook only; by default all.
            own_key: the key of the notebook whose copy of a turn is preferred to other copies.
        """
        terms = words_of(words)
        if not terms or limit <= 0:
            return ()
        with suppress(HistoryError):  # the index can be searched even if it cannot be updated
            self.index_ended_turns()
        numbers = self._matching(terms, limit, notebook_id, own_key, prefix=False)
        if len(numbers) < limit and can_be_prefix(terms):
            # Not at first: a prefix search looks at every word with that prefix.
            numbers = self._matching(terms, limit, notebook_id, own_key, prefix=True)
        return tuple(self._hits(numbers, terms))

    def _matching(
        self, words: list[str], limit: int, notebook_id: str | None, own_key: str, *, prefix: bool
    ) -> list[int]:
        """The numbers of at most ``limit`` different turns with these words, newest first."""
        inside, values = "", [match_expression(words, prefix=prefix)]
        if notebook_id is not None:
            inside = (
                "AND +rowid IN (SELECT number FROM turns JOIN conversations USING (conversation_id) "
                f"WHERE notebook_id IN {SAME_NOTEBOOK})"
            )
            values.append(notebook_id)
        rowids = f"SELECT rowid AS hit FROM words WHERE words MATCH ? {inside} ORDER BY rowid DESC LIMIT ?"
        sql = (
            f"SELECT {', '.join(HIT)} FROM ({rowids}) JOIN turns ON number = hit "
            "JOIN conversations USING (conversation_id) JOIN notebooks USING (notebook_id) ORDER BY hit DESC"
        )
        most = limit * LOOKED_AT
        while True:
            hits = self._rows(HIT, sql, (*values, most))
            numbers = one_of_each(hits, own_key)
            if len(numbers) >= limit or len(hits) < most or most >= limit * LOOKED_AT**3:
                return numbers[:limit]
            most *= LOOKED_AT

    def _hits(self, numbers: list[int], words: list[str]) -> Iterator[SearchHit]:
        """The turns with these numbers, in that order."""
        columns = [f"{table}.{name}" for table, names in SEARCH_COLUMNS for name in names]
        sql = (
            f"SELECT turns.number, {NUMBER_OF_TURN}, {', '.join(columns)} FROM turns "
            "JOIN conversations USING (conversation_id) JOIN notebooks USING (notebook_id) "
            "WHERE turns.number IN (SELECT value FROM json_each(?))"
        )
        rows = {row[0]: row[1:] for row in self._read(sql, (json.dumps(numbers),))} if numbers else {}
        homes: dict[tuple[Any, ...], tuple[ConversationRecord, NotebookRecord]] = {}
        for place, *columns_of_turn in (rows[number] for number in numbers if number in rows):
            (turn,) = self._turns_of([dict(zip(TURN, columns_of_turn, strict=False))])
            home = tuple(columns_of_turn[len(TURN) :])  # shared by many hits
            conversation, notebook = homes.get(home) or homes.setdefault(home, _home(home))
            yield SearchHit(turn, conversation, notebook, snippet((turn.prompt, turn.text), words), place)

    def usage_rows(self, since: float = 0.0, notebook_id: str | None = None) -> tuple[UsageRow, ...]:
        """The usage of each model on each day since ``since`` (Unix seconds), newest first.

        Every request that was sent counts once; copied, imported and replayed turns were not sent. Means are over the
        requests that have the value.
        """
        with suppress(HistoryError):  # what is not summed yet is counted from the requests
            while self.sum_usage():
                pass
        values: dict[str, Any] = {"since": since}
        inside = ""
        if notebook_id is not None:
            values["notebook"] = notebook_id
            inside = f"AND notebook_id IN {SAME_NOTEBOOK.replace('?', ':notebook')}"
        names = ("day", "provider", "model", *history_usage.ADDED, "first_chunk_seconds", "chunks_per_second")
        rows = self._rows(names, history_usage.usage_of(inside), values)
        return tuple(UsageRow(**row) for row in rows)

    def usage_by_notebook(self, since: float = 0.0) -> tuple[UsageRow, ...]:
        """The usage of each model in each notebook since ``since``; ``day`` is the notebook's label."""
        labels = {notebook.notebook_id: notebook.label for notebook in self.notebooks()}
        names = ("day", "provider", "model", *history_usage.ADDED, "first_chunk_seconds", "chunks_per_second")
        rows = self._rows(names, history_usage.usage_of(group="notebook_id"), {"since": since})
        return tuple(UsageRow(**{**row, "day": labels.get(row["day"], "")}) for row in rows)

    def sum_usage(self, before: float | None = None) -> bool:
        """Sum the usage of some periods whose requests, or whose time zone, have changed. True if there are more.

        With ``before``, in Unix seconds, only periods that had ended by then and whose requests have changed. It can be
        interrupted at any time.
        """
        which, values = history_usage.STALE_HERE, [PERIODS_AT_ONCE]
        if before is not None:
            which, values = f"{history_usage.STALE} WHERE period < ?", [int(before // history_usage.PERIOD), *values]
        stale = [row["period"] for row in self._rows(("period",), f"{which} LIMIT ?", values)]
        if stale:
            with self._writing():
                for sql in history_usage.SUM_UP:
                    self._run(sql, (json.dumps(stale),))
        return len(stale) == PERIODS_AT_ONCE

    # Rows and values

    def _notebooks(self, rest: str, values: Sequence[Any] = ()) -> tuple[NotebookRecord, ...]:
        rows = self._rows(NOTEBOOK, f"SELECT {', '.join(NOTEBOOK)} FROM notebooks {rest}", values)
        return tuple(NotebookRecord(**row) for row in rows)

    def _conversations(self, rest: str, values: Sequence[Any]) -> tuple[ConversationRecord, ...]:
        sql = f"SELECT {', '.join(CONVERSATION)} FROM conversations {rest}"
        return tuple(map(conversation_of, self._rows(CONVERSATION, sql, values)))

    def _turns(self, rest: str, values: Sequence[Any]) -> tuple[Turn, ...]:
        return self._turns_of(self._rows(TURN, f"SELECT {', '.join(TURN)} FROM turns {rest}", values))

    def _turns_of(self, rows: Sequence[dict[str, Any]]) -> tuple[Turn, ...]:
        """The turns of these rows. Those with the same picture share it."""
        digests = {digest for row in rows for digest in digests_in(row["images"])}
        pictures = {record.picture.digest: record.picture for record in self._pictures(digests)} if digests else {}
        return tuple(turn_of(row, pictures) for row in rows)

    def _pictures(self, digests: Collection[str]) -> Iterator[PictureRecord]:
        sql = f"SELECT {', '.join(PICTURE)} FROM pictures WHERE digest = ?"
        for digest in digests:
            with history_file.translate_errors(self.location):
                yield from map(picture_of, self._run(sql, (digest,)).fetchall())

    def _rows(self, names: Sequence[str], sql: str, values: Values = ()) -> list[dict[str, Any]]:
        return [dict(zip(names, row, strict=True)) for row in self._read(sql, values)]

    def _read(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        with history_file.translate_errors(self.location):
            return [
                tuple(map(from_sqlite, row)) if bytes in map(type, row) else row
                for row in self._run(sql, values).fetchall()
            ]

    def _run(self, sql: str, values: Values = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(sql, values)
        except UnicodeEncodeError:
            if isinstance(values, Mapping):
                return self._database.execute(sql, {name: to_sqlite(value) for name, value in values.items()})
            return self._database.execute(sql, [to_sqlite(value) for value in values])


def _home(values: tuple[Any, ...]) -> tuple[ConversationRecord, NotebookRecord]:
    """The conversation and the notebook with these columns."""
    conversation = conversation_of(dict(zip(CONVERSATION, values, strict=False)))
    return conversation, NotebookRecord(**dict(zip(NOTEBOOK, values[len(CONVERSATION) :], strict=True)))
