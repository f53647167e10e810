"""PostgreSQL through its own client programs. The connection travels in libpq's variables, never on a command line."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from jobs._backups import BackupFailed
from jobs._databases import Database
from jobs._process import Command, Ended, execute

# Every table that a dump holds rows of: not the system's, not temporary ones, not those that an extension brings itself.
_COUNT = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT format('SELECT json_build_array(%L, count(*)) FROM ONLY %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
\\gexec
COMMIT;
"""


class ClientMissing(BackupFailed):
    """A PostgreSQL client program is not installed on this worker."""


def dump(database: Database, into: Path, log: logging.Logger) -> None:
    """Write a custom-format dump. Raises BackupFailed with what pg_dump said, ClientMissing."""
    _run(database, log, "pg_dump", "--format=custom", "--no-password", f"--file={into}", *_dbname(database))


def check(path: Path, log: logging.Logger) -> None:
    """Raise BackupFailed unless pg_restore can list the archive and read it to its end."""
    _run(None, log, "pg_restore", "--list", f"--file={os.devnull}", str(path))
    # The list stands at the front of the file, so a truncated archive still has a good one.
    _run(None, log, "pg_restore", f"--file={os.devnull}", str(path))


def create(server: Database, name: str, log: logging.Logger) -> None:
    """Make an empty database on the server of another one."""
    _run(server, log, "createdb", "--no-password", "--template=template0", name)


def restore(into: Database, path: Path, log: logging.Logger) -> None:
    """Fill an empty database from an archive, owned by whoever connects; the first error ends it."""
    options = ("--no-password", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={into.name}")
    _run(into, log, "pg_restore", *options, str(path))


def drop(server: Database, name: str, log: logging.Logger) -> None:
    """Remove a database, if it is there."""
    _run(server, log, "dropdb", "--no-password", "--if-exists", name)


def count_rows(database: Database, log: logging.Logger) -> dict[str, int]:
    """The rows of every table, all as of one moment."""
    with tempfile.TemporaryDirectory(prefix="backbeat-") as folder:
        out = Path(folder, "counts")
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password", "--set=ON_ERROR_STOP=1")
        _run(database, log, "psql", *options, f"--output={out}", *_dbname(database), stdin=_COUNT)
        return dict(json.loads(line) for line in out.read_text().splitlines() if line)


def _dbname(database: Database) -> list[str]:
    # A service file's dbname would win over PGDATABASE.
    return [f"--dbname={database.env['PGDATABASE']}"] if {"PGSERVICE", "PGDATABASE"} <= database.env.keys() else []


def _run(database: Database | None, log: logging.Logger, program: str, *options: str, stdin: str | None = None) -> Ended:
    found = shutil.which(program)
    if found is None:
        cure = "Install PostgreSQL's client programs, of the server's version or newer (Debian, Ubuntu: postgresql-client)."
        raise ClientMissing(f"{program} is not on this worker's PATH. {cure}")
    env = {**os.environ, "PGAPPNAME": "backbeat", **(database.env if database else {})}
    ended = execute(Command([found, *options], env=env, stdin=stdin), log)
    if ended.exit_code:
        raise BackupFailed(f"{program} ended with exit code {ended.exit_code}: {ended.tail or 'without a word'}")
    return ended
