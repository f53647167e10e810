"""A run that nobody has touched since it was fired is one text in Redis; to whatever is done next it is a run like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.state import RunState
from backbeat.core.when import Every
from backbeat.runtime.firing import Firer
from backbeat.store.leases import Leases
from backbeat.store.ledger import Ending, Ledger, Waiting
from backbeat.store.store import Store
from backbeat.store.unfinished import newest

HOURLY = (Schedule(Every("1h"), args=(7,)),)


def step(store: Store, names: Sequence[str], ago: int = 1_000) -> Mapping[str, int]:
    """Let these schedules be due since so many ms, and fire what is due; what the scheduler counted."""
    now = store.slots.now_ms() // 1_000 * 1_000
    for name in names:
        store.slots.client.zadd(store.slots.of(name).due, {name: now - ago})
    firer = Firer(store)
    firer.step(Leases(store.slots, "beat", 30).take(range(store.slots.count)))
    return firer.counts


def fire(store: Store, *names: str, overlap: Overlap = Overlap.ALLOW) -> list[str]:
    """Fire one occurrence of each job; the ids of their runs."""
    store.index.put_many(JobSpec(name, "jobs.pay", HOURLY, overlap=overlap) for name in names)
    assert step(store, names)["fired"] == len(names)
    return sorted(run.run_id for run in newest(store.slots, lambda run: run.fields["j"] in names))


def kind(store: Store, run_id: str) -> str:
    return str(store.slots.client.type(store.slots.of(run_id).run(run_id)))


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.SKIP])
def test_a_run_is_one_text_until_it_is_claimed(store: Store, overlap: Overlap) -> None:
    (run_id,) = fire(store, "pay", overlap=overlap)

    before, untouched = kind(store, run_id), store.ledger.get(run_id)
    claim = store.ledger.claim(run_id, "w", 30, "w1")

    assert (before, kind(store, run_id)) == ("string", "hash")
    assert claim.won
    assert untouched.items() <= (dict(claim.fields) | {"s": "queued"}).items()
    assert (untouched["j"], untouched["x"], untouched["s"]) == ("pay", "[[7],\t{}]", "queued")


def test_who_does_not_hold_it_is_refused_and_leaves_it_as_it_is(store: Store) -> None:
    (run_id,) = fire(store, "pay")
    ledger = store.ledger

    assert not ledger.finish(run_id, "w", 1, RunState.SUCCEEDED, {})
    assert not ledger.finish_many("w", [Ending(run_id, 1, RunState.SUCCEEDED, "{}")])
    assert ledger.renew("w", [run_id], 30) == (set(), set())
    assert ledger.release(run_id, "w", 1, {}) == 0
    assert not ledger.lose(run_id, "w", 1, {})
    assert not ledger.progress(run_id, "w", 1, 0.5, "")

    assert kind(store, run_id) == "string"
    assert ledger.claim(run_id, "w", 30, "w1").won


TOUCHES: dict[str, Callable[[Ledger, str], object]] = {
    "asked for again": lambda ledger, run_id: ledger.submit(run_id, {"j": "pay"}, "message"),
    "let go on": lambda ledger, run_id: ledger.readmit(run_id, "message", "allow"),
    "queued by mistake": lambda ledger, run_id: ledger.queue(Waiting(run_id, "1", {"s": "pending"}), "message"),
    "looked for": lambda ledger, run_id: ledger.reap(10, 0),
    "looked at": lambda ledger, run_id: ledger.states([run_id]),
}


@pytest.mark.parametrize("how", TOUCHES)
def test_what_is_not_for_it_changes_nothing(store: Store, how: str) -> None:
    (run_id,) = fire(store, "pay")
    before = store.ledger.get(run_id)

    TOUCHES[how](store.ledger, run_id)

    assert store.ledger.get(run_id) == before
    assert store.ledger.states([run_id, "nobody"]) == {run_id: RunState.QUEUED}
    assert store.slots.client.llen("default.p5") == 1


def test_it_can_be_cancelled(store: Store) -> None:
    (run_id,) = fire(store, "pay")

    assert store.ledger.cancel(run_id, "by hand") == "cancelled"
    assert store.ledger.get(run_id) == {}


def test_it_is_sent_again_when_nobody_claims_it(store: Store) -> None:
    (run_id,) = fire(store, "pay")
    store.slots.client.zadd(store.slots.of(run_id).timers, {run_id: 1})

    (waiting,) = store.ledger.reap(10, 0)

    assert store.ledger.queue(waiting, "again")
    assert store.slots.client.lrange("default.p5", 0, 0) == ["again"]
    assert store.ledger.get(run_id)["rs"] == "1"


def test_a_later_one_takes_its_place(store: Store) -> None:
    (first,) = fire(store, "pay", overlap=Overlap.REPLACE)

    step(store, ["pay"], ago=60_000)
    (second,) = [run.run_id for run in newest(store.slots, lambda run: True)]

    assert first != second
    assert store.ledger.get(first) == {}


def test_one_that_exists_keeps_no_other_of_its_batch_from_being_made(store: Store) -> None:
    names = [f"job{number:02}" for number in range(20)]
    known = fire(store, *names)
    score = int(store.ledger.get(known[0])["n"])
    for run_id in known[3:]:
        store.ledger.cancel(run_id, "to be made anew")
    store.ledger.claim(known[0], "w", 30, "w1")
    store.slots.client.delete("default.p5")

    counts = step(store, names, ago=store.slots.now_ms() // 1_000 * 1_000 - score)

    assert (counts["fired"], counts["duplicates"]) == (17, 3)
    assert store.slots.client.llen("default.p5") == 17
    assert store.ledger.get(known[0])["s"] == "running"
    assert {kind(store, run_id) for run_id in known[1:]} == {"string"}
