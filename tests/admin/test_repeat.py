"""Running a run again and releasing one from quarantine: once, however often it is asked, and only where the state allows."""

from __future__ import annotations

import json

import pytest

from backbeat.admin import definitions
from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import Run
from backbeat.admin.records import DatabaseRecords
from backbeat.core.job import JobSpec, Overlap
from backbeat.core.keys import retried_id
from backbeat.core.state import ASKS, LOSSES_BEFORE_QUARANTINE, TERMINAL, Ask, RunState
from backbeat.errors import IllegalTransition, NotAllowed, UnknownRun
from backbeat.runtime.duties import policies
from backbeat.runtime.recorder import Recorder
from backbeat.runtime.repeat import again, release, retry
from backbeat.runtime.submit import prepare
from backbeat.store.events import EventStreams
from backbeat.store.store import Store, open_store
from tests.support.servers import RedisServer

RECORDS = DatabaseRecords()
JOB = "reports.daily"


@pytest.fixture
def store(redis: RedisServer, transactional_db: None) -> Store:
    definitions.save(JobSpec(JOB, "task", overlap=Overlap.QUEUE))
    return open_store()


def record(store: Store) -> None:
    recorder = Recorder(
        EventStreams(store.slots, "recorder"), DatabaseHistory(), lambda run_id, tid: policies(store, run_id, tid)
    )
    recorder.start()
    while recorder.step(block_ms=1):
        pass


def submitted(store: Store, key: str = "a") -> str:
    run_id = f"{JOB}:{key}"
    prepare(store, JOB, run_id, '[[1],\t{"day":"x"}]', keyed=True, send=True)
    return run_id


def ended(store: Store, run_id: str, state: RunState = RunState.FAILED) -> str:
    claim = store.ledger.claim(run_id, "holder", 30.0, "w1@here")
    store.ledger.finish(run_id, "holder", claim.attempt, state, {})
    record(store)
    return run_id


def quarantined(store: Store, key: str = "poison") -> str:
    run_id = submitted(store, key)
    for _ in range(LOSSES_BEFORE_QUARANTINE):
        assert store.ledger.claim(run_id, "holder", 30.0, "w1@here").won
        store.slots.client.zadd(store.slots.of(run_id).timers, {run_id: 1})
        for waiting in store.ledger.reap(10, 0.0):
            store.ledger.queue(waiting, "again")
    assert store.ledger.get(run_id)["s"] == "quarantined"
    return run_id


def test_a_failed_run_is_run_again_with_its_arguments(store: Store) -> None:
    run_id = ended(store, submitted(store))

    made = retry(store, RECORDS, run_id, "the disk is empty again")

    assert (made.run_id, made.created) == (f"{JOB}:a~1", True)
    fields = store.ledger.get(made.run_id)
    assert json.loads(fields["x"]) == [[1], {"day": "x"}]
    assert fields["why"] == f"retry of {run_id}: the disk is empty again"


def test_asked_twice_it_is_one_run_before_and_after_that_one_is_over(store: Store) -> None:
    run_id = ended(store, submitted(store))
    first = retry(store, RECORDS, run_id)

    assert retry(store, RECORDS, run_id) == type(first)(first.run_id, created=False)

    ended(store, first.run_id)
    store.slots.client.delete(f"{store.slots.of(run_id).prefix}done:{first.run_id}")
    assert retry(store, RECORDS, run_id).created is False
    assert retry(store, RECORDS, first.run_id).run_id == f"{JOB}:a~2"


@pytest.mark.parametrize(
    ("run_id", "expected"),
    [
        ("a.b:key", "a.b:key~1"),
        ("a.b:key~9", "a.b:key~10"),
        ("a.b@2026-11-23T02:00:00Z", "a.b:@2026-11-23T02:00:00Z~1"),
        ("a.b#hourly@2026-11-23T02:00:00Z", "a.b:#hourly@2026-11-23T02:00:00Z~1"),
        ("a.b:@2026-11-23T02:00:00Z~1", "a.b:@2026-11-23T02:00:00Z~2"),
    ],
)
def test_the_id_of_a_retry_follows_from_what_it_repeats(run_id: str, expected: str) -> None:
    assert retried_id(run_id, "a.b") == expected


@pytest.mark.parametrize("state", sorted(RunState))
def test_the_table_of_states_decides_what_may_be_retried(store: Store, state: RunState) -> None:
    run_id = ended(store, submitted(store))
    Run.objects.filter(run_id=run_id).update(state=state.value)

    if state in ASKS[Ask.RETRY]:
        assert retry(store, RECORDS, run_id).created
    else:
        with pytest.raises(IllegalTransition, match=rf"is {state.value}, so `retry` does nothing for it"):
            retry(store, RECORDS, run_id)


def test_what_ended_well_or_not_at_all_is_not_retried() -> None:
    assert ASKS[Ask.RETRY] == TERMINAL - {RunState.SUCCEEDED}
    assert ASKS[Ask.RELEASE] == {RunState.QUARANTINED}


def test_an_unfinished_run_is_judged_by_the_ledger(store: Store) -> None:
    with pytest.raises(IllegalTransition, match="is queued"):
        retry(store, RECORDS, submitted(store))


def test_a_run_that_nobody_knows_is_refused(store: Store) -> None:
    for ask in (retry, again, release):
        with pytest.raises(UnknownRun):
            ask(store, RECORDS, f"{JOB}:none")


def test_a_node_of_a_dag_run_is_left_to_the_dag(store: Store) -> None:
    run_id = ended(store, submitted(store))
    Run.objects.filter(run_id=run_id).update(dag_run="etl:1")

    for ask in (retry, again):
        with pytest.raises(NotAllowed, match="backbeat dag rerun etl:1"):
            ask(store, RECORDS, run_id)


def test_again_makes_a_new_run_each_time_and_takes_other_arguments(store: Store) -> None:
    run_id = ended(store, submitted(store), RunState.SUCCEEDED)

    first, second = again(store, RECORDS, run_id), again(store, RECORDS, run_id)
    other = again(store, RECORDS, run_id, kwargs={"day": "y"}, key="other")

    assert len({run_id, first, second, other}) == 4
    assert json.loads(store.ledger.get(first)["x"]) == [[1], {"day": "x"}]
    assert json.loads(store.ledger.get(other)["x"]) == [[], {"day": "y"}]
    assert other == f"{JOB}:other"


def test_a_released_run_is_queued_with_its_losses_forgiven_and_can_be_lost_three_times_more(store: Store) -> None:
    run_id = quarantined(store)
    store.slots.client.delete("default.p5")

    assert release(store, RECORDS, run_id) == "queued"

    fields = store.ledger.get(run_id)
    assert (fields["s"], fields["a"], "l" in fields) == ("queued", "3", False)
    assert store.slots.client.llen("default.p5") == 1
    claim = store.ledger.claim(run_id, "holder", 30.0, "w1@here")
    assert (claim.won, claim.attempt) == (True, 4)
    record(store)
    assert Run.objects.get(run_id=run_id).state == "running"


def test_released_twice_it_is_queued_once(store: Store) -> None:
    run_id = quarantined(store)
    store.slots.client.delete("default.p5")

    release(store, RECORDS, run_id)

    assert release(store, RECORDS, run_id) == "queued"
    assert store.slots.client.llen("default.p5") == 1


def test_a_released_run_waits_for_the_run_that_has_its_jobs_slot(store: Store) -> None:
    run_id, other = quarantined(store), submitted(store, "other")
    keys = store.slots.of(JOB)
    store.slots.client.hset(keys.busy, JOB, other)

    assert release(store, RECORDS, run_id) == "pending"

    ended(store, other)
    assert store.ledger.get(run_id)["s"] == "queued"
    assert store.slots.client.hget(keys.busy, JOB) == run_id


def test_a_run_that_is_over_can_not_be_released(store: Store) -> None:
    run_id = ended(store, submitted(store))

    with pytest.raises(IllegalTransition, match=r"is failed, so `release` does nothing for it. It allows: retry, again"):
        release(store, RECORDS, run_id)
