"""History takes events twice, late and in the wrong order, and ends with the same rows."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbeat.admin.history import TABLES, DatabaseHistory
from backbeat.admin.models import Attempt, DagRun, Omission, Run
from backbeat.core.state import RunState
from backbeat.runtime.ports import Event

T0 = 1_790_000_000_000
RUN = "reports.daily@2026-09-21T14:13:20Z"
COMMON = {
    "job": "reports.daily",
    "task": "reports.daily",
    "schedule": "reports.daily",
    "nominal": T0,
    "effective": T0 + 500,
    "queue": "reports.p5",
    "pool": "reports",
    "priority": 5,
    "args": [1, "two"],
    "kwargs": {"day": "today"},
    "queued_at": T0 + 600,
}


def event(kind: str, at: int, run_id: str = RUN, **data: Any) -> Event:
    return Event(id=f"3/{T0 + at}-0", kind=kind, run_id=run_id, at=T0 + at, data={**COMMON, **data})


def started(at: int, attempt: int = 1, **data: Any) -> Event:
    return event("started", at, attempt=attempt, worker="w1", started_at=T0 + at, **data)


def finished(at: int, state: str = "succeeded", attempt: int = 1, **data: Any) -> Event:
    return event("finished", at, **{"state": state, "attempt": attempt, "worker": "w1", "finished_at": T0 + at, **data})


STORY = [
    started(1000, 1),
    event("retrying", 2000, attempt=1, error={"type": "IOError", "message": "no disk", "traceback": "Traceback …"}),
    started(3000, 2),
    event("lost", 9000, attempt=2, reason="worker w1 is gone"),
    event("queued", 9500, attempt=2),
    started(10_000, 3),
    finished(12_000, "succeeded", 3, result='{"rows": 42}', log="counting\n"),
]


def rows() -> list[list[dict[str, Any]]]:
    return [list(model.objects.order_by(*keys).values()) for model, keys in ((Run, ["pk"]), (Attempt, ["run_id", "number"]))]


def without_ids(found: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    return [[{key: value for key, value in row.items() if key != "id"} for row in table] for table in found]


def test_a_run_with_two_retries_is_told_in_one_row_and_three_attempts(each_database: str) -> None:
    DatabaseHistory().record(STORY)

    run = Run.objects.get()
    assert (run.run_id, run.state, run.attempts, run.result) == (RUN, "succeeded", 3, '{"rows": 42}')
    assert (run.args, run.kwargs, run.schedule, run.priority) == ([1, "two"], {"day": "today"}, "reports.daily", 5)
    assert (run.error_type, run.reason) == ("", "")
    assert run.started_at.timestamp() * 1000 == T0 + 1000
    assert run.finished_at.timestamp() * 1000 == T0 + 12_000
    assert list(run.tries.values_list("number", "state", "error_type", "log")) == [
        (1, "failed", "IOError", ""),
        (2, "lost", "", ""),
        (3, "succeeded", "", "counting\n"),
    ]


def test_an_attempt_that_its_worker_gave_back_was_cancelled_and_the_run_goes_on(each_database: str) -> None:
    error = {"type": "Shutdown", "message": "the worker shuts down"}
    DatabaseHistory().record([started(1000, 1), event("released", 2000, attempt=1, error=error)])
    assert Run.objects.get().state == "queued"

    DatabaseHistory().record([started(3000, 2), finished(4000, "succeeded", 2)])

    run = Run.objects.get()
    assert (run.state, run.error_message) == ("succeeded", "")
    assert list(run.tries.values_list("number", "state", "error_message")) == [
        (1, "cancelled", "the worker shuts down"),
        (2, "succeeded", ""),
    ]


def test_one_event_a_batch_gives_the_same_rows_as_one_batch(each_database: str) -> None:
    DatabaseHistory().record(STORY)
    at_once = without_ids(rows())
    Run.objects.all().delete()

    for one in STORY:
        DatabaseHistory().record([one])

    assert without_ids(rows()) == at_once


@pytest.mark.parametrize("seed", range(12))
def test_shuffled_and_repeated_events_give_the_same_rows(each_database: str, seed: int) -> None:
    DatabaseHistory().record(STORY)
    expected = without_ids(rows())
    Run.objects.all().delete()
    chance = random.Random(seed)
    events = [*STORY, *chance.sample(STORY, 4)]
    chance.shuffle(events)

    while events:
        size = chance.randint(1, 4)
        DatabaseHistory().record(events[:size])
        events = events[size:]

    assert without_ids(rows()) == expected


@pytest.mark.parametrize("final", ["succeeded", "cancelled", "expired"])
def test_a_finished_run_never_goes_back(each_database: str, final: str) -> None:
    DatabaseHistory().record([started(1000), finished(2000, final)])

    DatabaseHistory().record([started(1000), event("queued", 500), event("lost", 3000, attempt=1), started(4000, 1)])

    assert Run.objects.get().state == final
    assert Attempt.objects.get().state == final


def test_a_failed_run_is_left_only_by_a_later_event(each_database: str) -> None:
    DatabaseHistory().record([started(1000), finished(2000, "failed", error={"type": "ValueError", "message": "bad"})])

    DatabaseHistory().record([started(1000)])
    assert Run.objects.get().state == "failed"

    DatabaseHistory().record([event("retrying", 60_000, attempt=1, reason="asked for by ann"), started(61_000, 2)])
    assert (Run.objects.get().state, Run.objects.get().error_type) == ("running", "")


def test_events_of_one_millisecond_are_put_in_order_by_attempt_and_kind(each_database: str) -> None:
    failed = finished(2000, "failed", 1, error={"type": "E", "message": ""})
    DatabaseHistory().record([failed])
    DatabaseHistory().record([started(2000, 1)])
    assert Run.objects.get().state == "failed"

    DatabaseHistory().record([started(2000, 2)])
    DatabaseHistory().record([event("retrying", 2000, attempt=1)])
    assert (Run.objects.get().state, Run.objects.get().attempts) == ("running", 2)


def test_what_only_the_first_event_knew_is_kept(each_database: str) -> None:
    DatabaseHistory().record([started(1000)])

    DatabaseHistory().record([Event("3/1-0", "lost", RUN, T0 + 5000, {"attempt": 1})])

    run = Run.objects.get()
    assert (run.state, run.worker, run.args, run.queue) == ("lost", "w1", [1, "two"], "reports.p5")


def test_two_runs_can_not_claim_one_occurrence(each_database: str) -> None:
    by_hand = "reports.daily:backfill-7"

    DatabaseHistory().record([finished(2000), event("finished", 3000, run_id=by_hand, state="failed", attempt=1)])

    assert dict(Run.objects.values_list("run_id", "schedule")) == {RUN: "reports.daily", by_hand: ""}
    assert Run.objects.get(run_id=by_hand).nominal == Run.objects.get(run_id=RUN).nominal


def test_omissions_are_counted_once_and_grow_with_their_range(each_database: str) -> None:
    def omitted(to: int, count: int) -> Event:
        data = {"job": "j", "schedule": "j#eu", "reason": "paused", "from": T0, "to": T0 + to, "count": count, "actor": "ann"}
        return Event(f"1/{count}-0", "omitted", "", T0 + to, data)

    DatabaseHistory().record([omitted(60_000, 2), omitted(120_000, 3)])
    DatabaseHistory().record([omitted(60_000, 2)])

    found = Omission.objects.get()
    assert (found.job, found.schedule, found.reason, found.count, found.actor) == ("j", "j#eu", "paused", 3, "ann")
    assert (found.last - found.first).total_seconds() == 120


def test_a_dag_run_is_told_in_one_row(each_database: str) -> None:
    graph = {"nodes": [{"id": "a"}, {"id": "b"}], "edges": [["a", "b"]]}
    began = Event("1/1-0", "dag_started", "audit@2026-09-21T14:13:20Z", T0, {"dag": "audit", "version": "v1", "graph": graph})
    ended = Event("1/2-0", "dag_finished", began.run_id, T0 + 9, {"state": "succeeded", "summary": {"green": 2}})

    DatabaseHistory().record([ended])
    DatabaseHistory().record([began, ended])

    found = DagRun.objects.get()
    assert (found.dag, found.state, found.version, found.graph, found.summary) == (
        "audit",
        "succeeded",
        "v1",
        graph,
        {"green": 2},
    )
    assert (found.finished_at - found.started_at).total_seconds() == 0.009


STRANGE = [
    finished(1, run_id="x:nul", result="a\0b", error={"type": "E\0", "message": "\ud800 lone", "traceback": "t\0"}),
    finished(2, run_id="x:nan", args=[float("nan"), float("inf"), 10**400], kwargs={"\0": "\ud800"}),
    finished(3, run_id="x:long", error={"type": "E" * 5000, "message": "m" * 10**6}, worker="w" * 5000, log="l" * 3 * 10**6),
    finished(4, run_id="x:numbers", attempt=10**12, priority=-4, nominal="soon", queued_at=10**30),
    finished(5, run_id="x:texts", args="not json", kwargs='{"a": 1}', error="just text"),
    finished(6, run_id="x:deep", args=[[[[[[[[[[[[]]]]]]]]]]]]),
]
UNREADABLE = [
    finished(1, "no such state", run_id="y:1"),
    event("finished", 1, run_id=""),
    event("finished", 1, run_id="y" * 5000, state="failed"),
    event("exploded", 1, run_id="y:2"),
    Event("1/1-0", "omitted", "", T0, {"job": "j", "reason": "because", "from": T0}),
    Event("1/1-0", "omitted", "", T0, {"job": "j", "reason": "paused"}),
]


def test_strange_values_are_stored_in_a_form_that_the_database_takes(each_database: str) -> None:
    DatabaseHistory().record(STRANGE)

    found = Run.objects.in_bulk()
    assert set(found) == {one.run_id for one in STRANGE}
    assert found["x:nul"].result == "a�b"
    assert found["x:nan"].args[:2] == ["nan", "inf"]
    assert found["x:texts"].args == "not json"
    assert found["x:texts"].error_message == "just text"
    assert found["x:long"].error_message.endswith("…")


def test_an_unreadable_event_does_not_stop_the_others(each_database: str, caplog: pytest.LogCaptureFixture) -> None:
    DatabaseHistory().record([*UNREADABLE, finished(2000)])

    assert list(Run.objects.values_list("run_id", flat=True)) == [RUN]
    assert not Omission.objects.exists()
    assert len([one for one in caplog.records if one.name == "backbeat.admin.history"]) == len(UNREADABLE)


def test_a_batch_is_stored_whole_or_not_at_all(each_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from backbeat.admin import history

    broken = history.Merge(Attempt, {**history.ATTEMPTS.rules, "no_such_column": "fill"})
    monkeypatch.setattr(history, "TABLES", (history.RUNS, broken))

    with pytest.raises((KeyError, StopIteration)):
        DatabaseHistory().record([finished(2000)])

    assert not Run.objects.exists()


def test_two_thousand_runs_in_one_batch(each_database: str) -> None:
    events = [finished(n, run_id=f"load:{n}") for n in range(2000)]

    DatabaseHistory().record(events)
    DatabaseHistory().record(events)

    assert (Run.objects.count(), Attempt.objects.count()) == (2000, 2000)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.model.__name__)
def test_every_column_has_a_merge_rule(table: Any) -> None:
    columns = {field.column for field in table.model._meta.concrete_fields if not isinstance(field, models.AutoField)}

    assert set(table.rules) == columns, f"Give each column of {table.model.__name__} a rule in admin/history.py"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.permutations(range(len(STORY))))
def test_folding_in_python_does_not_depend_on_the_order(order: list[int]) -> None:
    from backbeat.admin.history import ATTEMPTS, RUNS, rows_of

    told = [row for one in STORY for row in rows_of(one)]
    mixed = [row for index in order for row in rows_of(STORY[index])]

    for table in (RUNS, ATTEMPTS):
        assert table.fold(row for of, row in mixed if of is table) == table.fold(row for of, row in told if of is table)


def test_every_state_is_either_final_or_can_be_left() -> None:
    from backbeat.admin.history import FINAL_RUNS

    assert {RunState.SUCCEEDED, RunState.CANCELLED} <= FINAL_RUNS
    assert not FINAL_RUNS & {RunState.FAILED, RunState.TIMED_OUT, RunState.QUEUED, RunState.RUNNING}


def test_recorders_that_write_at_once_neither_fail_nor_disagree(each_database: str, request: pytest.FixtureRequest) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    from tests.admin.conftest import default_database

    url = request.getfixturevalue("migrated_postgresql") if each_database == "postgresql" else None
    stories = [[one._replace(run_id=f"{RUN}/{n}", data={**one.data, "schedule": ""}) for one in STORY] for n in range(30)]

    def work(seed: int) -> None:
        events = [one for story in stories for one in story]
        random.Random(seed).shuffle(events)
        with default_database(url) if url else nullcontext():
            for at in range(0, len(events), 35):
                DatabaseHistory().record(events[at : at + 35])
        connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    assert set(Run.objects.values_list("state", "attempts", "result")) == {("succeeded", 3, '{"rows": 42}')}
    assert Run.objects.count() == 30
    assert Attempt.objects.count() == 90
