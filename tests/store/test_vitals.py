"""Vital signs: dated by the server, told apart from progress, and fading by themselves."""

from __future__ import annotations

from backbeat.store.scripts import run_many
from backbeat.store.store import Store
from backbeat.store.vitals import Process, Vitals, processes
from tests.support.eventually import eventually

ABOUT = {"kind": "scheduler", "name": "here:1", "host": "here", "pid": 1}


def written(store: Store, identity: str = "beat:1", age: float = 0.0, idle: float = 0.0, **figures: object) -> Process:
    run_many(store.slots.client, [Vitals(store.slots, identity, ABOUT, 1.0).call(age, idle, figures)])
    return next(one for one in processes(store.slots) if one.id == identity)


def test_ages_become_moments_of_the_servers_clock(store: Store) -> None:
    before = store.slots.now_ms()

    found = written(store, age=90.0, idle=3.0, fired=7)

    assert 0 <= found.seen - before < 1000
    assert found.started == found.seen - 90_000
    assert found.progress == found.seen - 3_000
    assert found.figures == {"fired": 7}


def test_the_beginning_of_a_process_does_not_wander(store: Store) -> None:
    first = written(store, age=1.0)

    assert written(store, age=5.0).started == first.started


def test_a_process_that_writes_but_does_not_move_on_is_stuck(store: Store) -> None:
    found = written(store, idle=30.0)

    assert found.stuck(found.seen, 10_000)
    assert not found.stuck(found.seen, 60_000)
    assert not found.silent(found.seen + 4_000)


def test_a_process_that_fell_silent_is_not_called_stuck(store: Store) -> None:
    found = written(store, idle=30.0)

    assert found.silent(found.seen + 4_001)
    assert not found.stuck(found.seen + 4_001, 10_000)


def test_one_that_leaves_is_gone_at_once_and_one_that_died_fades(store: Store) -> None:
    written(store, "beat:1")
    written(store, "beat:2")

    Vitals(store.slots, "beat:1", ABOUT, 1.0).leave()
    store.slots.client.pexpire("{t}:process:beat:2", 50)

    assert [one.id for one in processes(store.slots)] in (["beat:2"], [])
    eventually(lambda: processes(store.slots) == [], within=2)
