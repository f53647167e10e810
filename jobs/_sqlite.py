"""SQLite: copy, check and count a database file while others use it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from jobs._backups import BackupFailed

T = TypeVar("T")
BUSY_SECONDS = 60.0
"""How long to wait for a writer that holds the whole database."""
_MAGIC = b"SQLite format 3\0"
_TABLES = """
SELECT name FROM sqlite_schema
WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name
"""


def dump(source: Path, into: Path) -> None:
    """Write a consistent, compact copy into an empty file. In WAL mode, writers of the source go on meanwhile."""
    with _opened(source, "mode=rw") as connection:
        _interruptible(connection, lambda: connection.execute("VACUUM INTO ?", [str(into)]))


def check(path: Path) -> None:
    """Raise BackupFailed unless the file is a whole, sound database. An empty file is a valid one, and no backup."""
    with path.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise BackupFailed(f"{path.name} is not an SQLite database.")
    with _opened(path, "mode=ro&immutable=1") as connection:
        rows = _interruptible(connection, lambda: connection.execute("PRAGMA integrity_check(3)").fetchall())
    if rows != [("ok",)]:
        raise BackupFailed(f"{path.name} is damaged: {'; '.join(row[0] for row in rows)}.")


def count_rows(path: Path) -> dict[str, int]:
    """The rows of every table, all as of one moment."""
    with _opened(path, "mode=rw") as connection:
        return _interruptible(connection, lambda: _counts(connection))


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    connection.rollback()  # of an earlier try that met a writer
    connection.execute("BEGIN")
    tables = [row[0] for row in connection.execute(_TABLES)]
    queries = {table: f"SELECT count(*) FROM {_quoted(table)}" for table in tables}  # noqa: S608 - the name is quoted
    return {table: connection.execute(query).fetchone()[0] for table, query in queries.items()}


@contextmanager
def _opened(path: Path, how: str) -> Iterator[sqlite3.Connection]:
    """A connection that never creates the file."""
    uri = f"file:{quote(str(path))}?{how}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0.5, isolation_level=None, check_same_thread=False)) as made:
            yield made
    except sqlite3.Error as error:
        raise BackupFailed(f"{path.name}: SQLite says: {error}.") from error


def _interruptible(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    # In a thread of its own: a time limit of the job is a signal, which Python can't act on during an hour of VACUUM.
    with ThreadPoolExecutor(1) as pool:
        try:
            return _patient(lambda: pool.submit(work).result())
        except BaseException:
            connection.interrupt()
            raise


def _patient(work: Callable[[], T]) -> T:
    # Not by SQLite's own timeout: nothing interrupts that one.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
