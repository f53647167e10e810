"""`backbeat import django-celery-beat --dry-run`: what it makes of a real database of django-celery-beat 2.9.0."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from backbeat.cli import main

RECORDED = Path(__file__).parents[1] / "support/django_celery_beat"


def dry_run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["import", "django-celery-beat", "--dry-run", *arguments])


def entries(*arguments: str) -> dict[str, dict[str, Any]]:
    answer = dry_run(*arguments, "-o", "json")
    assert answer.stdout, answer.output
    return {entry["entry"]: entry for entry in json.loads(answer.stdout)["entries"]}


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    path = tmp_path / "old project.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript((RECORDED / "sqlite.sql").read_text())
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def postgresql(postgresql_url: str) -> str:
    with psycopg.connect(postgresql_url, autocommit=True) as session:
        session.execute("CREATE DATABASE old_beat")
    url = postgresql_url.rpartition("/")[0] + "/old_beat"
    with psycopg.connect(url, autocommit=True) as session:
        session.execute((RECORDED / "postgresql.sql").read_text())
    return url


def change(url: str, sql: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(sql)


def test_every_kind_of_task_becomes_a_job(sqlite: str) -> None:
    found = entries("--database", sqlite)

    assert {name: entry["outcome"] for name, entry in found.items()} == dict.fromkeys(found, "taken")
    assert found["nightly-report"]["job"] == "nightly-report"
    assert found["nightly-report"]["means"] == "At 02:30 every day, Europe/Berlin time."
    assert (found["nightly-report"]["pool"], found["nightly-report"]["args"]) == ("reports", ["eu"])
    assert found["nightly-report"]["since"] == "2026-11-20T01:30:00.250Z"
    assert found["nightly-report"]["labels"] == {"imported": "django-celery-beat", "runs_before": "412"}
    assert found["launch"]["next"] == ["2031-01-02T03:04:05Z"]
    assert "sunset" in found["dusk"]["means"].lower()


@pytest.mark.postgresql
def test_postgresql_says_the_same_as_sqlite(sqlite: str, postgresql: str) -> None:
    one, other = entries("--database", sqlite), entries("--database", postgresql)

    for found in (one, other):
        for entry in found.values():
            for moves in ("file", "next", "there"):
                entry.pop(moves)
    assert one == other


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("update django_celery_beat_periodictask set args = '{deep}'", "can't be read (RecursionError"),
        ("update django_celery_beat_periodictask set total_run_count = 'many'", "can't be read (ValueError"),
        ("update django_celery_beat_intervalschedule set every = 2147483647, period = 'days'", "can't be read (OverflowError"),
    ],
)
def test_an_odd_entry_is_refused_with_its_reason_and_the_others_are_read(sqlite: str, sql: str, says: str) -> None:
    before = entries("--database", sqlite)
    change(sqlite, sql.format(deep="[" * 100_000))

    found = entries("--database", sqlite)

    assert found.keys() == before.keys()
    assert any(says in (entry.get("reason") or "") for entry in found.values())


def test_an_odd_entry_does_not_keep_the_others_from_being_watched(sqlite: str) -> None:
    change(sqlite, "update django_celery_beat_periodictask set last_run_at = 'yesterday' where name = 'nightly-report'")
    command = ["import", "django-celery-beat", "--database", sqlite, "--shadow", "1s", "-o", "json"]

    answer = CliRunner().invoke(main, command)

    watched = {entry["name"] for entry in json.loads(answer.stdout)["entries"]}
    assert watched
    assert "nightly-report" not in watched


def test_a_list_of_every_minute_is_written_as_a_range(sqlite: str) -> None:
    minutes = ", ".join(map(str, range(60)))
    change(sqlite, f"update django_celery_beat_crontabschedule set minute = '{minutes}', hour = '*'")

    assert "every minute" in entries("--database", sqlite)["nightly-report"]["means"].lower()


def test_a_file_that_is_no_database_is_an_absent_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database" * 100)

    answer = dry_run("--database", f"sqlite:///{tmp_path}/notes.txt")

    assert answer.exit_code == 5
    assert "file is not a database" in answer.output


def test_days_of_month_and_week_must_both_match_as_in_celery(sqlite: str) -> None:
    change(sqlite, "update django_celery_beat_periodictask set enabled = 1")

    friday = entries("--database", sqlite)["Friday the 13th"]

    assert all(moment[8:10] == "13" for moment in friday["next"])


def test_what_will_be_different_is_said(sqlite: str) -> None:
    output = dry_run("--database", sqlite).output

    assert "'Friday-the-13th'" in output
    assert "Headers are not kept (tenant)" in output
    assert "The queue 'Foo.Bar' can't be a pool's name" in output
    assert "Exchange 'logs' and routing_key 'log.x' are not kept" in output
    assert "backbeat worker --pool reports" in output
    assert "It was to run once and has run, so it is disabled." in output
    assert "Until the old beat is stopped, it fires these as well." in output
    assert "10 entries, 2 disabled: all can be taken. Dry run: nothing was imported." in output


def test_queues_and_priorities_are_mapped_as_told(sqlite: str) -> None:
    found = entries(
        "--database", sqlite, "--queue", "Foo.Bar=foo", "--queue", "reports=night", "--zero-first", "--prefix", "old."
    )

    assert (found["odd queue"]["pool"], found["nightly-report"]["pool"]) == ("foo", "night")
    assert found["nightly-report"]["job"] == "old.nightly-report"
    assert found["nightly-report"]["priority"] == 2


def test_a_missed_moment_runs_late_and_a_done_one_never_again(sqlite: str) -> None:
    found = entries("--database", sqlite)

    assert found["missed launch"]["since"] == "2026-01-02T03:04:04.999Z"
    assert found["launched"]["next"] == []


@pytest.mark.parametrize(
    ("sql", "name", "reason"),
    [
        ("update django_celery_beat_periodictask set interval_id = null where name = 'poll'", "poll", "got none"),
        ("update django_celery_beat_periodictask set crontab_id = 1 where name = 'poll'", "poll", "crontab and interval"),
        ("delete from django_celery_beat_intervalschedule where id = 1", "poll", "its row is gone"),
        ("update django_celery_beat_intervalschedule set period = 'moons' where id = 1", "poll", "'moons'"),
        ("update django_celery_beat_crontabschedule set minute = '61' where id = 1", "nightly-report", "0-59"),
        ("update django_celery_beat_crontabschedule set timezone = 'Europe/Berln'", "nightly-report", "Europe/Berlin"),
        ("update django_celery_beat_solarschedule set event = 'sunsett'", "dusk", "sunset"),
        ("update django_celery_beat_periodictask set args = '{' where name = 'poll'", "poll", "JSON"),
        ("update django_celery_beat_periodictask set kwargs = '[1]' where name = 'poll'", "poll", "JSON object"),
        ("update django_celery_beat_periodictask set last_run_at = 'soon' where name = 'poll'", "poll", "a time"),
    ],
)
def test_what_cannot_be_taken_is_named_with_its_reason(sqlite: str, sql: str, name: str, reason: str) -> None:
    change(sqlite, sql)

    answer = dry_run("--database", sqlite)

    assert answer.exit_code == 2
    (line,) = [line for line in answer.output.splitlines() if f":{name}: " in line and "expected" in line]
    assert reason in line
    assert "1 entry can't be taken" in answer.output or "entries can't be taken" in answer.output


def test_a_column_that_an_older_version_lacks_is_taken_for_empty(sqlite: str) -> None:
    change(sqlite, "alter table django_celery_beat_periodictask drop column expire_seconds")

    assert dry_run("--database", sqlite).exit_code == 0


def test_the_old_database_is_only_read(sqlite: str) -> None:
    path = Path(sqlite.removeprefix("sqlite:///"))
    before = path.read_bytes()

    dry_run("--database", sqlite)

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("database", "code", "said"),
    [
        ("mysql://host/db", 2, "sqlite"),
        ("sqlite:////absent/db.sqlite3", 5, "can't be opened"),
        ("postgresql://postgres@127.0.0.1:1/x", 5, "does not answer"),
    ],
)
def test_a_database_that_cannot_be_read_is_told(database: str, code: int, said: str) -> None:
    answer = dry_run("--database", database)

    assert answer.exit_code == code, answer.output
    assert said in answer.output


def test_a_database_of_something_else_is_exit_code_3(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.sqlite3").close()

    answer = dry_run("--database", f"sqlite:///{tmp_path}/other.sqlite3")

    assert answer.exit_code == 3
    assert "--database" in answer.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--queue", "x"), "OLD=POOL"),
        (("--queue", "x=Big Pool"), "lower-case"),
        (("--tz", "Europe/Berln"), "Europe/Berlin"),
        (("--prefix", "no/slash"), "--prefix"),
    ],
)
def test_an_option_that_is_wrong_for_every_entry_is_refused_at_once(sqlite: str, options: tuple[str, ...], said: str) -> None:
    answer = dry_run("--database", sqlite, *options)

    assert answer.exit_code == 2
    assert said in answer.output


def test_control_characters_in_names_do_not_reach_the_terminal(sqlite: str) -> None:
    change(sqlite, "update django_celery_beat_periodictask set name = char(27) || '[2J', task = char(7) where name = 'poll'")

    assert "\x1b" not in dry_run("--database", sqlite).output
