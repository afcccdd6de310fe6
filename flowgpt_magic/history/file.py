"""Open the history's file, check it, move a damaged one aside, and turn SQLite's errors into helpful ones."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

from flowgpt_magic.errors import (
    HistoryDamagedError,
    HistoryError,
    HistoryFileError,
    HistoryLockedError,
    HistoryRecordError,
)
from flowgpt_magic.history import migrations
from flowgpt_magic.history.records import MEMORY
from flowgpt_magic.history.search import index_text

DATABASE_SUFFIXES = {".sqlite3", ".sqlite", ".db"}
READ_ONLY = ("mode=ro", "immutable=1")  # URI parameters; the second for a folder where SQLite cannot create files
CACHE_KIB = 512  # KiB of the file that a connection caches; the system caches the rest
WAL_LIMIT = 16 * 2**20  # bytes that the write-ahead log keeps after a checkpoint
COPY_LIMIT = 256 * 2**20  # bytes; a larger file that cannot be written is not copied into memory

MOVE_LIMIT = 60.0  # seconds after which a process that holds the lock for moving is presumed dead

# Parts of SQLite's messages, for Python before 3.11, which does not provide the error codes.
CODES = {
    "locked": 5,
    "malformed": 11,
    "fts5: corrupt": 11,
    "vtable constructor failed": 11,  # the full-text index is damaged
    "is not a database": 26,
    "disk is full": 13,
    "readonly": 8,
    "unable to open": 14,
    "disk I/O error": 10,
    "constraint failed": 19,
    "too big": 18,
}


def path_of(location: str) -> str:
    """``location`` with ``~`` expanded, if the home folder is known."""
    return location if location == MEMORY else os.path.expanduser(location)


def open_file(location: str, patience: float) -> sqlite3.Connection:
    """A connection to the history at ``location``. A missing file is created, an older one migrated.

    Waits at most ``patience`` seconds for other processes. Raises ``HistoryError``; a rejected file is not changed.
    """
    with translate_errors(location):
        if location != MEMORY:
            _make_file(Path(location))
        database = sqlite3.connect(location, timeout=patience, isolation_level=None)
        try:
            _prepare(database, location, patience)
        except BaseException:
            database.close()
            raise
        return database


def open_read_only(location: str, patience: float) -> sqlite3.Connection:
    """A read-only connection to the history at ``location``. The file is not changed.

    An older version is read from a migrated copy in memory. Raises ``HistoryError`` if the file is missing, damaged, of
    a newer version, or not a history.
    """
    first_error: HistoryError | None = None
    for parameter in READ_ONLY:
        try:
            with translate_errors(location):
                return _read_only(location, parameter, patience)
        except HistoryFileError as error:
            first_error = first_error or error
    raise first_error or HistoryFileError(f"the history {location} cannot be read")


def _read_only(location: str, parameter: str, patience: float) -> sqlite3.Connection:
    if not os.path.isfile(location):
        raise HistoryFileError(f"there is no history at {location}: give the path of an existing file")
    uri = f"{Path(location).absolute().as_uri()}?{parameter}"
    database = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)
    try:
        migrations.check_owner(database, location)
        if migrations.check_version(database, location) == migrations.NEWEST:
            return database
        copy = sqlite3.connect(MEMORY, isolation_level=None)
        register(copy)
        database.backup(copy)
        migrations.migrate(copy, location)
    except BaseException:
        database.close()
        raise
    database.close()
    return copy


def _make_file(path: Path) -> None:
    """Create a missing file, readable only by its owner.

    An existing file is not opened: closing it would drop the locks that this process holds on it through SQLite.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        cause = getattr(error, "strerror", None) or type(error).__name__
        raise HistoryFileError(f"the history {path} cannot be created ({cause}): set a writable path") from None
    if stat.S_ISDIR(mode):
        raise HistoryFileError(f"the history cannot be kept in {path}, which is a folder: set the path of a file")
    if not stat.S_ISREG(mode):
        raise HistoryFileError(f"the history cannot be kept in {path}, which is not a file: set another path")
    if not os.access(path, os.W_OK):
        raise HistoryFileError(f"the history {path} is read-only: make it writable, or set another path")


def _prepare(database: sqlite3.Connection, location: str, patience: float) -> None:
    register(database)
    # Checked before anything is written, so that another program's file is not changed.
    migrations.check_owner(database, location)
    migrations.check_version(database, location)
    if location != MEMORY and os.name == "posix":
        _keep_private(location)
    _use_write_ahead_log(database, patience)
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    database.execute("PRAGMA temp_store = MEMORY")  # sort in memory: the disk may be full
    database.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    database.execute("PRAGMA foreign_keys = ON")
    migrations.migrate(database, location)


def _keep_private(location: str) -> None:
    """Make the file, and the files beside it that another process may have open, readable only by the owner.

    SQLite creates the files beside it with the mode of the file itself.
    """
    for path in (location, f"{location}-wal", f"{location}-shm"):
        with suppress(OSError):  # missing, or another user's
            if os.stat(path).st_mode & 0o077:
                os.chmod(path, 0o600)


def register(database: sqlite3.Connection) -> None:
    """Give a connection the SQL function ``spaced``, which the triggers call."""
    database.execute("PRAGMA trusted_schema = ON")
    database.create_function("spaced", 1, index_text, deterministic=True)


def _use_write_ahead_log(database: sqlite3.Connection, patience: float) -> None:
    """Switch to WAL if possible. SQLite itself does not wait for another process that switches at the same moment."""
    deadline = time.monotonic() + patience
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if code_of(error) != CODES["locked"] or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 1 if unknown."""
    number = getattr(error, "sqlite_errorcode", None)
    if isinstance(number, int):
        return number & 0xFF
    message = str(error)
    return next((code for part, code in CODES.items() if part in message), 1)


@contextmanager
def translate_errors(location: str) -> Iterator[None]:
    """Turn SQLite's errors into a ``HistoryError`` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, location) from error
    except OverflowError as error:
        raise HistoryRecordError(f"a turn could not be saved to the history: {error}") from error


def _translated(error: sqlite3.Error, location: str) -> HistoryError:
    code = code_of(error)
    if code in (5, 6):
        return HistoryLockedError(f"the history {location} is locked by another process")
    if code == 26 and Path(location).suffix.lower() not in DATABASE_SUFFIXES:
        return HistoryFileError(f"{location} is not a history and was not changed: set the path of another file")
    if code in (11, 26):
        return HistoryDamagedError(f"the history {location} is damaged")
    if code == 13:
        return HistoryFileError(f"the history {location} cannot be written, the disk is full: free some space")
    if code in (8, 14):
        return HistoryFileError(f"the history {location} cannot be written: make it and its folder writable")
    if code in (18, 19, 20) or "binding parameter" in str(error):
        return HistoryRecordError(f"a turn could not be saved to the history: {error}")
    return HistoryFileError(f"the history {location} cannot be used ({error}): check its disk, or set another path")


def file_number(location: str) -> tuple[int, int] | None:
    """The device and inode of the file at ``location``; None for memory, or if there is no file."""
    if location == MEMORY:
        return None
    try:
        status = os.stat(location)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def is_damaged(location: str) -> bool:
    """Does SQLite report damage? Takes seconds for a large file."""
    try:
        with closing(sqlite3.connect(location, isolation_level=None)) as database:
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                return True
            if migrations.version_of(database) == migrations.NEWEST:  # the check leaves out the index
                database.execute("SELECT rowid FROM words WHERE words MATCH '\"a\"' LIMIT 1").fetchall()
            return False
    except sqlite3.Error as error:
        return code_of(error) in (11, 26)


@contextmanager
def move_lock(location: str) -> Iterator[bool]:
    """A lock between processes for moving or removing the file. Yields False if another process holds it.

    The lock of a dead process is removed after ``MOVE_LIMIT``. Raises ``OSError`` if the folder is not writable.
    """
    lock = Path(f"{location}.moving")
    try:
        with suppress(FileNotFoundError):
            if time.time() - lock.stat().st_mtime > MOVE_LIMIT:
                lock.rmdir()
        lock.mkdir()
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(FileNotFoundError):  # it took so long that another process removed the lock
            lock.rmdir()


def move_aside(location: str) -> Path | None:
    """Rename a damaged file, and the files beside it; nothing is overwritten.

    Returns the new path, or None if another process has moved the file or is about to. Raises ``HistoryFileError`` if
    it cannot be moved.
    """
    location = path_of(location)
    try:
        with move_lock(location) as locked:
            # Several kernels find the same damage: by now there may be a new file.
            if locked and os.path.exists(location) and is_damaged(location):
                return _rename(Path(location))
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise HistoryFileError(
            f"the history {location} is damaged and cannot be moved aside ({cause}): move it yourself"
        ) from None
    return None


def _rename(path: Path) -> Path:
    stem = f"{path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    aside, number = path.with_name(stem + path.suffix), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{stem}-{number}{path.suffix}")
    # The file itself goes last: after that, another process may create a new one with its own files beside it.
    for end in ("-wal", "-shm", "-journal", ""):
        with suppress(FileNotFoundError) if end else nullcontext():
            Path(f"{path}{end}").rename(f"{aside}{end}")
    return aside


def copy_into(database: sqlite3.Connection, location: str) -> bool:
    """Copy a file that can only be read into a database in memory. False if that is not possible."""
    for parameter in READ_ONLY:
        try:
            if os.path.getsize(location) > COPY_LIMIT:
                return False
            uri = f"{Path(location).absolute().as_uri()}?{parameter}"
            with closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as source:
                if migrations.version_of(source) != migrations.NEWEST:
                    return False
                migrations.check_owner(source, location)
                source.backup(database)
            return True
        except (OSError, ValueError, sqlite3.Error, HistoryError):
            continue
    return False
