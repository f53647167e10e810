"""`backups.database` with a real PostgreSQL server, by URL and by Django alias."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from jobs.backups import BackupFailed, database, drop_scratch, restore_scratch, rotate, verify_counts
from tests.support.fixtures import missing

pytestmark = pytest.mark.postgresql


@pytest.fixture
def shop_url(postgresql_url: str) -> Iterator[str]:
    """A database of three tables, whose name needs quoting."""
    if shutil.which("pg_dump") is None:
        missing("pg_dump", "postgresql-client")
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute('CREATE DATABASE "my shop"')
    url = urlsplit(postgresql_url)._replace(path="/my%20shop").geturl()
    with psycopg.connect(url) as shop:
        shop.execute("CREATE TABLE orders AS SELECT n AS id, repeat('x', 100) AS what FROM generate_series(1, 1000) n")
        shop.execute('CREATE TABLE "odd ""name" (id int)')
        shop.execute("CREATE SCHEMA stock")
        shop.execute("CREATE TABLE stock.items AS SELECT n AS id FROM generate_series(1, 7) n")
    yield url
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute('DROP DATABASE "my shop" WITH (FORCE)')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def named(shop_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same database by the name of a variable, which may stand in results."""
    monkeypatch.setenv("SHOP_URL", shop_url)
    return "env:SHOP_URL"


def databases(url: str) -> set[str]:
    with psycopg.connect(url) as server:
        return {row[0] for row in server.execute("SELECT datname FROM pg_database")}


def test_a_backup_is_a_custom_archive_that_only_its_owner_may_read(shop_url: str, folder: Path) -> None:
    result = database(shop_url, str(folder))

    made = Path(result["path"])
    assert made.name.startswith("my_shop-20")
    assert made.suffix == ".dump"
    assert made.read_bytes()[:5] == b"PGDMP"
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [made.name]
    listing = subprocess.run(["pg_restore", "--list", made], capture_output=True, text=True, check=True).stdout
    assert "TABLE DATA public orders" in listing


def test_the_password_is_on_no_command_line_and_in_no_log(
    shop_url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    seen = tmp_path / "seen"
    for program in ("pg_dump", "pg_restore"):
        spy = tmp_path / "bin" / program
        spy.parent.mkdir(exist_ok=True)
        spy.write_text(
            f'#!/bin/sh\necho "$0 $*" >>{seen}.argv\necho "$PGPASSWORD" >>{seen}.env\nexec {shutil.which(program)} "$@"\n'
        )
        spy.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    result = database(shop_url.replace("postgres@", "postgres:s3%2Fcret@"), str(folder))

    assert Path(f"{seen}.env").read_text().splitlines()[0] == "s3/cret", "libpq got it, decoded"
    argv = Path(f"{seen}.argv").read_text()
    assert "pg_dump --format=custom" in argv
    assert "s3" not in argv + caplog.text + str(result)


def test_a_server_that_is_not_there_makes_no_backup(shop_url: str, folder: Path) -> None:
    gone = urlsplit(shop_url)._replace(netloc="postgres:s3cret@127.0.0.1:1").geturl()

    with pytest.raises(BackupFailed, match=r"pg_dump ended with exit code 1: .*Connection refused") as caught:
        database(gone, str(folder))

    assert "s3cret" not in str(caught.value)
    assert list(folder.iterdir()) == []


def test_a_missing_client_is_named_with_the_cure(shop_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))

    with pytest.raises(BackupFailed, match=r"pg_dump is not on this worker's PATH\. Install PostgreSQL's client programs"):
        database(shop_url, str(folder))


def test_a_truncated_archive_is_not_taken_for_the_newest_good_one(shop_url: str, folder: Path) -> None:
    made = [database(shop_url, str(folder), keep=None)["path"] for _ in range(3)]
    Path(made[2]).write_bytes(Path(made[2]).read_bytes()[:-300])
    listing = subprocess.run(["pg_restore", "--list", made[2]], capture_output=True, check=False)

    assert listing.returncode == 0, "its list of contents is still good"
    assert rotate(str(folder), keep=1) == {"kept": 2, "removed": [made[0]]}


def test_a_backup_is_proven_by_restoring_it_and_counting_rows(
    shop_url: str, named: str, folder: Path, postgresql_url: str
) -> None:
    backup = database(named, str(folder), count_rows=True)
    before = databases(postgresql_url)

    scratch = restore_scratch(backup, named)
    counted = verify_counts(scratch, backup)

    assert backup["rows"] == {'public.odd "name': [0, 0], "public.orders": [1000, 1000], "stock.items": [7, 7]}
    assert counted == {"tables": 3, "rows": 1007}
    assert databases(postgresql_url) - before == {scratch["database"]}
    assert drop_scratch(scratch) == scratch["database"]
    assert databases(postgresql_url) == before
    assert drop_scratch(scratch) == scratch["database"], "a second time does no harm"


def test_a_restore_that_fails_leaves_no_database(shop_url: str, named: str, folder: Path, postgresql_url: str) -> None:
    path = Path(database(named, str(folder))["path"])
    path.write_bytes(path.read_bytes()[:-300])
    before = databases(postgresql_url)

    with pytest.raises(BackupFailed, match="pg_restore ended with exit code 1"):
        restore_scratch(str(path), named)

    assert databases(postgresql_url) == before


def test_a_url_is_refused_where_it_would_stand_in_the_result(shop_url: str, folder: Path) -> None:
    backup = database(shop_url, str(folder))

    with pytest.raises(Exception, match="expected a Django alias or env:NAME"):
        restore_scratch(backup, shop_url)


def test_only_a_scratch_database_is_ever_dropped(shop_url: str, named: str, postgresql_url: str) -> None:
    with pytest.raises(BackupFailed, match=r"expected the result of backups\.restore_scratch"):
        drop_scratch({"engine": "postgresql", "source": named, "database": "my shop"})

    assert "my shop" in databases(postgresql_url)


def test_a_django_alias_names_its_database_and_options(shop_url: str, folder: Path, tmp_path: Path) -> None:
    parts = urlsplit(shop_url)
    settings = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "my shop",
        "USER": parts.username,
        "HOST": parts.hostname,
        "PORT": parts.port,
        "OPTIONS": {"sslmode": "prefer", "pool": False},
    }
    (tmp_path / "shopsettings.py").write_text(f"DATABASES = {{'default': {settings!r}}}\n")
    script = f"from jobs.backups import database; print(database('default', {str(folder)!r})['path'])"
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "shopsettings",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
    }

    ended = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True, timeout=60)

    assert Path(ended.stdout.strip()).read_bytes()[:5] == b"PGDMP"
