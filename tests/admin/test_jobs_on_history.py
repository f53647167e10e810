"""The deployment's jobs that read history and keep it small, on both databases."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.apps import apps

from backbeat.admin.models import Attempt, Omission, Run
from jobs import history, maintenance
from jobs._history_report import html, plot, summary_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "history.md"
NOW = datetime.now(UTC)


def made(
    name: str, *, job: str = "a", state: str = "succeeded", days: float = 1.0, waited: float = 1, worked: float | None = 2
) -> Run:
    queued = NOW - timedelta(days=days)
    started = None if worked is None else queued + timedelta(seconds=waited)
    finished = queued if started is None else started + timedelta(seconds=worked or 0)
    run = Run.objects.create(run_id=name, job=job, state=state, queued_at=queued, started_at=started, finished_at=finished)
    Attempt.objects.create(run=run, number=1, state=state)
    return run


def test_every_column_that_the_page_promises_is_there() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)

    assert len(rows) > 20
    for table, column in rows:
        names = {field.name for field in apps.get_model("backbeat", table)._meta.get_fields()}
        assert column in names, f"docs/reference/history.md promises {table}.{column}: keep it, or say so in the changelog"


def test_the_example_of_the_page_runs(each_database: str) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"__name__": "page_on_history"}
    exec(compile(code, "page", "exec", dont_inherit=True), names)
    made("r1", state="failed", days=0)

    assert names["failed_today"]("a") == 1  # type: ignore[operator] # it is the page's job


def test_percentiles_are_values_that_were_measured(each_database: str) -> None:
    for number in range(1, 101):
        made(f"r{number}", waited=number / 10, worked=number)
    made("never", state="upstream_failed", worked=None)
    made("long ago", days=30)

    measured = history.measure("a", 7)

    assert (measured["runs"], measured["failed"]) == (101, 1)
    assert measured["worked"] == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert measured["waited"] == {"p50": 5, "p95": 9.5, "p99": 9.9, "max": 10}
    assert measured["longest"] == {"run": "r100", "seconds": 100}
    assert history.measure("unknown", 7)["worked"] is None


def test_failures_are_counted_by_kind_with_the_newest_of_each(each_database: str) -> None:
    for number, (job, state) in enumerate([("a", "failed"), ("a", "failed"), ("b", "timed_out"), ("c", "upstream_failed")]):
        made(f"r{number}", job=job, state=state, days=1 + number)
    Run.objects.filter(run_id="r0").update(error_type="ValueError", error_message="newest")
    Run.objects.filter(run_id="r1").update(error_type="ValueError", error_message="older")

    assert [(row["job"], row["count"], row["run"], row["message"]) for row in history.failures(7)] == [
        ("a", 2, "r0", "newest"),
        ("b", 1, "r2", ""),
    ]
    assert history.busiest(7) == ["a", "b", "c"]
    assert history.busiest(7, most=1) == ["a"]
    with pytest.raises(history.BadPeriod, match="expected a number above 0"):
        history.failures(0)


def test_hours_add_up_to_all_runs(each_database: str) -> None:
    for number in range(30):
        made(f"r{number}", days=number / 10, state="failed" if number % 3 == 0 else "succeeded")

    hours = history.by_hour(7)

    assert sum(row["good"] for row in hours) == 20
    assert sum(row["bad"] for row in hours) == 10
    assert [row["hour"] for row in hours] == sorted(row["hour"] for row in hours)


def test_the_report_of_nothing_and_of_evil_names_is_well_formed() -> None:
    evil = '"><script>&'
    times = {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}
    row = {"job": evil, "runs": 1, "failed": 1, "waited": None, "worked": times, "longest": None}
    failed = [{"job": evil, "state": "failed", "error": evil, "count": 1, "run": evil, "message": evil}]

    for jobs, wrong in (([], []), ([row], failed)):
        summary = summary_of(jobs, wrong, []) | {"days": 7, "written": "now"}
        page = html(jobs, wrong, summary, plot(jobs, []))
        assert evil not in page


def test_rows_go_when_their_state_was_kept_long_enough_and_in_bounded_steps(each_database: str) -> None:
    for number in range(5):
        made(f"good{number}", days=100)
    made("bad", state="failed", days=100)
    made("worse", state="failed", days=400)
    Run.objects.create(run_id="open", job="a", state="running", queued_at=NOW - timedelta(days=999))
    Omission.objects.create(job="a", reason="paused", first=NOW - timedelta(days=200), last=NOW - timedelta(days=10))

    first = maintenance.remove_old("Run", 90, 365, batch=2, most=3)
    rest = maintenance.remove_old("Run", 90, 365, batch=2)

    assert first == {"table": "Run", "removed": 3, "more": True}
    assert rest == {"table": "Run", "removed": 3, "more": False}
    assert set(Run.objects.values_list("run_id", flat=True)) == {"bad", "open"}
    assert set(Attempt.objects.values_list("run_id", flat=True)) == {"bad"}
    assert maintenance.remove_old("Omission", 90, 365)["removed"] == 0, "it goes on until ten days ago"


def test_a_policy_that_removes_what_is_fresh_is_refused(each_database: str) -> None:
    for good, bad in ((6.9, 365.0), (90.0, 30.0), (float("nan"), 365.0)):
        with pytest.raises(maintenance.BadPolicy, match="expected 7 <= keep_good_days <= keep_bad_days"):
            maintenance.remove_old("Run", good, bad)


def test_space_is_given_back_and_sizes_are_told(each_database: str) -> None:
    Run.objects.bulk_create(
        Run(run_id=f"r{number}", job="a", state="succeeded", queued_at=NOW, reason="x" * 2_000) for number in range(2_000)
    )
    Run.objects.all().delete()
    before = maintenance.sizes()

    did = maintenance.tidy()["did"]

    after = maintenance.sizes()
    if each_database == "sqlite":
        assert did == ["VACUUM", "ANALYZE"]
        assert after["bytes"] < before["bytes"] / 2
    else:
        assert any(statement.startswith('VACUUM (ANALYZE) "backbeat_run') for statement in did)
        assert after["bytes"] <= before["bytes"]
    assert {row["table"] for row in after["tables"]} > {"backbeat_job", "backbeat_dagrun"}
