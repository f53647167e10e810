"""Backup files: how they are named, published whole, and rotated without ever losing the newest good one."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SUFFIXES = {"sqlite": "sqlite3", "postgresql": "dump"}
_FILE = re.compile(r"^(?P<name>.+)-(?P<stamp>\d{8}T\d{6}\.\d{3}Z)\.(?P<suffix>sqlite3|dump)$")
_UNFINISHED = ".unfinished"
_ABANDONED_AFTER = 86400.0


class BackupFailed(Exception):
    """A backup could not be made, or is not good; what was there before is untouched."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup file."""

    path: Path
    name: str
    stamp: str
    """When it was begun, in UTC; it sorts as text."""
    suffix: str


def stamp(moment: datetime) -> str:
    """`20261123T020000.000Z`."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"


@contextmanager
def published(folder: Path, name: str, suffix: str, moment: datetime) -> Iterator[tuple[Path, Path]]:
    """(unfinished, final): fill the first, an empty file that only its owner may read. It becomes the second, in one step,
    when the body ends without an error, and is removed when not.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder)
    final = folder / f"{name}-{stamp(moment)}.{suffix}"
    unfinished = folder / f".{final.name}.{secrets.token_hex(4)}{_UNFINISHED}"
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield unfinished, final
        _sync(unfinished)
        unfinished.replace(final)
        _sync(folder)
    finally:
        unfinished.unlink(missing_ok=True)


def listed(folder: Path, name: str | None = None) -> list[Backup]:
    """The backups in a folder, newest first. Only regular files with exactly such a name count; nothing else is ever touched."""
    found = []
    for path in folder.iterdir():
        match = _FILE.match(path.name)
        if match and path.is_file() and not path.is_symlink() and name in (None, match["name"]):
            found.append(Backup(path, match["name"], match["stamp"], match["suffix"]))
    return sorted(found, key=lambda backup: backup.stamp, reverse=True)


def rotated(backups: list[Backup], keep: int, is_good: Callable[[Backup], bool]) -> list[Path]:
    """Remove all but the `keep` newest of one name, and keep the newest good one even when it is older than those.

    A backup is judged only while no good one is found, which ends at the first in the ordinary case. When none is
    good, nothing is removed.
    """
    newest_good = next((backup for backup in backups if is_good(backup)), None)
    if newest_good is None:
        return []
    removed = [backup.path for backup in backups[keep:] if backup is not newest_good]
    for path in removed:
        path.unlink(missing_ok=True)
    return removed


def sha256(path: Path) -> str:
    """The file's hash, read in pieces."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sweep(folder: Path) -> None:
    # A killed attempt leaves its unfinished file; a day later nobody can still be writing it.
    for path in folder.glob(f".*{_UNFINISHED}"):
        if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
