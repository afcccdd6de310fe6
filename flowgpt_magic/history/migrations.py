# ruff: noqa: S608 # the names in these statements are our own
"""The tables of the history, and the migrations that create them.

A migration runs once per file, in one transaction with its version number, ``user_version``. Those listed here have run
on someone's machine: to change the tables, add a new one at the bottom.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from flowgpt_magic.errors import HistoryFileError, HistoryNewerError
from flowgpt_magic.prompt.pictures import picture_of_url

if TYPE_CHECKING:
    from sqlite3 import Connection

APPLICATION_ID = 0x666C6F77  # marks a file as a history; "flow" in its header
COUNTS = {  # the columns of ``all_counts``
    **dict.fromkeys(("reasoning_tokens", "cached_tokens", "cache_write_tokens"), "INTEGER"),
    **dict.fromkeys(("service_tier", "answered_by"), "TEXT NOT NULL DEFAULT ''"),
    **dict.fromkeys(("cost", "reasoning_seconds"), "REAL"),
}
COST_SUMS = {  # the columns of ``costs_of_usage``
    **dict.fromkeys(("reasoning_tokens", "cached_tokens", "computed", "unpriced"), "INTEGER"),
    "cost": "REAL",
}


def notebooks_conversations_turns(database: Connection) -> None:
    """The main tables. Texts are the last columns of a row, so that counting does not read them."""
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(
        """CREATE TABLE notebooks (
            notebook_id TEXT PRIMARY KEY NOT NULL, key TEXT NOT NULL, label TEXT NOT NULL, kind TEXT NOT NULL,
            path TEXT NOT NULL, created REAL NOT NULL, seen REAL NOT NULL)"""
    )
    database.execute("CREATE INDEX notebooks_by_key ON notebooks (key)")
    database.execute(
        """CREATE TABLE conversations (
            conversation_id TEXT PRIMARY KEY NOT NULL, notebook_id TEXT NOT NULL REFERENCES notebooks,
            name TEXT NOT NULL, system TEXT NOT NULL, model TEXT NOT NULL, parameters TEXT NOT NULL,
            created REAL NOT NULL, changed REAL NOT NULL, removed INTEGER NOT NULL)"""
    )
    database.execute("CREATE INDEX conversations_of_notebook ON conversations (notebook_id, name)")
    database.execute(
        """CREATE TABLE turns (
            number INTEGER PRIMARY KEY, turn_id TEXT NOT NULL UNIQUE,
            conversation_id TEXT NOT NULL REFERENCES conversations, place INTEGER NOT NULL, version INTEGER NOT NULL,
            live INTEGER NOT NULL, indexed INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL, provider TEXT NOT NULL,
            model TEXT NOT NULL, replayed INTEGER NOT NULL, left_out INTEGER NOT NULL, started REAL NOT NULL,
            grown REAL NOT NULL, ended REAL, prompt_tokens INTEGER, completion_tokens INTEGER, finish_reason TEXT,
            first_chunk_seconds REAL, seconds REAL, chunks INTEGER NOT NULL, request_key TEXT NOT NULL,
            cell_id TEXT NOT NULL, run TEXT NOT NULL, kernel TEXT NOT NULL, parameters TEXT NOT NULL,
            notices TEXT NOT NULL, error TEXT NOT NULL, system TEXT NOT NULL, prompt TEXT NOT NULL,
            text TEXT NOT NULL)"""
    )
    database.execute(
        "CREATE INDEX turns_of_conversation ON turns (conversation_id, live, place, version, started, cell_id)"
    )
    database.execute(
        "CREATE INDEX turns_to_replay ON turns (request_key, started) WHERE status = 'complete' AND request_key <> ''"
    )
    database.execute("CREATE INDEX turns_of_cell ON turns (cell_id, conversation_id) WHERE live = 1 AND cell_id <> ''")
    database.execute("CREATE INDEX turns_streaming ON turns (number) WHERE status = 'streaming'")
    database.execute(
        """CREATE TABLE changes (
            change_id TEXT PRIMARY KEY NOT NULL, conversation_id TEXT NOT NULL REFERENCES conversations,
            number INTEGER NOT NULL, kind TEXT NOT NULL, added TEXT NOT NULL, removed TEXT NOT NULL,
            undone INTEGER NOT NULL, made REAL NOT NULL)"""
    )
    database.execute("CREATE INDEX changes_of_conversation ON changes (conversation_id, number)")


def words_of_turns(database: Connection) -> None:
    """The full-text index. It contains exactly the turns whose ``indexed`` is 1.

    The triggers update it in the transaction that changes ``indexed`` or the text, so a crash cannot make it
    inconsistent. ``spaced`` is a function of the connection, see ``file.register``.
    """
    database.execute(
        """CREATE VIRTUAL TABLE words USING fts5 (
            prompt, text, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2')"""
    )
    database.execute("CREATE INDEX turns_unindexed ON turns (number) WHERE indexed = 0")
    database.execute(
        """CREATE TRIGGER turn_enters_index AFTER UPDATE OF indexed ON turns WHEN new.indexed AND NOT old.indexed BEGIN
            INSERT INTO words (rowid, prompt, text) VALUES (new.number, spaced(new.prompt), spaced(new.text));
        END"""
    )
    for name, event in (
        ("turn_leaves_index", "UPDATE OF indexed ON turns WHEN old.indexed AND NOT new.indexed"),
        ("turn_is_deleted", "DELETE ON turns WHEN old.indexed"),
    ):
        database.execute(
            f"""CREATE TRIGGER {name} AFTER {event} BEGIN
                INSERT INTO words (words, rowid, prompt, text)
                VALUES ('delete', old.number, spaced(old.prompt), spaced(old.text));
            END"""
        )


def images_of_turns(database: Connection) -> None:
    """The images sent with a prompt, as a JSON list of ``data:`` URLs."""
    database.execute("ALTER TABLE turns ADD COLUMN images TEXT NOT NULL DEFAULT '[]'")


def extras_of_turns(database: Connection) -> None:
    """What came with a reply besides its text, as a JSON object."""
    database.execute("ALTER TABLE turns ADD COLUMN extras TEXT NOT NULL DEFAULT '{}'")


def sums_of_usage(database: Connection) -> None:
    """Usage of each model, summed by the period of four hours in which a turn started, and by local day.

    When a turn changes, a trigger adds its period to ``usage_stale`` in the same transaction; summing removes it. At
    first, all periods are stale.
    """
    period = "CAST({}started / 14400 AS INTEGER)"
    database.execute(f"CREATE INDEX turns_by_period ON turns ({period.format('')})")
    database.execute(
        """CREATE TABLE usage (
            period INTEGER NOT NULL, day TEXT, zone TEXT, conversation_id TEXT NOT NULL, provider TEXT NOT NULL,
            model TEXT NOT NULL, turns INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL, first_seconds REAL NOT NULL, first_turns INTEGER NOT NULL,
            rates REAL NOT NULL, rate_turns INTEGER NOT NULL)"""
    )
    database.execute("CREATE INDEX usage_by_period ON usage (period)")
    database.execute("CREATE TABLE usage_stale (period INTEGER PRIMARY KEY)")
    database.execute(f"INSERT INTO usage_stale SELECT DISTINCT {period.format('')} FROM turns")
    counted = (
        *("conversation_id", "provider", "model", "replayed", "kernel", "request_key", "started", "prompt_tokens"),
        *("completion_tokens", "first_chunk_seconds", "seconds", "chunks"),
    )
    before, after = (", ".join(f"{row}.{name}" for name in counted) for row in ("old", "new"))
    changed = f"UPDATE OF {', '.join(counted)} ON turns WHEN ({before}) IS NOT ({after})"
    for name, event, rows in (
        ("turn_adds_usage", "INSERT ON turns", ("new",)),
        ("turn_changes_usage", changed, ("old", "new")),
        ("turn_takes_usage", "DELETE ON turns", ("old",)),
    ):
        notes = "".join(
            f"INSERT INTO usage_stale SELECT {value} WHERE {value} NOT IN (SELECT period FROM usage_stale);"
            for value in (period.format(f"{row}.") for row in rows)
        )
        database.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {notes} END")


def requests_sent(database: Connection) -> None:
    """Every request that was sent, with or without a turn, and the sums of usage over these.

    Of the turns so far, a copy of a turn differs from it only in ids and place, and was written later, so the lowest
    number counts.
    """
    usage = "prompt_tokens, completion_tokens, first_chunk_seconds, seconds, chunks"
    database.execute(
        """CREATE TABLE requests (
            number INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE,
            notebook_id TEXT NOT NULL REFERENCES notebooks, provider TEXT NOT NULL, model TEXT NOT NULL,
            status TEXT NOT NULL, started REAL NOT NULL, estimated INTEGER NOT NULL, prompt_tokens INTEGER,
            completion_tokens INTEGER, first_chunk_seconds REAL, seconds REAL, chunks INTEGER NOT NULL)"""
    )
    database.execute(
        f"INSERT INTO requests (request_id, notebook_id, provider, model, status, started, estimated, {usage}) "
        f"SELECT turn_id, notebook_id, provider, turns.model, status, started, 0, {usage} "
        "FROM turns JOIN conversations USING (conversation_id) WHERE number IN (SELECT min(number) FROM turns "
        "WHERE NOT replayed AND kernel <> '' GROUP BY started, kernel, provider, model, request_key) ORDER BY number"
    )
    for trigger in ("turn_adds_usage", "turn_changes_usage", "turn_takes_usage"):
        database.execute(f"DROP TRIGGER {trigger}")
    database.execute("DROP INDEX turns_by_period")
    database.execute("DROP TABLE usage")
    database.execute(
        """CREATE TABLE usage (
            period INTEGER NOT NULL, day TEXT, zone TEXT, notebook_id TEXT NOT NULL, provider TEXT NOT NULL,
            model TEXT NOT NULL, requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL, first_seconds REAL NOT NULL,
            first_requests INTEGER NOT NULL, rates REAL NOT NULL, rate_requests INTEGER NOT NULL)"""
    )
    database.execute("CREATE INDEX usage_by_period ON usage (period)")
    period = "CAST({}started / 14400 AS INTEGER)"
    database.execute(f"CREATE INDEX requests_by_period ON requests ({period.format('')})")
    database.execute("DELETE FROM usage_stale")
    database.execute(f"INSERT INTO usage_stale SELECT DISTINCT {period.format('')} FROM requests")
    for name, event, row in (("request_adds_usage", "INSERT", "new."), ("request_takes_usage", "DELETE", "old.")):
        moment = period.format(row)
        database.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON requests BEGIN INSERT INTO usage_stale "
            f"SELECT {moment} WHERE {moment} NOT IN (SELECT period FROM usage_stale); END"
        )


def sent_of_turns(database: Connection) -> None:
    """What was sent with a prompt and what was not, as a JSON object."""
    database.execute("ALTER TABLE turns ADD COLUMN sent TEXT NOT NULL DEFAULT '{}'")


def pictures_kept_once(database: Connection) -> None:
    """Each picture once, by the SHA-256 of its content; until now every turn had a copy of it in base64.

    A picture that was not sent yet is not ``asked``. The content is the last column, so that others are read without
    it.
    """
    database.execute(
        """CREATE TABLE pictures (
            digest TEXT PRIMARY KEY NOT NULL, type TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
            asked INTEGER NOT NULL, added REAL NOT NULL, thumbnail BLOB NOT NULL, content BLOB NOT NULL)"""
    )
    database.execute("CREATE INDEX pictures_unasked ON pictures (added) WHERE asked = 0")
    numbers = database.execute("SELECT number FROM turns WHERE images <> '[]'").fetchall()
    for (number,) in numbers:
        started, images = database.execute("SELECT started, images FROM turns WHERE number = ?", (number,)).fetchone()
        entries = []
        for url in json.loads(images):
            picture = picture_of_url(url)
            entries.append(url if picture is None else f"picture:{picture.digest}:{picture.type}")
            if picture is not None:
                values = (picture.digest, picture.type, picture.width, picture.height, started, picture.content)
                database.execute("INSERT OR IGNORE INTO pictures VALUES (?, ?, ?, ?, 1, ?, x'', ?)", values)
        database.execute("UPDATE turns SET images = ? WHERE number = ?", (json.dumps(entries), number))


def all_counts(database: Connection) -> None:
    """Further counts of turns and requests, and what the server says of who answered and at what cost."""
    for table in ("turns", "requests"):
        for name, kind in COUNTS.items():
            database.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def costs_of_usage(database: Connection) -> None:
    """Where a cost is from, and the sums of the further counts and of the costs. All periods are summed again."""
    for table in ("turns", "requests"):
        database.execute(f"ALTER TABLE {table} ADD COLUMN cost_source TEXT NOT NULL DEFAULT ''")
        database.execute(f"UPDATE {table} SET cost_source = 'server' WHERE cost IS NOT NULL")
    for name, kind in COST_SUMS.items():
        database.execute(f"ALTER TABLE usage ADD COLUMN {name} {kind} NOT NULL DEFAULT 0")
    database.execute("DELETE FROM usage")
    database.execute("DELETE FROM usage_stale")
    database.execute("INSERT INTO usage_stale SELECT DISTINCT CAST(started / 14400 AS INTEGER) FROM requests")


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    notebooks_conversations_turns,
    words_of_turns,
    images_of_turns,
    extras_of_turns,
    sums_of_usage,
    requests_sent,
    sent_of_turns,
    pictures_kept_once,
    all_counts,
    costs_of_usage,
)
NEWEST = len(MIGRATIONS)


def version_of(database: Connection) -> int:
    """The number of migrations that have run on this file."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def check_version(database: Connection, location: str) -> int:
    """The version of the file. Raises ``HistoryNewerError`` if a newer flowgpt_magic has migrated it."""
    version = version_of(database)
    if version > NEWEST:
        raise HistoryNewerError(
            f"the history {location} was written by a newer version of flowgpt_magic: "
            "update this one, or set another file"
        )
    return version


def check_owner(database: Connection, location: str) -> None:
    """Raise ``HistoryFileError`` if the file is another program's database."""
    database.execute("BEGIN")  # one snapshot for both queries: another process may be creating the tables
    mark = database.execute("PRAGMA application_id").fetchone()[0]
    empty = database.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0]
    database.execute("COMMIT")
    if mark != APPLICATION_ID and not (mark == 0 and empty):
        raise HistoryFileError(f"{location} is the database of another program: set another file for the history")


def migrate(database: Connection, location: str) -> None:
    """Run the missing migrations. Safe while other processes do the same."""
    while check_version(database, location) < NEWEST:
        database.execute("BEGIN IMMEDIATE")
        try:
            # Checked again under the lock: another process may have migrated the file.
            version = check_version(database, location)
            if version < NEWEST:
                MIGRATIONS[version](database)
                database.execute(f"PRAGMA user_version = {version + 1}")
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
