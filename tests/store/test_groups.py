"""Runs that share a message: put together when they are fired, claimed and finished together, each by its own rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.message import group_of
from backbeat.core.state import RunState
from backbeat.core.when import Every
from backbeat.runtime.firing import Firer
from backbeat.store.events import EventStreams
from backbeat.store.leases import Leases
from backbeat.store.ledger import Ending
from backbeat.store.store import Store
from tests.support.eventually import eventually

JOB = "lane.tiny"


def fire(store: Store, count: int, batch: int, **options: Any) -> list[dict[str, Any]]:
    """The messages of a job with so many schedules, all due at once, in the order in which they were sent."""
    schedules = tuple(Schedule(Every("1h"), key=f"{number:03}", args=(number,)) for number in range(count))
    spec = JobSpec(JOB, JOB, schedules, batch=batch, **{"overlap": Overlap.ALLOW, **options})
    store.index.put(spec)
    now = store.slots.now_ms() - 1000
    store.slots.client.zadd(store.slots.of(JOB).due, {spec.schedule_id(one): now for one in schedules}, xx=True)
    firer = Firer(store)
    firer.step(Leases(store.slots, "beat", 30).take(range(store.slots.count)))
    assert firer.counts["fired"] == count
    return [json.loads(message) for message in reversed(store.slots.client.lrange("default.p5", 0, -1))]


def events(store: Store) -> list[Mapping[str, str]]:
    streams = EventStreams(store.slots, "test")
    streams.prepare()
    return [one.fields for one in streams.read(1_000, 1)]


def runs_in(message: dict[str, Any]) -> list[str]:
    return group_of(message["headers"]["backbeat"])


def test_due_runs_share_messages_up_to_the_size_of_a_batch(store: Store) -> None:
    messages = fire(store, 7, batch=3, timeout=2.0)

    assert [len(runs_in(one)) for one in messages] == [3, 3, 0]
    assert len({*runs_in(messages[0]), *runs_in(messages[1]), messages[2]["headers"]["id"]}) == 7
    headers = messages[0]["headers"]
    assert headers["task"] == JOB
    assert headers["id"] == headers["root_id"] == messages[0]["properties"]["delivery_tag"] == f"{runs_in(messages[0])[0]}+2"
    assert headers["timelimit"] == [6.0, None], "the pool's limit is that of all of them"


def test_a_job_without_a_batch_gives_each_run_its_message(store: Store) -> None:
    messages = fire(store, 3, batch=1)

    assert [runs_in(one) for one in messages] == [[], [], []]


def test_the_runs_of_a_message_are_won_once_and_told_of_when_they_end(store: Store) -> None:
    (message,) = fire(store, 3, batch=10)
    ids = runs_in(message)

    won = store.ledger.claim_many(ids, "me", 30.0, "w1", "1.1")
    assert {claim.fields["who"] for claim in won.values()} == {"1.1"}, "the group renews only what this claim won"
    again = store.ledger.claim_many(ids, "me", 30.0, "w1", "1.1")
    other = store.ledger.claim_many(ids, "other", 30.0, "w2", "2.1")

    assert list(won) == list(again) == ids, "asked again by the same one, because the answer may have been lost"
    assert other == {}
    assert [(claim.attempt, claim.fields["x"]) for claim in won.values()] == [(1, f"[[{n}],\t{{}}]") for n in range(3)]
    assert store.slots.client.xlen(store.slots.of(JOB).events) == 0


def test_attempts_end_together_and_each_by_its_own_rules(store: Store) -> None:
    (message,) = fire(store, 4, batch=10)
    good, again, stale, wanted_no_more = runs_in(message)
    store.ledger.claim_many(runs_in(message), "me", 30.0, "w1", "1.1")
    store.ledger.cancel(wanted_no_more, "no more")

    won = store.ledger.finish_many(
        "me",
        [
            Ending(good, 1, RunState.SUCCEEDED, '{"result":"1"}'),
            Ending(again, 1, RunState.FAILED, "{}", 5.0),
            Ending(stale, 2, RunState.SUCCEEDED, "{}"),
            Ending(wanted_no_more, 1, RunState.FAILED, "{}", 5.0),
        ],
    )

    assert won == {good, again, wanted_no_more}
    assert [store.ledger.get(one).get("s") for one in (good, again, stale, wanted_no_more)] == [None, "retrying", "running", None]
    told = {fields["r"]: fields for fields in events(store)}
    assert {run_id: (one["k"], one["state"]) for run_id, one in told.items()} == {
        good: ("finished", "succeeded"),
        again: ("retrying", "failed"),
        wanted_no_more: ("finished", "cancelled"),
    }
    assert {(one[".j"], one[".a"], one[".w"], one["outcome"]) for one in told.values()} >= {(JOB, "1", "w1", '{"result":"1"}')}
    assert len({one[".x"] for one in told.values()}) == len({one[".sid"] for one in told.values()}) == 3


def test_a_finish_by_another_holder_changes_nothing(store: Store) -> None:
    (message,) = fire(store, 2, batch=10)
    ids = runs_in(message)
    store.ledger.claim_many(ids, "me", 30.0, "w1", "1.1")

    assert store.ledger.finish_many("other", [Ending(one, 1, RunState.SUCCEEDED, "{}") for one in ids]) == set()
    assert [store.ledger.get(one)["s"] for one in ids] == ["running", "running"]


def test_a_packed_run_that_is_lost_comes_again_with_all_its_facts(store: Store) -> None:
    (message,) = fire(store, 2, batch=10)
    one, other = runs_in(message)
    store.ledger.claim_many([one, other], "me", 0.001, "w1", "1.1")
    eventually(lambda: any(True for found in [store.ledger.reap(100, 0.0)] if found), within=5)

    found = store.ledger.get(one)
    assert (found["s"], found["a"], found["l"], found["j"]) == ("retrying", "1", "1", JOB)
    lost = [fields for fields in events(store) if fields["k"] == "lost"]
    assert {(fields["r"], fields[".j"], fields[".a"]) for fields in lost} == {(one, JOB, "1"), (other, JOB, "1")}
    assert store.ledger.finish_many("me", [Ending(one, 1, RunState.SUCCEEDED, "{}")]) == set()


def test_a_packed_run_that_is_given_back_tells_what_it_is_and_is_claimed_by_the_common_rules(store: Store) -> None:
    (message,) = fire(store, 2, batch=10)
    one, _ = runs_in(message)
    store.ledger.claim_many(runs_in(message), "me", 30.0, "w1", "1.1")

    assert store.ledger.release(one, "me", 1, {}, delay=0.0)
    again = store.ledger.claim_many([one], "you", 30.0, "w2", "2.1")

    assert (again[one].attempt, again[one].fields["j"], again[one].fields["b"]) == (2, JOB, "1")
    assert [(fields[".j"], fields[".a"]) for fields in events(store) if fields["k"] == "released"] == [(JOB, "1")]
    assert store.ledger.finish_many("you", [Ending(one, 2, RunState.SUCCEEDED, "{}")]) == {one}


def test_a_start_deadline_is_kept_in_a_batch(store: Store) -> None:
    (message,) = fire(store, 2, batch=10, start_deadline=3.0)
    fired = store.slots.now_ms()
    eventually(lambda: store.slots.now_ms() > fired + 3_000, within=10)

    assert store.ledger.claim_many(runs_in(message), "me", 30.0, "w1", "1.1") == {}
    assert {fields["state"] for fields in events(store)} == {"expired"}


def test_the_end_of_a_packed_run_frees_its_overlap_slot(store: Store) -> None:
    (message,) = fire(store, 1, batch=10, overlap=Overlap.SKIP)
    run_id = message["headers"]["id"]
    busy = store.slots.of(JOB).busy
    assert store.slots.client.hget(busy, JOB) == run_id
    store.ledger.claim_many([run_id], "me", 30.0, "w1", "1.1")

    assert store.ledger.finish_many("me", [Ending(run_id, 1, RunState.SUCCEEDED, "{}")]) == {run_id}
    assert store.slots.client.hget(busy, JOB) is None


def test_more_ends_than_one_event_holds_are_each_told_once(store: Store) -> None:
    messages = fire(store, 60, batch=60)
    ids = runs_in(messages[0])
    store.ledger.claim_many(ids, "me", 30.0, "w1", "1.1")
    endings = [Ending(one, 1, RunState.SUCCEEDED, f'{{"result":"{number}"}}') for number, one in enumerate(ids)]
    long = Ending(ids[0], 1, RunState.SUCCEEDED, '{"result":"' + "x" * 5_000 + '"}')

    assert store.ledger.finish_many("me", [long, *endings[1:], endings[1]]) == set(ids)
    told = events(store)
    assert sorted(fields["r"] for fields in told) == sorted(ids)
    assert {fields["outcome"] for fields in told} == {one.outcome for one in [long, *endings[1:]]}
    assert store.slots.client.xlen(store.slots.of(JOB).events) == 4, "three for 59 short ones, and a long one by itself"
    assert store.slots.client.zcard(store.slots.of(JOB).timers) == 0
