"""`backbeat.testing` runs a job as a worker would, without a server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from celery import shared_task

from backbeat import adopt, current_run, job
from backbeat.errors import BadArguments, BadSchedule
from backbeat.runtime import registry
from backbeat.testing import run_inline, run_of

NOMINAL = datetime(2026, 11, 23, 3, tzinfo=timezone(timedelta(hours=1)))


@job("testing.report")
def report(day: date, rows: int = 2) -> dict[str, Any]:
    run = current_run()
    run.log.info("reporting %s", day)
    for row in range(rows):
        run.heartbeat()
        run.progress((row + 1) / rows, f"row {row + 1}")
    return {"id": run.id, "nominal": run.nominal, "attempt": run.attempt, "day": type(day).__name__}


def test_a_job_runs_here_and_tells_what_it_did():
    done = run_inline(report, date(2026, 11, 23), nominal=NOMINAL, attempt=2, rows=2)

    assert done.result == {
        "id": "testing.report@2026-11-23T02:00:00Z",
        "nominal": datetime(2026, 11, 23, 2, tzinfo=UTC),
        "attempt": 2,
        "day": "date",
    }
    assert done.progress == [(0.5, "row 1"), (1.0, "row 2")]
    assert done.heartbeats == 2
    assert "INFO reporting 2026-11-23" in done.log
    assert done.run.args == ["2026-11-23"], "arguments travelled as JSON"


def test_arguments_that_a_queue_would_refuse_are_refused():
    with pytest.raises(BadArguments, match="day: missing"):
        run_inline(report)


def test_without_a_nominal_time_it_is_a_submitted_run():
    done = run_inline(report, "2026-11-23")

    assert done.result["nominal"] is None
    assert done.result["id"].startswith("inline:")


def test_a_nominal_time_without_a_zone_is_refused():
    with pytest.raises(BadSchedule, match="expected a date with a time zone"), run_of("job", nominal=datetime(2026, 1, 1)):  # noqa: DTZ001
        pass


def test_code_that_is_no_job_can_be_made_part_of_a_run():
    with run_of("reports.daily", nominal=NOMINAL) as seen:
        current_run().log.warning("half")

    assert seen.run.id == "reports.daily@2026-11-23T02:00:00Z"
    assert "WARNING half" in seen.log
    assert current_run() is not seen.run


def test_an_adopted_task_gets_what_celery_would_give_it():
    @shared_task(name="testing.legacy")
    def legacy(moment: datetime) -> str:
        return type(moment).__name__

    try:
        assert run_inline(adopt(legacy), NOMINAL).result == "datetime"
    finally:
        registry.jobs.pop("testing.legacy")
