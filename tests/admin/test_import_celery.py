"""Importing from RedBeat and django-celery-beat: what stands in the database, what fires afterwards, and what fires no more."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery.schedules import crontab
from click.testing import CliRunner, Result
from redbeat.schedules import rrule

from backbeat.admin.models import Job
from backbeat.cli import main
from backbeat.core.foreign import foreign_id
from backbeat.core.when import to_ms
from backbeat.runtime.firing import Gate
from backbeat.runtime.redbeat import Mirror
from backbeat.store.leases import Leases
from backbeat.store.store import open_store
from tests.support.in_thread import repeatedly
from tests.support.old_beat import OldBeat, now
from tests.support.servers import RedisServer

RECORDED = Path(__file__).parents[1] / "support/django_celery_beat/sqlite.sql"


def imported(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["import", *arguments])


@pytest.fixture
def old(redis: RedisServer) -> OldBeat:
    return OldBeat(redis.url)


@pytest.fixture
def mirror(old: OldBeat) -> Mirror:
    """What a running scheduler does for RedBeat's entries."""
    store = open_store()
    held = Leases(store.slots, "one", 60.0).take(range(store.slots.count))
    made = Mirror(old.app, store, Gate(), lambda: held[0], lambda: True)
    made.step()
    return made


def next_time(name: str) -> int | None:
    return open_store().index.next_times([name])[name]


def test_entries_become_jobs_that_go_on_where_they_ended(each_database: str, old: OldBeat) -> None:
    old.save(
        "nightly report",
        crontab(minute=30, hour=2),
        args=["eu"],
        kwargs={"limit": 3},
        options={"queue": "reports", "priority": 7},
    )
    old.last_run("nightly report", now() - timedelta(days=2))
    old.save("off", 60, enabled=False)
    old.save("rule", rrule("DAILY", dtstart=datetime(2026, 1, 1, 9, tzinfo=UTC)))

    answer = imported("redbeat")

    assert answer.exit_code == 0, answer.output
    assert "3 entries, 1 disabled: 3 imported, 0 unchanged." in answer.output
    job = Job.objects.get(name="nightly-report")
    (schedule,) = job.schedules.all()
    assert (job.task, job.pool, job.priority, job.overlap, job.source) == ("old.work", "reports", 7, "allow", "import")
    assert (schedule.expr, schedule.dialect, schedule.args, schedule.kwargs) == ("30 2 * * *", "celery", ["eu"], {"limit": 3})
    assert (next_time("nightly-report") or 0) < to_ms(now())
    assert not Job.objects.get(name="off").enabled


def test_an_imported_entry_is_fired_as_a_job_only_and_redbeat_still_shows_it(
    each_database: str, old: OldBeat, mirror: Mirror
) -> None:
    old.save("n", 3600)
    mirror.step()
    fired_before = next_time(foreign_id("n"))

    with repeatedly(mirror.step):
        answer = imported("redbeat")

    assert answer.exit_code == 0, answer.output
    assert fired_before is not None
    assert next_time(foreign_id("n")) is None
    assert next_time("n") == fired_before
    assert old.entry("n").task == "old.work"


def test_without_a_scheduler_entries_are_taken_out_at_once(each_database: str, old: OldBeat, mirror: Mirror) -> None:
    old.save("n", 3600)
    mirror.step()
    open_store().slots.client.delete("{bb}:redbeat")

    imported("redbeat")
    mirror.step()

    assert (next_time(foreign_id("n")), next_time("n") is None) == (None, False)


def test_a_fire_that_was_not_reported_yet_is_not_repeated_by_the_job(
    transactional_db: None, old: OldBeat, mirror: Mirror
) -> None:
    old.save("n", 3600)
    mirror.step()
    store = open_store()
    fired = next_time(foreign_id("n")) or 0
    store.slots.client.zadd(store.slots.of(foreign_id("n")).fired, {foreign_id("n"): fired})
    store.slots.client.delete("{bb}:redbeat")

    imported("redbeat")

    assert next_time("n") == fired + 3_600_000


def test_the_same_import_again_changes_nothing(each_database: str, old: OldBeat) -> None:
    old.save("every", 90)
    old.save("cron", crontab(minute=0))
    imported("redbeat")

    again = imported("redbeat")

    assert again.exit_code == 0, again.output
    assert "0 imported, 2 unchanged." in again.output
    assert set(Job.objects.values_list("version", flat=True)) == {1}


def test_one_entry_that_cannot_be_taken_stops_the_whole_import(each_database: str, old: OldBeat) -> None:
    old.save("fine", 60)
    old.save("linked", 60, options={"link": {"task": "x"}})
    old.client.hset("redbeat:broken", "definition", "{")
    old.client.zadd("redbeat::schedule", {"redbeat:broken": 1})

    stopped, going = imported("redbeat"), imported("redbeat", "--keep-going")

    assert stopped.exit_code == going.exit_code == 2
    assert ":linked: " in stopped.output
    assert ":broken: " in stopped.output
    assert "2 entries can't be taken, so nothing was imported." in stopped.output
    assert list(Job.objects.values_list("name", flat=True)) == ["fine"]
    assert old.client.hget("redbeat:linked", "backbeat") is None


def test_nothing_is_imported_beside_a_redbeat_scheduler_that_runs(transactional_db: None, old: OldBeat) -> None:
    old.save("n", 60)
    old.client.set("redbeat::lock", "somebody", px=60_000)

    refused, looked = imported("redbeat"), imported("redbeat", "--dry-run")

    assert (refused.exit_code, looked.exit_code) == (4, 0)
    assert "Stop it first" in refused.output
    assert not Job.objects.exists()


def test_schedulers_that_do_not_answer_stop_the_import(
    transactional_db: None, old: OldBeat, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.save("n", 3600)
    mirror.step()
    monkeypatch.setattr("backbeat.cli.import_handover.PATIENCE", 0.3)

    answer = imported("redbeat")

    assert answer.exit_code == 1
    assert "did not give these entries up" in answer.output
    assert not Job.objects.exists()


def test_an_entry_of_beat_schedule_is_taken_with_a_word_of_warning(transactional_db: None, redis: RedisServer) -> None:
    old = OldBeat(redis.url)
    old.save("n", 60)
    old.client.sadd("redbeat::statics", "n")

    assert "take it out there too" in imported("redbeat", "--dry-run").output


def test_without_entries_or_redis_the_exit_code_says_so(transactional_db: None, redis: RedisServer, tmp_path: Path) -> None:
    assert imported("redbeat", "--dry-run").exit_code == 3
    assert imported("redbeat", "--dry-run", "--url", f"unix://{tmp_path}/absent.sock").exit_code == 5


def test_a_dry_run_changes_nothing_anywhere(transactional_db: None, old: OldBeat) -> None:
    old.save("n", 60)
    before = {key: old.client.dump(key) for key in old.client.scan_iter("*")}

    answer = imported("redbeat", "--dry-run", "-o", "json")

    assert json.loads(answer.stdout)["entries"][0]["there"]["schedule"]["every"] == 60.0
    assert {key: old.client.dump(key) for key in old.client.scan_iter("*")} == before
    assert not Job.objects.exists()


@pytest.fixture
def django_celery_beat(tmp_path: Path) -> str:
    path = tmp_path / "old.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript(RECORDED.read_text())
    return f"sqlite:///{path}"


def test_periodic_tasks_become_jobs_that_go_on_where_they_ended(
    each_database: str, redis: RedisServer, django_celery_beat: str
) -> None:
    answer = imported("django-celery-beat", "--database", django_celery_beat)

    assert answer.exit_code == 0, answer.output
    assert "10 imported, 0 unchanged." in answer.output
    report = Job.objects.get(name="nightly-report")
    assert (report.pool, report.priority, report.description) == ("reports", 7, "Sent to the board")
    assert report.labels == {"imported": "django-celery-beat", "runs_before": "412"}
    assert (next_time("nightly-report") or 0) == to_ms(datetime(2026, 11, 21, 1, 30, tzinfo=UTC))
    poll = Job.objects.get(name="poll")
    assert (poll.start_deadline, poll.schedules.get().interval) == (8.0, "10s")
    cleanup = Job.objects.get(name="cleanup").schedules.get()
    assert (cleanup.start, cleanup.end) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert next_time("missed-launch") == to_ms(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert [next_time(name) for name in ("launched", "Friday-the-13th")] == [None, None]


def test_the_same_tables_again_change_nothing(each_database: str, redis: RedisServer, django_celery_beat: str) -> None:
    imported("django-celery-beat", "--database", django_celery_beat)

    again = imported("django-celery-beat", "--database", django_celery_beat)

    assert "0 imported, 10 unchanged." in again.output, again.output
