"""A backup of SQLite is restored, counted and cleared away again."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from jobs._databases import BadDatabase
from jobs.backups import BackupFailed, CountsDiffer, database, drop_scratch, restore_scratch, verify_counts


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute('CREATE TABLE "odd ""name" (id INTEGER)')
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        connection.executemany("INSERT INTO orders VALUES (?)", [(number,) for number in range(1000)])
        connection.commit()
    return path


def test_a_backup_is_proven_by_restoring_it_and_counting_rows(shop: Path, tmp_path: Path) -> None:
    backup = database(str(shop), str(tmp_path / "kept"), count_rows=True)

    scratch = restore_scratch(backup)
    counted = verify_counts(scratch, backup)

    assert backup["rows"] == {'odd "name': [0, 0], "orders": [1000, 1000]}
    assert counted == {"tables": 2, "rows": 1000}
    restored = Path(scratch["source"])
    assert restored.stat().st_mode & 0o777 == 0o600
    drop_scratch(scratch)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [Path(backup["path"]).name]


def test_a_row_that_is_missing_in_the_restored_copy_is_found(shop: Path, tmp_path: Path) -> None:
    backup = database(str(shop), str(tmp_path / "kept"), count_rows=True)
    scratch = restore_scratch(backup["path"])
    with closing(sqlite3.connect(scratch["source"])) as connection:
        connection.execute("DELETE FROM orders WHERE id = 7")
        connection.execute('DROP TABLE "odd ""name"')
        connection.commit()

    with pytest.raises(CountsDiffer, match=r"2 of 2 tables differ: odd \"name is missing; orders has 999 rows, expected 1000\."):
        verify_counts(scratch, backup)


def test_rows_that_came_or_went_during_the_copy_are_allowed_for(shop: Path, tmp_path: Path) -> None:
    backup = database(str(shop), str(tmp_path / "kept"), count_rows=True)
    scratch = restore_scratch(backup)

    grown = {**backup, "rows": {**backup["rows"], "orders": [990, 1010]}}
    churned = {**backup, "rows": {**backup["rows"], "orders": [1005, 1005]}}

    assert verify_counts(scratch, grown)["rows"] == 1000
    with pytest.raises(CountsDiffer, match="orders has 1000 rows, expected 1005"):
        verify_counts(scratch, churned)
    assert verify_counts(scratch, churned, tolerance=0.01)["rows"] == 1000


def test_a_backup_without_counts_cannot_be_compared(shop: Path, tmp_path: Path) -> None:
    backup = database(str(shop), str(tmp_path / "kept"))

    with pytest.raises(BackupFailed, match=r"expected the result of backups\.database\(\.\.\., count_rows=True\)"):
        verify_counts(restore_scratch(backup), backup)


def test_a_damaged_backup_leaves_no_scratch_file(shop: Path, tmp_path: Path) -> None:
    path = Path(database(str(shop), str(tmp_path / "kept"))["path"])
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(BackupFailed, match=r"malformed|damaged"):
        restore_scratch(str(path))

    assert list((tmp_path / "kept").iterdir()) == [path]


def test_only_a_scratch_file_is_ever_removed(shop: Path, tmp_path: Path) -> None:
    scratch = restore_scratch(database(str(shop), str(tmp_path / "kept")))

    for wrong in ({"source": str(shop), "database": "shop.sqlite3"}, {**scratch, "source": str(shop)}, {}):
        with pytest.raises(BackupFailed, match="scratch: "):
            drop_scratch(wrong)

    assert shop.exists()


def test_a_backup_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match=r"there is no file '.*gone\.sqlite3' on this worker"):
        restore_scratch(str(tmp_path / "gone.sqlite3"))


def test_an_archive_needs_a_postgresql_server(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "x.dump").touch()

    with pytest.raises(BadDatabase, match=r"expected the PostgreSQL server on which to restore x\.dump; got the SQLite database"):
        restore_scratch(str(tmp_path / "x.dump"), str(shop))


def test_a_django_alias_is_the_default_and_a_wrong_one_is_named_with_the_nearest(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "shopsettings.py").write_text(
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {str(shop)!r}}},\n"
        "             'other': {'ENGINE': 'django.db.backends.mysql', 'NAME': 'x'}}\n"
    )
    script = """
from jobs.backups import database
from jobs._databases import BadDatabase
print(database()["path"])
for wrong in ("defualt", "other"):
    try:
        database(wrong)
    except BadDatabase as error:
        print(error)
"""
    env = {
        **os.environ,
        "BACKBEAT_HOME": str(tmp_path / "state"),
        "DJANGO_SETTINGS_MODULE": "shopsettings",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
    }

    ended = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    path, misspelt, foreign = ended.stdout.splitlines()
    assert Path(path).parent == tmp_path / "state" / "backups"
    assert misspelt.startswith("expected one of Django's databases (default, other), a URL")
    assert misspelt.endswith("Did you mean 'default'?")
    assert foreign.startswith(
        "expected SQLite or PostgreSQL; Django's database 'other' has the engine 'django.db.backends.mysql'"
    )
