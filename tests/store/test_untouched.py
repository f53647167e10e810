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
def test_a_run_is_one_text_when_it_is_claimed_and_until_its_end(store: Store, overlap: Overlap) -> None:
    (run_id,) = fire(store, "pay", overlap=overlap)

    before, untouched = kind(store, run_id), store.ledger.get(run_id)
    claim = store.ledger.claim(run_id, "w", 30, "w1")

    assert (before, kind(store, run_id)) == ("string", "string")
    assert claim.won
    assert untouched.items() <= (dict(claim.fields) | {"s": "queued"}).items()
    assert (untouched["j"], untouched["x"], untouched["s"]) == ("pay", "[[7],\t{}]", "queued")
    assert claim.fields == store.ledger.get(run_id)
    assert store.ledger.states([run_id]) == {run_id: RunState.RUNNING}
    assert store.ledger.finish_many("w", [Ending(run_id, 1, RunState.SUCCEEDED, "{}")]) == {run_id}
    assert kind(store, run_id) == "none"


AT_WORK: dict[str, Callable[[Ledger, str], object]] = {
    "nothing": lambda _, __: None,
    "a heartbeat": lambda ledger, run_id: ledger.renew("w", [run_id], 30),
    "progress": lambda ledger, run_id: ledger.progress(run_id, "w", 1, 0.5, "half"),
    "a copy of its message": lambda ledger, run_id: ledger.claim(run_id, "v", 30, "w2"),
    "a copy of a batch's message": lambda ledger, run_id: ledger.claim_many([run_id], "v", 30, "w2", "2.1"),
    "an end by another": lambda ledger, run_id: ledger.finish_many("v", [Ending(run_id, 1, RunState.SUCCEEDED, "{}")]),
    "an end by a longer name": lambda ledger, run_id: ledger.finish_many("w1", [Ending(run_id, 1, RunState.FAILED, "{}")]),
    "an end of another attempt": lambda ledger, run_id: ledger.finish_many("w", [Ending(run_id, 2, RunState.FAILED, "{}")]),
    "a look for lost ones": lambda ledger, _: ledger.reap(10, 0),
    "a second submission": lambda ledger, run_id: ledger.submit(run_id, {"j": "pay"}, "message"),
}


@pytest.mark.parametrize("touch", AT_WORK)
def test_whatever_comes_between_a_claimed_run_is_its_holders_alone(store: Store, touch: str) -> None:
    (run_id,) = fire(store, "pay")
    ledger = store.ledger
    claim = ledger.claim(run_id, "w", 30, "w1", who="1.1")

    AT_WORK[touch](ledger, run_id)

    assert claim.fields.items() <= ledger.get(run_id).items()
    assert not ledger.claim(run_id, "v", 30, "w2").won
    assert ledger.renew("v", [run_id], 30) == (set(), set())
    assert ledger.finish_many("w", [Ending(run_id, 1, RunState.SUCCEEDED, "{}")]) == {run_id}
    assert ledger.get(run_id) == {}


def test_a_claimed_text_that_somebody_cancels_ends_as_cancelled(store: Store) -> None:
    (run_id,) = fire(store, "pay")
    store.ledger.claim_many([run_id], "w", 30, "w1", "1.1")

    assert store.ledger.cancel(run_id, "no more") == "asked"

    assert store.ledger.renew("w", [run_id], 30, "1.1") == ({run_id}, {run_id})
    assert store.ledger.finish_many("w", [Ending(run_id, 1, RunState.FAILED, "{}")]) == {run_id}
    told = [fields for _, fields in store.slots.client.xrange(store.slots.of(run_id).events)]
    # Its lease was renewed, so its start was told.
    assert [(one["k"], one.get("state"), one.get("reason")) for one in told] == [
        ("started", None, None),
        ("finished", "cancelled", "no more"),
    ]


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
