"""Backups: copy a database, prove that the copy is good, and keep the newest ones. See `docs/howto/back-up-a-database.md`."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backbeat import current_run, job
from jobs import _postgresql, _sqlite
from jobs._backups import SUFFIXES, Backup, BackupFailed, listed, published, rotated, sha256, stamp
from jobs._databases import SQLITE, BadDatabase, Database, find

SCRATCH = re.compile(r"^backbeat_scratch_\d{8}t\d{9}z_[0-9a-f]{8}$")


class CountsDiffer(BackupFailed):
    """A restored backup does not hold the rows that its source held."""


@job
def database(
    source: str = "default", folder: str | None = None, *, keep: int | None = 7, name: str | None = None, count_rows: bool = False
) -> dict[str, Any]:
    """Copy a database into a folder, verify the copy, then remove all but the `keep` newest of its name (None removes none).

    `source` is a Django alias, an SQLite file, a sqlite:// or postgresql:// URL, or env:NAME for a URL in the worker's
    environment (arguments are kept in the history, so that is the place for a password). `folder` is `backups` in the
    deployment's state folder (BACKBEAT_HOME, or .backbeat) unless another is given. SQLite is copied by VACUUM INTO
    and checked by integrity_check; PostgreSQL by pg_dump, custom format, and read to its end by pg_restore. The file
    appears under its name only when it is whole and checked, and only its owner may read it. The newest good backup is
    never removed.

    Returns `{"path", "bytes", "sha256", "removed"}`, and with `count_rows` also "rows": each table's rows before and after
    the copy was made. Raises BackupFailed (a missing pg_dump included) and BadDatabase.
    """
    if keep is not None and keep < 1:
        raise BackupFailed(f"keep: expected 1 or more, or nothing to remove none; got {keep!r}.")
    found = find(source)
    stem = found.label if name is None else _plain(name)
    try:
        return _backed_up(found, _folder(folder), stem, keep, count_rows=count_rows)
    except OSError as error:
        raise BackupFailed(f"{error.filename or _folder(folder)}: {error.strerror or error}. Nothing was removed.") from error


@job
def rotate(folder: str | None = None, *, keep: int = 7, name: str | None = None) -> dict[str, Any]:
    """Remove all but the `keep` newest backups of each name (or of one name) in a folder, and never the newest good one.

    `folder` is as for `backups.database`. Returns `{"kept", "removed"}`, a count and paths. Raises BackupFailed.
    """
    if keep < 1:
        raise BackupFailed(f"keep: expected 1 or more; got {keep!r}.")
    if not _folder(folder).is_dir():
        raise BackupFailed(f"folder: expected a folder of backups on this worker; got {str(_folder(folder))!r}.")
    everything = listed(_folder(folder), name)
    removed: list[Path] = []
    for each in sorted({backup.name for backup in everything}):
        removed += rotated([backup for backup in everything if backup.name == each], keep, _is_good)
    return {"kept": len(everything) - len(removed), "removed": [str(path) for path in removed]}


@job
def restore_scratch(backup: dict[str, Any] | str, source: str = "default") -> dict[str, str]:
    """Restore a backup (its path, or the result of `backups.database`) into a new database that nobody else uses.

    For PostgreSQL it is made on the server of `source`, whose user needs the right to create databases; for SQLite it is
    a file beside the backup. Returns `{"engine", "source", "database"}` for `verify_counts` and `drop_scratch`.
    """
    path = Path(backup if isinstance(backup, str) else backup["path"])
    if not path.is_file():
        raise BackupFailed(f"backup: there is no file {str(path)!r} on this worker.")
    name = f"backbeat_scratch_{stamp(datetime.now(UTC)).replace('.', '').lower()}_{secrets.token_hex(4)}"
    if path.suffix == f".{SUFFIXES[SQLITE]}":
        return _restored_file(path, path.parent / name)
    _refuse_url(source)
    server = find(source)
    if server.engine == SQLITE:
        raise BadDatabase(f"expected the PostgreSQL server on which to restore {path.name}; got the SQLite database {source!r}.")
    return _restored_dump(path, server, source, name)


@job
def verify_counts(scratch: dict[str, str], backup: dict[str, Any], *, tolerance: float = 0.0) -> dict[str, int]:
    """Compare a restored backup's row counts with those that `backups.database(..., count_rows=True)` took of its source.

    A table passes when its count lies between the two taken before and after the copy, give or take `tolerance` (0.01 is
    one percent), which a table that grows and shrinks needs. Returns `{"tables", "rows"}`. Raises CountsDiffer with every
    table that differs.
    """
    if "rows" not in backup:
        raise BackupFailed("backup: expected the result of backups.database(..., count_rows=True); this one has no 'rows'.")
    restored = _count(_scratch(scratch))
    differences = _differences(restored, backup["rows"], tolerance)
    if differences:
        raise CountsDiffer(f"{len(differences)} of {len(backup['rows'])} tables differ: {'; '.join(differences[:20])}.")
    current_run().log.info("%d tables and %d rows are as they were", len(restored), sum(restored.values()))
    return {"tables": len(restored), "rows": sum(restored.values())}


@job
def drop_scratch(scratch: dict[str, str] | None) -> str:
    """Remove a database that `restore_scratch` made; nothing that is not named so is ever removed. Returns its name.

    None, when nothing was restored, removes nothing and gives "".
    """
    if scratch is None:
        return ""
    found = _scratch(scratch)
    if found.engine == SQLITE:
        Path(found.name).unlink(missing_ok=True)
    else:
        _postgresql.drop(find(scratch["source"]), found.name, current_run().log)
    return found.name


def _backed_up(found: Database, folder: Path, name: str, keep: int | None, *, count_rows: bool) -> dict[str, Any]:
    log = current_run().log
    before = _count(found) if count_rows else {}
    with published(folder, name, SUFFIXES[found.engine], datetime.now(UTC)) as (unfinished, final):
        if found.engine == SQLITE:
            _sqlite.dump(Path(found.name), unfinished)
        else:
            _postgresql.dump(found, unfinished, log)
        _check(found.engine, unfinished)
        result: dict[str, Any] = {"path": str(final), "bytes": unfinished.stat().st_size, "sha256": sha256(unfinished)}
    log.info("%s: %d bytes, verified", final, result["bytes"])
    if count_rows:
        after = _count(found)
        result["rows"] = {table: sorted((before.get(table, 0), after.get(table, 0))) for table in before | after}
    # The one just made leads, whatever the clock says, so that it is known to be good and stays.
    backups = sorted(listed(folder, name), key=lambda backup: backup.path != final)
    removed = [] if keep is None else rotated(backups, keep, lambda backup: backup.path == final or _is_good(backup))
    return {**result, "removed": [str(path) for path in removed]}


def _folder(given: str | None) -> Path:
    return Path(given or Path(os.environ.get("BACKBEAT_HOME") or ".backbeat", "backups")).absolute()


def _check(engine: str, path: Path) -> None:
    if engine == SQLITE:
        _sqlite.check(path)
    else:
        _postgresql.check(path, current_run().log)


def _is_good(backup: Backup) -> bool:
    engine = next(engine for engine, suffix in SUFFIXES.items() if suffix == backup.suffix)
    try:
        _check(engine, backup.path)
    except BackupFailed as error:
        current_run().log.warning("%s", error)
        return False
    return True


def _count(found: Database) -> dict[str, int]:
    if found.engine == SQLITE:
        return _sqlite.count_rows(Path(found.name))
    return _postgresql.count_rows(found, current_run().log)


def _restored_file(path: Path, scratch: Path) -> dict[str, str]:
    try:
        scratch.touch(mode=0o600, exist_ok=False)
        shutil.copyfile(path, scratch)
        _sqlite.check(scratch)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return {"engine": SQLITE, "source": str(scratch), "database": scratch.name}


def _restored_dump(path: Path, server: Database, source: str, name: str) -> dict[str, str]:
    log = current_run().log
    _postgresql.create(server, name, log)
    try:
        _postgresql.restore(server.named(name), path, log)
    except BaseException:
        _postgresql.drop(server, name, log)
        raise
    return {"engine": server.engine, "source": source, "database": name}


def _scratch(scratch: dict[str, str]) -> Database:
    if not SCRATCH.match(scratch.get("database", "")):
        raise BackupFailed(f"scratch: expected the result of backups.restore_scratch; got {scratch!r}.")
    found = find(scratch["source"])
    if found.engine != SQLITE:
        return found.named(scratch["database"])
    if Path(found.name).name != scratch["database"]:
        raise BackupFailed(f"scratch: {scratch['source']!r} is not the file {scratch['database']!r}.")
    return found


def _differences(restored: dict[str, int], rows: dict[str, list[int]], tolerance: float) -> list[str]:
    found = [f"{table} is missing" for table in sorted(rows.keys() - restored.keys())]
    for table, count in sorted(restored.items()):
        low, high = rows.get(table, (0, 0))
        slack = tolerance * high
        if not low - slack <= count <= high + slack:
            found.append(f"{table} has {count} rows, expected {low if low == high else f'{low} to {high}'}")
    return found


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.]{1,100}", name) or name.startswith("."):
        raise BackupFailed(f"name: expected letters, digits, '_' and '.', at most 100; got {name!r}.")
    return name


def _refuse_url(source: str) -> None:
    if "://" in source:
        raise BadDatabase("source: expected a Django alias or env:NAME: it stands in the result, and a URL may hold a password.")
