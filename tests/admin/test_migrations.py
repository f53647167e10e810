"""A database that is full of history comes through the migrations whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection
from django.db.migrations.executor import MigrationExecutor

from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import Attempt, Omission, Run
from backbeat.core.when import to_ms
from backbeat.runtime.ports import Event
from tests.admin.conftest import default_database

BEFORE = ("backbeat", "0004_backfills")
THEN, NOW = datetime(2026, 8, 31, 23, 59, tzinfo=UTC), datetime.now(UTC)
ENDED, OLD = "j@2026-08-31T23:59:00Z", "j@1999-01-31T00:00:00Z"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def old_database(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[Any]:
    """The models of a database that has the tables from before the change."""
    url = f"sqlite:///{tmp_path / 'old.sqlite3'}"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_server").url
        with psycopg.connect(server, autocommit=True) as session:
            session.execute("CREATE DATABASE migrating")
        url = server.rpartition("/")[0] + "/migrating"
    with django_db_blocker.unblock(), default_database(url):
        yield MigrationExecutor(connection).migrate([BEFORE]).apps
    if request.param == "postgresql":
        with psycopg.connect(server, autocommit=True) as session:
            session.execute("DROP DATABASE migrating WITH (FORCE)")


def fill(old: Any) -> None:
    run, attempt, omission = (old.get_model("backbeat", name) for name in ("Run", "Attempt", "Omission"))
    same = {"job": "j", "task": "j", "state": "running", "args": [1, "zwei"], "kwargs": {"a": None}}
    run.objects.create(run_id=ENDED, schedule="j", nominal=THEN, queued_at=THEN, **same)
    run.objects.create(run_id=OLD, schedule="j", nominal=datetime(1999, 1, 31, tzinfo=UTC), queued_at=NOW, **same)
    run.objects.create(run_id="j:by-hand", queued_at=NOW, **same)
    attempt.objects.create(run_id=ENDED, number=1, state="lost", log="x", seen=5)
    attempt.objects.create(run_id=ENDED, number=2, state="running", seen=7)
    attempt.objects.create(run_id="j:by-hand", number=1, state="running", seen=7)
    omission.objects.create(job="j", schedule="j", reason="paused", first=THEN, last=NOW, count=7)


def migrate() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes("backbeat"))


def test_rows_keep_their_values_and_are_filed_by_month(old_database: Any) -> None:
    fill(old_database)
    tables = {model: old_database.get_model("backbeat", model.__name__) for model in (Run, Attempt, Omission)}
    before = {model: list(old.objects.order_by("pk").values()) for model, old in tables.items()}

    migrate()

    for model, rows in before.items():
        assert list(model.objects.order_by("pk").values(*rows[0])) == rows
    this = NOW.date().replace(day=1)
    assert dict(Run.objects.values_list("run_id", "month")) == {
        ENDED: date(2026, 8, 1),
        OLD: date(1999, 1, 1),
        "j:by-hand": this,
    }
    assert set(Attempt.objects.values_list("run_id", "month")) == {(ENDED, date(2026, 8, 1)), ("j:by-hand", this)}


def test_the_way_back_leads_to_the_tables_and_rows_from_before(old_database: Any) -> None:
    fill(old_database)
    tables = {model: old_database.get_model("backbeat", model.__name__) for model in (Run, Attempt, Omission)}
    before = {old: list(old.objects.order_by("pk").values()) for old in tables.values()}
    migrate()
    again = Run(run_id="j:by-hand", job="j", state="running", queued_at=NOW, month=date(1999, 1, 1))
    if connection.vendor == "postgresql":
        again.save(force_insert=True)

    MigrationExecutor(connection).migrate([BEFORE])

    for old, rows in before.items():
        assert list(old.objects.order_by("pk").values()) == rows
    added = tables[Attempt].objects.create(run_id=ENDED, number=3, state="running")
    assert added.pk > max(row["id"] for row in before[tables[Attempt]])
    with pytest.raises(IntegrityError):
        tables[Run].objects.create(run_id=ENDED, job="j", state="running", queued_at=NOW)
    migrate()
    assert Run.objects.count() == 3


def test_runs_that_were_under_way_end_in_the_rows_that_they_had(old_database: Any) -> None:
    fill(old_database)
    migrate()

    ended = {"job": "j", "attempt": 2, "state": "succeeded", "queued_at": to_ms(THEN), "finished_at": to_ms(NOW)}
    by_hand = {**ended, "attempt": 1, "queued_at": to_ms(NOW)}
    left_out = {"job": "j", "schedule": "j", "reason": "paused", "from": to_ms(THEN), "to": to_ms(NOW), "count": 9}
    DatabaseHistory().record(
        [
            Event("1/1-0", "finished", ENDED, to_ms(NOW), ended),
            Event("1/1-1", "finished", "j:by-hand", to_ms(NOW), by_hand),
            Event("1/1-2", "omitted", "", to_ms(NOW), left_out),
        ]
    )
    Omission.objects.create(job="j", reason="paused", first=NOW, last=NOW)

    runs, attempts = Run.objects.exclude(pk=OLD), Attempt.objects.all()
    assert dict(runs.values_list("pk", "state")) == {ENDED: "succeeded", "j:by-hand": "succeeded"}
    found = set(attempts.values_list("run_id", "number", "state"))
    assert found == {(ENDED, 1, "lost"), (ENDED, 2, "succeeded"), ("j:by-hand", 1, "succeeded")}
    assert sorted(Omission.objects.values_list("count", flat=True)) == [1, 9]
