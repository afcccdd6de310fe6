# ruff: noqa: S608 # the names in these statements are our own, the values are bound
"""Every turn on disk. SQL is spoken here and in the modules of the same name, ``history_…`` and ``migrations``, alone.

It stores plain values and gives them back; what is live, and what an undo means, is the conversation's business. Text
that is no valid Unicode (half of a surrogate pair, from a front end that cut an emoji) is kept as its bytes, since
SQLite takes no other; it comes back as it was.

A ``History`` belongs to the thread that opened it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from flowgpt_magic.errors import HistoryError, HistoryLockedError
from flowgpt_magic.history import file as history_file
from flowgpt_magic.history import migrations
from flowgpt_magic.history import usage as history_usage
from flowgpt_magic.history.processes import lives
from flowgpt_magic.history.records import (
    MEMORY,
    ChangeRecord,
    ConversationRecord,
    ConversationSummary,
    Growth,
    Hit,
    NotebookRecord,
    Record,
    UsageRow,
)
from flowgpt_magic.history.rows import (
    CHANGE,
    CONVERSATION,
    NOTEBOOK,
    SILENCE,
    TURN,
    change_of,
    conversation_of,
    loaded,
    statement,
    storable,
    turn_of,
)
from flowgpt_magic.history.search import expression, may_begin_a_word, snippet, words_of
from flowgpt_magic.messages import Turn

PATIENCE = 1.0  # seconds to wait for another process that writes
INDEX_AT_ONCE = 50  # turns that enter the index in one transaction
PERIODS_AT_ONCE = 20  # periods whose usage is summed up in one transaction
HIT = (("turns", TURN), ("conversations", CONVERSATION), ("notebooks", NOTEBOOK))  # what a hit of a search is made of

SAME_NOTEBOOK = (
    "(SELECT other.notebook_id FROM notebooks AS one JOIN notebooks AS other USING (key) WHERE one.notebook_id = ?)"
)
UNINDEXED = "indexed = 0 AND (status <> 'streaming' OR grown < ?)"


Values = Sequence[Any] | Mapping[str, Any]


class History:
    """The history in the file at ``location``, or in memory for ``":memory:"``.

    The file is made where it is missing, for its owner alone, and brought up to date. Turns that a dead kernel of this
    machine left streaming are ended as ``cancelled``. Several processes may write to one file. ``patience`` is how many
    seconds a call waits for another process. Everything raises a ``HistoryError`` where the file does not do.
    """

    def __init__(self, location: str | Path, *, patience: float = PATIENCE) -> None:
        self.location = history_file.path_of(str(location))
        self._database = history_file.open_file(self.location, patience)
        self._file = history_file.file_number(self.location)
        with suppress(HistoryLockedError):  # another process is busy; what they show as does not depend on it
            self._end_dead_turns()

    @classmethod
    def read_only(cls, location: str | Path, *, patience: float = PATIENCE) -> History:
        """The history in a file that exists, opened for reading alone: nothing in it is changed."""
        history = cls.__new__(cls)
        history.location = history_file.path_of(str(location))
        history._database = history_file.open_read_only(history.location, patience)
        history._file = history_file.file_number(history.location)
        return history

    @classmethod
    def copied_into_memory(cls, location: str | Path) -> History:
        """A history in memory that starts with what the file holds, where that can be read."""
        history = cls(MEMORY)
        history_file.copy_into(history._database, history_file.path_of(str(location)))
        return history

    def close(self) -> None:
        """Close the file."""
        with history_file.named_errors(self.location):
            self._database.close()

    @property
    def replaced(self) -> bool:
        """Has the file been deleted or moved since it was opened, so that what is written here is lost?"""
        return self._file is not None and history_file.file_number(self.location) != self._file

    # Writing

    def save(self, *records: Record | Growth) -> None:
        """Add these, or change those with the same id, all in one transaction.

        A notebook or conversation never replaces one that was seen or changed later. Of a turn's parameters, what looks
        like a key, a token or a password is left out.
        """
        with self._writing():
            for record in records:
                self._run(*statement(record))

    def grow_turn(self, turn_id: str, text: str) -> None:
        """Set the text of a turn that streams."""
        self.save(Growth(turn_id, text))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction; it is refused where a newer package has changed the file since it was opened."""
        with history_file.named_errors(self.location):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                migrations.check_version(self._database, self.location)
                yield
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    with suppress(sqlite3.Error):  # the one that led here says more
                        self._database.execute("ROLLBACK")

    def _end_dead_turns(self) -> None:
        """Should one be taken for dead that is not, its own end still comes, and replaces this one."""
        dead = [row["turn_id"] for row in self._streaming() if lives(row["kernel"]) is False]
        if dead:
            with self._writing():
                for turn_id in dead:
                    self._run(
                        "UPDATE turns SET status = 'cancelled', ended = grown "
                        "WHERE turn_id = ? AND status = 'streaming'",
                        (turn_id,),
                    )

    def _streaming(self) -> list[dict[str, Any]]:
        return self._rows(("turn_id", "kernel"), "SELECT turn_id, kernel FROM turns WHERE status = 'streaming'")

    def index_ended_turns(self) -> bool:
        """Bring some of the turns that ended into the full-text index; is there more to do?

        This is kept out of ``save`` because it takes longer than that. It is safe to leave off at any moment.
        """
        values = (time.time() - SILENCE, INDEX_AT_ONCE)
        some = f"SELECT number FROM turns WHERE {UNINDEXED} LIMIT ?"
        if not self._rows(("number",), some, values):
            return False
        with self._writing():
            done = self._run(f"UPDATE turns SET indexed = 1 WHERE number IN ({some})", values).rowcount
        return done == INDEX_AT_ONCE

    def copies(self, from_notebook_id: str, to_notebook_id: str) -> list[Record]:
        """What to save to give a notebook a copy of another's conversations, with all their turns and changes.

        The copies have ids of their own; the originals stay as they are. Conversations that were removed, and those
        whose name the notebook already has, are left out.
        """
        taken = {each.conversation.name for each in self.conversations(to_notebook_id)}
        copies: list[Record] = []
        for summary in self.conversations(from_notebook_id):
            if summary.conversation.name not in taken:
                copies += self._copy(summary.conversation, to_notebook_id)
        return copies

    def _copy(self, original: ConversationRecord, notebook_id: str) -> list[Record]:
        copy = replace(original, conversation_id=uuid4().hex, notebook_id=notebook_id)
        turns = self.turns(original.conversation_id, live_only=False)
        ids = {turn.turn_id: uuid4().hex for turn in turns}

        def renamed(turn_ids: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(ids[each] for each in turn_ids if each in ids)

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
        """The notebook of this key. Two kernels may have made one at the same moment; it is the older one."""
        found = self._notebooks("WHERE key = ? ORDER BY created, notebook_id LIMIT 1", (key,))
        return found[0] if found else None

    def notebooks(self) -> tuple[NotebookRecord, ...]:
        """All of them, the one that was seen last first."""
        return self._notebooks("ORDER BY seen DESC, notebook_id")

    def cells(self, shared_with: Collection[str]) -> dict[str, frozenset[str]]:
        """For the key of each notebook that has one of these cells the ids of its cells that hold a live turn.

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
        found: dict[str, set[str]] = {}
        for row in rows:
            found.setdefault(row["key"], set()).add(row["cell_id"])
        return {key: frozenset(cells) for key, cells in found.items()}

    def cells_at(self, key: str) -> tuple[frozenset[str], float]:
        """The cells that hold a live turn of the notebook of this key, and when the last of those turns began."""
        rows = self._rows(
            ("cell_id", "started"),
            "SELECT cell_id, max(started) FROM notebooks JOIN conversations USING (notebook_id) "
            "JOIN turns USING (conversation_id) WHERE key = ? AND live = 1 AND cell_id <> '' GROUP BY cell_id",
            (key,),
        )
        return frozenset(row["cell_id"] for row in rows), max((row["started"] for row in rows), default=0.0)

    def conversations(self, notebook_id: str, *, removed: bool = False) -> tuple[ConversationSummary, ...]:
        """Those of a notebook, the oldest first; with ``removed`` those that were removed too.

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
        """The names of a notebook's conversations that were not removed, the oldest first."""
        rows = self._rows(
            ("name",),
            f"SELECT name FROM conversations WHERE notebook_id IN {SAME_NOTEBOOK} AND NOT removed "
            "ORDER BY created, conversation_id",
            (notebook_id,),
        )
        return tuple(row["name"] for row in rows)

    def conversation(self, notebook_id: str, name: str) -> ConversationRecord | None:
        """The conversation of this name that was not removed; the oldest, should two kernels have begun one at once."""
        found = self._conversations(
            f"WHERE notebook_id IN {SAME_NOTEBOOK} AND name = ? AND NOT removed "
            "ORDER BY created, conversation_id LIMIT 1",
            (notebook_id, name),
        )
        return found[0] if found else None

    def turns(self, conversation_id: str, *, live_only: bool = True) -> tuple[Turn, ...]:
        """The live turns, or all, by place and version."""
        return self._turns(
            "WHERE conversation_id = ? AND live IN (1, ?) ORDER BY place, version, started, turn_id",
            (conversation_id, int(live_only)),
        )

    def all_turns(self, at_once: int = 500) -> Iterator[tuple[Turn, ...]]:
        """Every turn, live or not, in the order in which they were first saved, ``at_once`` at a time."""
        sql = f"SELECT number, {', '.join(TURN)} FROM turns WHERE number > ? ORDER BY number LIMIT ?"
        last = 0
        while rows := self._rows(("number", *TURN), sql, (last, at_once)):
            last = [row.pop("number") for row in rows][-1]
            yield tuple(map(turn_of, rows))

    def all_conversations(self) -> tuple[ConversationRecord, ...]:
        """The conversations of all notebooks, the removed ones too, the oldest first."""
        return self._conversations("ORDER BY created, conversation_id", ())

    def versions(self, conversation_id: str, place: int) -> tuple[Turn, ...]:
        """Every turn that was asked at this place, the first one first."""
        return self._turns(
            "WHERE conversation_id = ? AND live IN (0, 1) AND place = ? ORDER BY version, started, turn_id",
            (conversation_id, place),
        )

    def turn(self, turn_id: str) -> Turn | None:
        """The turn of this id."""
        found = self._turns("WHERE turn_id = ?", (turn_id,))
        return found[0] if found else None

    def turns_by_id(self, turn_ids: Collection[str]) -> tuple[Turn, ...]:
        """The turns of these ids, in no order."""
        return self._turns("WHERE turn_id IN (SELECT value FROM json_each(?))", (json.dumps(list(turn_ids)),))

    def newest_versions(self, conversation_id: str) -> dict[int, int]:
        """For each place of a conversation the number of its newest version, live or not."""
        sql = "SELECT place, max(version) FROM turns WHERE conversation_id = ? GROUP BY place"
        return {row["place"]: row["version"] for row in self._rows(("place", "version"), sql, (conversation_id,))}

    def turns_whose_id_begins(self, beginning: str) -> tuple[Turn, ...]:
        """The turns whose id begins so, in whichever notebook; two at most."""
        return self._turns("WHERE turn_id >= ? AND turn_id < ? LIMIT 2", (beginning, f"{beginning}~"))

    def changes(self, conversation_id: str, last: int = 200) -> tuple[ChangeRecord, ...]:
        """The ``last`` changes of a conversation by number, the oldest of them first; all for -1."""
        rows = self._rows(
            CHANGE,
            f"SELECT {', '.join(CHANGE)} FROM changes WHERE conversation_id = ? "
            "ORDER BY number DESC, made DESC, change_id LIMIT ?",
            (conversation_id, last),
        )
        return tuple(map(change_of, reversed(rows)))

    def find_replay(self, request_key: str) -> Turn | None:
        """The newest complete turn that answers the same request, in whichever notebook."""
        found = self._turns(
            "WHERE request_key = ? AND request_key <> '' AND status = 'complete' ORDER BY started DESC LIMIT 1",
            (request_key,),
        )
        return found[0] if found else None

    def find_replays(self, request_keys: Collection[str]) -> dict[str, Turn]:
        """The newest complete turn for each of these requests that was answered, by its key."""
        found = self._turns(
            "WHERE number IN (SELECT number FROM turns WHERE request_key IN (SELECT value FROM json_each(?)) "
            "AND request_key <> '' AND status = 'complete' GROUP BY request_key HAVING started = max(started))",
            (json.dumps(list(request_keys)),),
        )
        return {turn.request_key: turn for turn in found}

    def search(self, words: str, limit: int = 20, notebook_id: str | None = None) -> tuple[Hit, ...]:
        """The newest turns whose prompt and reply have all of ``words``, in all notebooks or in one.

        Case and the accents of Latin letters do not count, the last word may be the beginning of one, and signs are
        left out: whatever a person types is a search. Turns of removed conversations are found too.
        """
        asked = words_of(words)
        if not asked or limit <= 0:
            return ()
        with suppress(HistoryError):  # what is in the index can be found even where nothing can be written
            self.index_ended_turns()
        hits = self._hits(asked, limit, notebook_id, prefix=False)
        if len(hits) < limit and may_begin_a_word(asked):
            # Only now: an expression with a beginning in it looks at all the words that begin so.
            hits = self._hits(asked, limit, notebook_id, prefix=True)
        return tuple(hits)

    def _hits(self, words: list[str], limit: int, notebook_id: str | None, *, prefix: bool) -> list[Hit]:
        inside, values = "", [expression(words, prefix=prefix)]
        if notebook_id is not None:
            inside = (
                "AND +rowid IN (SELECT number FROM turns JOIN conversations USING (conversation_id) "
                f"WHERE notebook_id IN {SAME_NOTEBOOK})"
            )
            values.append(notebook_id)
        numbers = f"SELECT rowid AS hit FROM words WHERE words MATCH ? {inside} ORDER BY rowid DESC LIMIT ?"
        columns = [f"{table}.{name}" for table, names in HIT for name in names]
        sql = (
            f"SELECT {', '.join(columns)} FROM ({numbers}) JOIN turns ON number = hit "
            "JOIN conversations USING (conversation_id) JOIN notebooks USING (notebook_id) ORDER BY hit DESC"
        )
        known: dict[tuple[Any, ...], tuple[ConversationRecord, NotebookRecord]] = {}
        hits = []
        for row in self._read(sql, (*values, limit)):
            turn = turn_of(dict(zip(TURN, row, strict=False)))
            home = row[len(TURN) :]  # that many hits share
            conversation, notebook = known.get(home) or known.setdefault(home, _home(home))
            hits.append(Hit(turn, conversation, notebook, snippet((turn.prompt, turn.text), words)))
        return hits

    def usage_rows(self, since: float = 0.0, notebook_id: str | None = None) -> tuple[UsageRow, ...]:
        """What was asked of each model on each day, the newest first; replayed turns cost nothing and are left out.

        A request counts once, where it was made: copies of its turn, in a copied notebook or a branched conversation,
        were not asked again, and those read from a file, which have no kernel, not here. ``since`` is in Unix seconds.
        Means are taken over the turns that tell.
        """
        with suppress(HistoryError):  # what is not summed up is counted
            while self.sum_usage():
                pass
        values: dict[str, Any] = {"since": since}
        inside = ""
        if notebook_id is not None:
            values["notebook"] = notebook_id
            inside = (
                "AND conversation_id IN (SELECT conversation_id FROM conversations "
                f"WHERE notebook_id IN {SAME_NOTEBOOK.replace('?', ':notebook')})"
            )
        names = ("day", "provider", "model", *history_usage.SUMS[:3], "first_chunk_seconds", "chunks_per_second")
        rows = self._rows(names, history_usage.usage_of(inside), values)
        return tuple(UsageRow(**row) for row in rows)

    def sum_usage(self, before: float | None = None) -> bool:
        """Sum up the usage of some periods whose turns, or whose time zone, have changed; is there more to do?

        With ``before``, in Unix seconds, only periods that were over by then and whose turns have changed. It is safe
        to leave off at any moment.
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
        return tuple(map(turn_of, self._rows(TURN, f"SELECT {', '.join(TURN)} FROM turns {rest}", values)))

    def _rows(self, names: Sequence[str], sql: str, values: Values = ()) -> list[dict[str, Any]]:
        return [dict(zip(names, row, strict=True)) for row in self._read(sql, values)]

    def _read(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        with history_file.named_errors(self.location):
            return [
                tuple(map(loaded, row)) if bytes in map(type, row) else row for row in self._run(sql, values).fetchall()
            ]

    def _run(self, sql: str, values: Values = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(sql, values)
        except UnicodeEncodeError:
            if isinstance(values, Mapping):
                return self._database.execute(sql, {name: storable(value) for name, value in values.items()})
            return self._database.execute(sql, [storable(value) for value in values])


def _home(values: tuple[Any, ...]) -> tuple[ConversationRecord, NotebookRecord]:
    """The conversation and the notebook whose columns these are, one after the other."""
    conversation = conversation_of(dict(zip(CONVERSATION, values, strict=False)))
    return conversation, NotebookRecord(**dict(zip(NOTEBOOK, values[len(CONVERSATION) :], strict=True)))
