"""Shard leases: one leader at a time, and a fence that grows with every change of leader."""

from __future__ import annotations

from backbeat.store.leases import Leases
from backbeat.store.store import Store
from tests.support.eventually import eventually


def test_a_held_shard_is_not_given_to_another(store: Store) -> None:
    first, second = Leases(store.slots, "a", 5), Leases(store.slots, "b", 5)

    assert [lease.shard for lease in first.take(range(4))] == [0, 1, 2, 3]
    assert second.take(range(4)) == []


def test_renewing_keeps_the_fence_and_taking_over_raises_it(store: Store) -> None:
    first, second = Leases(store.slots, "a", 5), Leases(store.slots, "b", 5)
    before = first.take([0])[0]

    assert first.take([0])[0].fence == before.fence
    first.release([0])
    assert second.take([0])[0].fence == before.fence + 1


def test_a_leader_that_falls_silent_is_replaced_when_its_lease_ends(store: Store) -> None:
    Leases(store.slots, "a", 0.2).take([2])
    second = Leases(store.slots, "b", 5)

    taken = eventually(lambda: second.take([2]), within=3)

    assert taken[0].fence == 2


def test_a_scheduler_that_leaves_is_not_counted_any_more(store: Store) -> None:
    first, second = Leases(store.slots, "a", 5), Leases(store.slots, "b", 5)
    first.meet()
    assert second.meet() == ["a", "b"]

    first.leave()

    assert second.meet() == ["b"]
