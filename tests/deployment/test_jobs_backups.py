"""`backups.database` with SQLite, and the rotation of backup files."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from jobs._databases import BadDatabase
from jobs.backups import BackupFailed, database, rotate

DAMAGE = b"\xff" * 4096


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A database in WAL mode with a thousand orders."""
    path = tmp_path / "my shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        connection.executemany("INSERT INTO orders (what) VALUES (?)", [("x" * 100,)] * 1000)
        connection.commit()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def orders(path: Path | str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])


def damage(path: str) -> None:
    raw = bytearray(Path(path).read_bytes())
    raw[4096:8192] = DAMAGE
    Path(path).write_bytes(raw)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_is_a_whole_verified_copy_that_only_its_owner_may_read(shop: Path, folder: Path) -> None:
    result = database(str(shop), str(folder))

    made = Path(result["path"])
    assert result == {
        "path": str(made),
        "bytes": made.stat().st_size,
        "sha256": hashlib.sha256(made.read_bytes()).hexdigest(),
        "removed": [],
    }
    assert names(folder) == [made.name]
    assert made.name.startswith("my_shop-20")
    assert made.stat().st_mode & 0o777 == 0o600
    assert orders(made) == 1000


def test_a_url_and_a_variable_name_the_same_file(shop: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "sqlite:///" + str(shop).replace(" ", "%20")
    monkeypatch.setenv("SHOP_URL", url)

    assert orders(database(url, str(folder))["path"]) == 1000
    assert orders(database("env:SHOP_URL", str(folder), name="variable")["path"]) == 1000


def test_writers_go_on_and_the_copy_is_of_one_moment(shop: Path, folder: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("CREATE TABLE invoices (order_id INTEGER)")
        connection.execute("INSERT INTO invoices SELECT id FROM orders")
        connection.commit()
    stop = threading.Event()
    writer = threading.Thread(target=order_and_invoice, args=(shop, stop))
    writer.start()
    try:
        made = [database(str(shop), str(folder), keep=None)["path"] for _ in range(5)]
    finally:
        stop.set()
        writer.join()

    for path in made:
        with closing(sqlite3.connect(path)) as connection:
            ordered = connection.execute("SELECT count(*) FROM orders").fetchone()
            invoiced = connection.execute("SELECT count(*) FROM invoices").fetchone()
        assert ordered == invoiced >= (1000,)


def order_and_invoice(path: Path, stop: threading.Event) -> None:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        while not stop.is_set():
            with connection:
                made = connection.execute("INSERT INTO orders (what) VALUES ('y')")
                connection.execute("INSERT INTO invoices VALUES (?)", [made.lastrowid])


def test_a_transaction_that_is_still_open_is_not_in_the_copy(shop: Path, folder: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("INSERT INTO orders (what) VALUES ('not yet')")

        result = database(str(shop), str(folder))

    assert orders(result["path"]) == 1000


def test_a_damaged_source_makes_no_backup_and_costs_none(shop: Path, folder: Path) -> None:
    good = database(str(shop), str(folder), keep=1)["path"]
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(str(shop))

    with pytest.raises(BackupFailed, match=r"malformed|damaged"):
        database(str(shop), str(folder), keep=1)

    assert names(folder) == [Path(good).name]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)

    with pytest.raises(BackupFailed, match=r"notes\.txt: SQLite says: file is not a database"):
        database(str(tmp_path / "notes.txt"), str(folder))

    assert names(folder) == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere.sqlite3", "expected .*a URL, env:NAME or the path of an SQLite file; got 'nowhere.sqlite3'"),
        ("sqlite:///nowhere.sqlite3", "there is no SQLite file 'nowhere.sqlite3'"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://me:pw@host/shop", r"expected a sqlite:// or postgresql:// URL; got mysql://…@host/shop"),
        ("postgresql://me:pw@host:port/shop", r"got postgresql://…@host:port/shop, whose port or host is not valid"),
        ("postgresql://me:pw@host/", "names its database"),
        ("postgresql://me:p/w?@host/shop", r"got postgresql://…@host/shop, whose .* In a password, / "),
        ("postgresql://me:p%2Fw@host/shop?sslmod=require", "the parameter 'sslmod' is not known here"),
        ("host=db user=me password=pw", "a text that may hold a password"),
        ("env:NOT_SET_HERE", "the environment variable NOT_SET_HERE is not set"),
    ],
)
def test_a_source_that_is_no_database_is_refused_without_telling_its_password(source: str, sentence: str, folder: Path) -> None:
    with pytest.raises(BadDatabase, match=sentence) as caught:
        database(source, str(folder))

    assert "pw" not in str(caught.value)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"keep": 0}, "keep: expected 1 or more"),
        ({"name": "../up"}, "name: expected letters"),
        ({"name": ".hidden"}, "name: expected letters"),
    ],
)
def test_bad_options_are_refused(shop: Path, folder: Path, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(BackupFailed, match=sentence):
        database(str(shop), str(folder), **options)


def test_a_folder_that_cannot_be_made_is_named(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BackupFailed, match=r"file/kept: Not a directory"):
        database(str(shop), str(tmp_path / "file" / "kept"))


def test_the_newest_are_kept_and_nothing_else_is_touched(shop: Path, folder: Path) -> None:
    made = [database(str(shop), str(folder), keep=None)["path"] for _ in range(4)]
    other = database(str(shop), str(folder), keep=None, name="my_shop_2")["path"]
    (folder / "my_shop-notes.txt").touch()
    (folder / "my_shop-20200101T000000.000Z.sqlite3.old").touch()
    (folder / "my_shop-20200101T000000.000Z.sqlite3").mkdir()
    (folder / "my_shop-20200102T000000.000Z.sqlite3").symlink_to(shop)
    before = names(folder)

    result = database(str(shop), str(folder), keep=3)

    assert result["removed"] == [made[1], made[0]]
    kept = {*before, Path(result["path"]).name} - {Path(path).name for path in made[:2]}
    assert set(names(folder)) == kept
    assert Path(other).exists()
    assert orders(shop) == 1000


def test_the_newest_good_backup_survives_any_number_of_bad_ones(shop: Path, folder: Path) -> None:
    made = [database(str(shop), str(folder), keep=None)["path"] for _ in range(5)]
    damage(made[4])
    Path(made[3]).write_bytes(b"")
    Path(made[2]).write_bytes(Path(made[2]).read_bytes()[:5000])

    result = rotate(str(folder), keep=2)

    assert result == {"kept": 3, "removed": [made[2], made[0]]}
    assert orders(made[1]) == 1000


def test_nothing_is_removed_when_no_backup_is_good(shop: Path, folder: Path) -> None:
    made = [database(str(shop), str(folder), keep=None)["path"] for _ in range(3)]
    for path in made:
        damage(path)

    assert rotate(str(folder), keep=1) == {"kept": 3, "removed": []}


def test_a_clock_that_was_ahead_does_not_cost_the_backup_just_made(shop: Path, folder: Path) -> None:
    early = Path(database(str(shop), str(folder))["path"])
    early.rename(folder / "my_shop-29990101T000000.000Z.sqlite3")

    result = database(str(shop), str(folder), keep=1)

    assert names(folder) == [Path(result["path"]).name]


def test_rotation_counts_each_name_for_itself(shop: Path, folder: Path) -> None:
    made = {name: [database(str(shop), str(folder), keep=None, name=name)["path"] for _ in range(2)] for name in ("a", "b")}

    assert rotate(str(folder), keep=1, name="a") == {"kept": 1, "removed": [made["a"][0]]}
    assert rotate(str(folder), keep=1) == {"kept": 2, "removed": [made["b"][0]]}
    with pytest.raises(BackupFailed, match="keep: expected 1 or more"):
        rotate(str(folder), keep=0)
    with pytest.raises(BackupFailed, match="expected a folder of backups"):
        rotate(str(folder / "nowhere"))


def test_a_killed_attempt_leaves_no_backup_and_is_swept_a_day_later(shop: Path, folder: Path) -> None:
    script = f"""
import os, signal
from datetime import UTC, datetime
from pathlib import Path
from jobs._backups import published
with published(Path({str(folder)!r}), "my_shop", "sqlite3", datetime.now(UTC)) as (unfinished, final):
    unfinished.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    (left,) = folder.iterdir()

    database(str(shop), str(folder))
    assert left.exists(), "it may still be written by another worker"
    yesterday = time.time() - 90_000
    os.utime(left, (yesterday, yesterday))
    database(str(shop), str(folder))

    assert not left.exists()


@pytest.fixture
def soft_limit() -> Iterator[None]:
    """SoftTimeLimitExceeded in the main thread after half a second, as Celery's prefork pool raises it."""

    def strike(_signum: int, _frame: FrameType | None) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_soft_time_limit_ends_a_backup_that_waits_for_a_lock(tmp_path: Path, folder: Path, soft_limit: None) -> None:
    with closing(sqlite3.connect(tmp_path / "locked.sqlite3", isolation_level=None)) as writer:
        writer.execute("CREATE TABLE orders (id INTEGER)")
        writer.execute("BEGIN EXCLUSIVE")

        with pytest.raises(SoftTimeLimitExceeded):
            database(str(tmp_path / "locked.sqlite3"), str(folder))

    assert names(folder) == []
