"""Runs that history first hears of at their end take a shorter way into PostgreSQL, which gives the same rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection

from backbeat.admin.history import ATTEMPTS, RUNS, DatabaseHistory
from backbeat.admin.models import Attempt, Run
from backbeat.admin.plain import ATTEMPT_COLUMNS, RUN_COLUMNS, ready
from backbeat.runtime.ports import Ended, Event

T0 = 1_790_000_000_123
OCCURRENCE = "reports.daily@2026-09-21T14:13:20Z"
COMMON = {
    "job": "reports.daily",
    "task": "jobs.daily",
    "pool": "reports",
    "queue": "reports.p5",
    "priority": 5,
    "worker": "w@host",
    "state": "succeeded",
    "arguments": '[[7],\t{"full":true}]',
    "queued_at": str(T0 - 30),
    "started_at": str(T0 - 20),
    "finished_at": str(T0),
    "result": '{"rows": 42}',
}
DUE = {"schedule": "reports.daily", "nominal": "1790000000000", "effective": "1790000000000"}
ODD = ["a\tb", "a\nb\r", "\\N", "back\\slash", "nul\0", "half \ud83d", "é 😀", "x" * 500, "\x1f", "\u2028"]
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "an occurrence": (OCCURRENCE, DUE),
    "a shifted occurrence": (OCCURRENCE, {**DUE, "effective": "1790000007001"}),
    "one of several schedules": ("j#k@2026-09-21T14:13:20Z", {**DUE, "job": "j", "schedule": "j#k"}),
    "a run that repeats an occurrence": ("reports.daily:again", DUE),
    "a time without a schedule": ("reports.daily:late", {"nominal": "1790000000000"}),
    "a caller's key": ("reports.daily:invoice-é", {}),
    "a failure that says nothing": ("reports.daily:f", {"state": "failed", "result": ""}),
    "no times": ("reports.daily:t", {"queued_at": "", "started_at": None}),
    "times of other lengths": ("reports.daily:l", {"queued_at": "7", "started_at": "99999999999999999999"}),
    "times that are none": (OCCURRENCE, {**DUE, "nominal": "then", "effective": "soon", "started_at": "167९000000000"}),
    "no arguments": ("reports.daily:n", {"arguments": None}),
    "long arguments": ("reports.daily:b", {"arguments": json.dumps([["x" * 2000], {}])}),
    "arguments that are none": ("reports.daily:x", {"arguments": "[1"}),
    "a secret": ("reports.daily:s", {"arguments": '[[],\t{"password":"hunter2"}]'}),
    "a log": ("reports.daily:o", {"log": "one\n\ttwo\\\n"}),
    "a result that is no text": ("reports.daily:r", {"result": {"a": [1, float("nan")]}}),
    "next to nothing": ("j:1", {name: None for name in COMMON if name not in ("job", "finished_at", "state")}),
}
_TEXTS = ("job", "worker", "pool", "result", "log")
PLAIN |= {f"odd text {n}": (f"odd:{n}", dict.fromkeys(_TEXTS, text)) for n, text in enumerate(ODD)}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "no job": ("other:4", {"job": ""}),
    "a list for a queue": ("other:6", {"queue": ["a"]}),
    "a key with a line's end": ("other:7\n", {}),
    "a key with a backslash": ("other:\\8", {}),
    "a key that is too long": ("other:" + "9" * 400, {}),
    "no time": ("other:10", {"finished_at": "0"}),
    "a time with odd digits": ("other:11", {"finished_at": "179000000012३"}),
}
pytestmark = pytest.mark.parametrize("each_database", ["postgresql"], indirect=True)


def ended(run_id: str, facts: dict[str, Any]) -> Ended:
    told = dict.fromkeys(Ended._fields) | COMMON | facts
    return Ended(**(told | {"id": "1/1-0", "run_id": run_id}))


def ordinary(one: Ended) -> Event:
    """The same, as something that history may have heard of."""
    return one.event()._replace(first=False)


def recorded(*told: Event | Ended) -> list[list[dict[str, Any]]]:
    """The rows that these give in empty tables."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE backbeat_run, backbeat_attempt")
    DatabaseHistory().record(told)
    return stored()


def stored() -> list[list[dict[str, Any]]]:
    runs, attempts = Run.objects.order_by("run_id"), Attempt.objects.order_by("run_id", "number")
    return [list(runs.values()), [{**row, "id": 0} for row in attempts.values()]]


def test_the_text_has_every_column_of_either_table(each_database: str) -> None:
    assert sorted(RUN_COLUMNS) == sorted(RUNS.rules), "Add the new column to admin/plain.py."
    assert sorted(ATTEMPT_COLUMNS) == sorted(ATTEMPTS.rules), "Add the new column to admin/plain.py."


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_run_has_the_rows_that_the_ordinary_way_gives(each_database: str, name: str) -> None:
    one = ended(*PLAIN[name])
    assert ready([one]).others == []

    assert recorded(one) == recorded(ordinary(one))


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_the_short_way_does_not_fit_goes_the_ordinary_way(each_database: str, name: str) -> None:
    odd, plain = ended(*OTHERS[name]), ended("j:plain", {})
    assert ready([odd]).runs == ""

    assert recorded(odd, plain) == recorded(ordinary(odd), ordinary(plain))


def test_all_kinds_together_give_the_rows_of_each(each_database: str) -> None:
    told = dict((*PLAIN.values(), *OTHERS.values()))
    events = [ended(run_id, facts) for run_id, facts in told.items()]
    started = ended("j:other", {}).event()._replace(kind="started")

    together = recorded(*events, started)

    assert {run_id for run_id, _ in PLAIN.values()} <= {row["run_id"] for row in together[0]}
    assert together == recorded(*map(ordinary, events), started._replace(first=False))


def test_a_plain_run_that_is_told_again_changes_nothing(each_database: str) -> None:
    events = [ended(run_id, facts) for run_id, facts in dict(PLAIN.values()).items()]
    before = recorded(*events)

    DatabaseHistory().record([*events[:3], ended("j:new", {})])

    assert [row for row in stored()[0] if row["run_id"] != "j:new"] == before[0]
    assert [row for row in stored()[1] if row["run_id"] != "j:new"] == before[1]
    assert Run.objects.filter(run_id="j:new", state="succeeded").count() == 1


def test_a_run_that_a_batch_tells_of_twice_is_merged(each_database: str) -> None:
    late = ended("j:1", {"state": "failed", "finished_at": str(T0 - 5)})
    for events in ([ended("j:1", {}), late], [late.event()._replace(kind="started"), ended("j:1", {})]):
        assert ready(events).runs == ""

        runs, attempts = recorded(*events)

        assert [row["state"] for row in (*runs, *attempts)] == ["succeeded", "succeeded"]
