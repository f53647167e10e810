"""The times of a DAG run's nodes come by one query, attempts and all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext

from backbeat.admin.dag_times import bars_of
from backbeat.admin.models import Attempt, Run
from backbeat.core.gantt import Split, split

T0 = datetime(2026, 11, 23, 2, tzinfo=UTC)
BEGUN = int(T0.timestamp() * 1000)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def test_waiting_queued_running_and_retry_come_by_one_query(each_database: str) -> None:
    for name in ("twice", "once"):
        run = Run.objects.create(
            run_id=f"g:1/{name}", job="a", state="succeeded", dag_run="g:1", node=name, attempts=2 if name == "twice" else 1,
            queued_at=at(1), started_at=at(2), finished_at=at(10),
        )  # fmt: skip
        Attempt.objects.create(run=run, number=1, state="failed", started_at=at(2), finished_at=at(4 if name == "twice" else 10))
        if name == "twice":
            Attempt.objects.create(run=run, number=2, state="succeeded", started_at=at(7), finished_at=at(10))
    Run.objects.create(run_id="g:2/other", job="a", state="succeeded", dag_run="g:2", node="other", queued_at=at(1))

    with CaptureQueriesContext(
        connection,
    ) as queries:
        bars = {bar.node: bar for bar in bars_of("g:1")}

    assert len(queries) == 1
    assert bars.keys() == {"twice", "once"}
    assert split(bars["twice"], BEGUN, BEGUN) == Split(waiting=1000, queued=1000, running=5000, retry=3000)
    assert split(bars["once"], BEGUN, BEGUN) == Split(waiting=1000, queued=1000, running=8000, retry=0)
