"""Why something does not run, asked of a real Redis and a real database, from not due to done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backbeat.admin import definitions
from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import Omission, Run
from backbeat.admin.why import why, why_job
from backbeat.core.entry import offset
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.message import dumps
from backbeat.core.state import RunState
from backbeat.core.when import Cron, Every, from_ms, iso
from backbeat.errors import UnknownJob, UnknownRun
from backbeat.runtime.duties import policies
from backbeat.runtime.firing import Firer
from backbeat.runtime.leading import Leader
from backbeat.runtime.recorder import Recorder
from backbeat.runtime.submit import prepare
from backbeat.store.events import EventStreams
from backbeat.store.leases import Leases
from backbeat.store.scripts import run_many
from backbeat.store.store import Store, open_store
from backbeat.store.vitals import Vitals
from tests.admin.conftest import default_database
from tests.core.graphs import of
from tests.store.graph_runs import RUN, start, take, work
from tests.support.servers import RedisServer

DAY_MS = 86_400_000


@pytest.fixture
def store(redis: RedisServer, transactional_db: None) -> Store:
    return open_store()


@pytest.fixture
def leader(store: Store) -> Leader:
    made = Leader(Leases(store.slots, "beat:1", 30), 30)
    made.step()
    return made


def defined(name: str = "reports.daily", every: str = "300d", **options: Any) -> str:
    options.setdefault("schedules", (Schedule(Every(every)),))
    definitions.save(JobSpec(name, "task." + name, **options))
    return name


def made_due(store: Store, name: str, ago_ms: int = 5_000) -> str:
    """An occurrence of the schedule that is due since `ago_ms`: its schedule is moved there."""
    nominal = store.slots.now_ms() - ago_ms
    definitions.save(JobSpec(name, "task." + name, schedules=(Schedule(Every("300d", anchor=from_ms(nominal))),)))
    store.slots.client.zadd(store.slots.of(name).due, {name: nominal + offset(name, 0)})
    return occurrence_id(name, nominal)


def sign(store: Store, kind: str, name: str, every: float = 60.0, **figures: Any) -> None:
    about = {"kind": kind, "name": name, "host": "here", "pid": 1}
    run_many(store.slots.client, [Vitals(store.slots, name, about, every).call(1.0, 0.0, figures)])


def worker(store: Store, *queues: str, held: tuple[str, ...] = (), active: int = 0) -> None:
    sign(store, "worker", "w1@here", queues=list(queues), held=list(held), active=active, slots=2, pool="prefork", taken=0)


def record(store: Store) -> None:
    """Let history catch up."""
    streams = EventStreams(store.slots, "recorder")
    recorder = Recorder(streams, DatabaseHistory(), lambda run_id, tid: policies(store, run_id, tid))
    recorder.start()
    while recorder.step(block_ms=1):
        pass


def submitted(store: Store, job: str, key: str = "a", **options: Any) -> str:
    run_id = f"{job}:{key}"
    prepare(store, job, run_id, "[[],\t{}]", keyed=True, send=True, **options)
    return run_id


def test_nobody_knows_it(store: Store) -> None:
    defined()

    with pytest.raises(UnknownRun, match=r"no run or occurrence 'reports.daily:x' is known"):
        why("reports.daily:x")
    with pytest.raises(UnknownJob, match=r"Did you mean 'reports.daily'\?"):
        why_job("reports.daly")


def test_an_occurrence_of_a_job_that_is_not_defined(store: Store) -> None:
    defined()

    assert why("reports.daly@2026-01-01T00:00:00Z").code == "no-such-job"


def test_an_occurrence_to_come_is_not_due(store: Store, leader: Leader) -> None:
    defined(schedules=(Schedule(Cron("0 4 * * *", tz="Europe/Berlin")),))
    (moment,) = open_store().index.next_times(["reports.daily"]).values()
    assert moment is not None

    assert why(f"reports.daily@{iso(moment)}").code == "not-due"
    beside = why(f"reports.daily@{iso(moment + 60_000)}")
    assert beside.code == "not-an-occurrence"
    assert iso(moment) in beside.sentence


def test_a_due_occurrence_without_schedulers_and_with_one_that_does_not_fire(store: Store) -> None:
    occurrence = made_due(store, defined())

    assert why(occurrence).code == "no-scheduler"

    Leader(Leases(store.slots, "beat:1", 30), 30).step()
    sign(store, "scheduler", "beat:1")
    answer = why(occurrence)
    assert answer.code == "overdue"
    assert "beat:1" in answer.sentence


def test_a_parked_entry_says_why(store: Store, leader: Leader) -> None:
    occurrence = made_due(store, defined())
    store.index.park(store.slots.of("reports.daily").slot, "reports.daily", "its policies are missing.")

    answer = why(occurrence)

    assert answer.code == "parked"
    assert "its policies are missing" in answer.sentence


def test_a_paused_job_says_who_and_until_when(store: Store, leader: Leader) -> None:
    job = definitions.job_named(defined())
    until = datetime.now(UTC) + timedelta(hours=2)
    definitions.pause(job, reason="month end", actor="ada", until=until)

    answer = why_job("reports.daily")

    assert answer.code == "paused"
    assert "by ada" in answer.sentence
    assert "month end" in answer.sentence
    assert answer.remedy == "Resume it: `backbeat job resume reports.daily`."


def test_a_disabled_job_and_one_without_schedule(store: Store, leader: Leader) -> None:
    definitions.set_enabled(definitions.job_named(defined()), enabled=False)
    defined("by.hand", schedules=())

    assert why_job("reports.daily").code == "disabled"
    assert why_job("by.hand").code == "no-schedule"


def test_a_job_whose_hour_has_not_come(store: Store, leader: Leader) -> None:
    defined()
    sign(store, "scheduler", "beat:1")
    worker(store, "default.p5")

    answer = why_job("reports.daily")

    assert answer.code == "not-due"
    assert [gate.name for gate in answer.gates if not gate.passed] == ["due"]


@pytest.mark.parametrize("reason", ["misfire", "blackout", "expired", "quota", "overlap", "paused"])
def test_a_recorded_omission_is_the_answer(store: Store, leader: Leader, reason: str) -> None:
    occurrence = made_due(store, defined())
    moment = datetime.fromisoformat(occurrence.partition("@")[2])
    Omission.objects.create(job="reports.daily", schedule="reports.daily", reason=reason, first=moment, last=moment, note="note")

    answer = why(occurrence)

    assert (answer.state, answer.code) == ("omitted", reason)


def test_an_omission_of_another_moment_is_not(store: Store, leader: Leader) -> None:
    occurrence = made_due(store, defined())
    moment = datetime.fromisoformat(occurrence.partition("@")[2]) - timedelta(days=1)
    Omission.objects.create(job="reports.daily", schedule="reports.daily", reason="misfire", first=moment, last=moment)

    assert why(occurrence).code == "overdue"


def test_a_queued_run_waits_for_a_worker_then_in_line_then_behind_others(store: Store, leader: Leader) -> None:
    run_id = submitted(store, defined(pool="reports"))

    nobody = why(run_id)
    assert (nobody.state, nobody.code) == ("queued", "no-consumer")
    assert nobody.remedy == "Start one: `backbeat worker --pool reports`."

    worker(store, "reports.p5")
    assert why(run_id).code == "in-line"

    store.slots.client.delete("reports.p5")
    assert why(run_id).code == "in-transit"

    worker(store, "reports.p5", held=(run_id,), active=2)
    busy = why(run_id)
    assert busy.code == "worker-busy"
    assert "w1@here holds its message" in busy.sentence


def test_a_run_without_room_is_told_who_is_in_its_way(store: Store, leader: Leader) -> None:
    defined("mail", max_concurrency=1, concurrency_key="{tenant}", rate="1/h", rate_burst=2)
    keys = dumps({"ck": "acme", "m": "a message"})
    first, second, third = (submitted(store, "mail", key) for key in ("a", "b", "c"))
    for run_id in (first, second):
        store.ledger.claim(run_id, "w", 30, "w1@here", gate=keys)
    store.ledger.claim(third, "w", 30, "w1@here", gate=dumps({"ck": "other", "m": "a message"}))
    fourth = submitted(store, "mail", "d")
    store.ledger.claim(fourth, "w", 30, "w1@here", gate=dumps({"ck": "third", "m": "a message"}))

    answer, early = why(second), why(fourth)

    assert (answer.state, answer.code) == ("pending", "concurrency")
    assert "job mail may do 1 runs with key 'acme' at once; it waits for a place of mail:a (running)" in answer.sentence
    assert (early.state, early.code) == ("pending", "rate")
    assert "job mail may start 1/h" in early.sentence
    assert [gate.passed for gate in why(first).gates if gate.name == "concurrency"] == [True]


def test_a_worker_that_fell_silent_does_not_count(store: Store, leader: Leader) -> None:
    run_id = submitted(store, defined())
    sign(store, "worker", "w1@here", every=0.0, queues=["default.p5"], held=[], active=0, slots=2)
    store.slots.client.hset("{bb}:process:w1@here", "seen", store.slots.now_ms() - 5_000)

    assert why(run_id).code == "no-consumer"


def test_a_running_run_and_one_whose_worker_is_gone(store: Store) -> None:
    run_id = submitted(store, defined())
    store.ledger.claim(run_id, "holder", 30.0, "w1@here")

    running = why(run_id)
    assert (running.code, running.blocked_by) == ("running", None)
    assert "attempt 1 on w1@here" in running.sentence

    store.slots.client.zadd(store.slots.of(run_id).timers, {run_id: store.slots.now_ms() - 3_000})
    assert why(run_id).code == "lease-ended"


def test_a_run_behind_another_of_its_job(store: Store, leader: Leader) -> None:
    defined(overlap=Overlap.QUEUE)
    nominal = store.slots.now_ms() - 1_000
    holder = submitted(store, "reports.daily", "other")
    store.slots.client.hset(store.slots.of("reports.daily").busy, "reports.daily", holder)
    store.slots.client.zadd(store.slots.of("reports.daily").due, {"reports.daily": nominal})
    Firer(store).step(leader.leases())

    answer = why(occurrence_id("reports.daily", nominal))

    assert (answer.state, answer.code) == ("pending", "overlap")
    assert holder in answer.sentence
    of_the_job = why_job("reports.daily")
    assert of_the_job.code == "no-consumer"
    assert of_the_job.sentence == f"run {holder}: no live worker consumes queue default.p5."


def test_a_delayed_run_and_one_that_waits_for_its_retry(store: Store) -> None:
    defined()
    delayed = submitted(store, "reports.daily", "later", delay=60.0)
    retrying = submitted(store, "reports.daily", "flaky")
    claim = store.ledger.claim(retrying, "holder", 30.0, "w1@here")
    failure = {"error": {"type": "OSError", "message": "disk full"}}
    store.ledger.finish(retrying, "holder", claim.attempt, RunState.FAILED, failure, retry_in=60.0)
    record(store)

    assert why(delayed).code == "delayed"
    answer = why(retrying)
    assert answer.code == "retry-waits"
    assert "attempt 1 failed (OSError: disk full)" in answer.sentence


def test_a_due_retry_without_a_keeper(store: Store) -> None:
    run_id = submitted(store, defined(), delay=60.0)
    store.slots.client.zadd(store.slots.of(run_id).timers, {run_id: store.slots.now_ms() - 3_000})

    assert why(run_id).code == "no-keeper"

    sign(store, "keeper", "keeper:1", duties={})
    assert why(run_id).code == "keeper-behind"


def test_a_run_that_is_over_is_told_from_history(store: Store) -> None:
    run_id = submitted(store, defined())
    claim = store.ledger.claim(run_id, "holder", 30.0, "w1@here")
    failure = {"error": {"type": "OSError", "message": "disk full"}}
    store.ledger.finish(run_id, "holder", claim.attempt, RunState.FAILED, failure)

    assert why(run_id).sentence == "it is over (failed); history does not have it yet."

    record(store)
    answer = why(run_id)
    assert answer.code == "failed"
    assert "OSError: disk full" in answer.sentence
    assert answer.remedy == f"Run it again: `backbeat run retry {run_id}`."


def test_a_nodes_parents_and_the_failure_of_one(store: Store) -> None:
    start(store, of(a="", b="a"))

    waits = why(f"{RUN}/b")
    assert waits.code == "parents"
    assert "a (queued)" in waits.sentence

    work(store, take(store) or "", RunState.FAILED)
    failed = why(f"{RUN}/b")
    assert failed.code == "upstream_failed"
    assert "a (failed)" in failed.sentence


def test_without_the_database_the_rest_is_still_told(store: Store) -> None:
    run_id = submitted(store, defined())

    with default_database("postgresql://nobody@127.0.0.1:1/none"):
        answer = why(run_id)

    assert answer.code == "no-consumer"
    assert answer.notes
    assert "The database does not answer" in answer.notes[0]


def test_the_questions_read_few_rows(store: Store, leader: Leader, django_assert_max_num_queries: Callable[[int], Any]) -> None:
    run_id = submitted(store, defined())
    Run.objects.create(run_id="x", queued_at=datetime.now(UTC), state="succeeded", job="reports.daily")

    with django_assert_max_num_queries(4):
        why(run_id)
    with django_assert_max_num_queries(6):
        why_job("reports.daily")
