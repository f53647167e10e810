"""Slots never change, shards may at any time."""

from __future__ import annotations

import pytest

from backbeat.core.shard import slots_of, wanted
from backbeat.errors import ConfigurationError, DefinitionError
from backbeat.runtime.leading import Leader
from backbeat.store.leases import Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store


def leader(store: Store, name: str, shards: int = 2) -> Leader:
    return Leader(Leases(store.slots, name, 30, shards), 30)


def led(*leaders: Leader) -> list[int]:
    return sorted(lease.shard for one in leaders for lease in one.leases())


@pytest.mark.parametrize("shards", [1, 3, 4, 16, 32])
def test_each_slot_belongs_to_one_shard(shards: int) -> None:
    owned = [slots_of(wanted(me, ["a", "b", "c"], shards), shards, 32) for me in ("a", "b", "c")]

    assert sorted(slot for slots in owned for slot in slots) == list(range(32))


def test_a_process_with_another_number_of_slots_is_refused_with_the_cure(store: Store) -> None:
    store.layout.check()
    wrong = Store(Slots(store.slots.client, store.slots.prefix, 8))

    with pytest.raises(ConfigurationError, match=r"laid out in 4 slots, .* is set to 8\. Set BACKBEAT_SLOTS=4"):
        wrong.check_layout()


def test_a_scheduler_with_another_number_of_slots_leads_nothing(store: Store) -> None:
    right, wrong = leader(store, "a"), leader(Store(Slots(store.slots.client, store.slots.prefix, 8)), "b")
    right.step()

    wrong.step()

    assert led(right) == [0, 1, 2, 3]
    assert led(wrong) == []


def test_another_number_of_shards_moves_leadership_at_the_next_renewal(store: Store) -> None:
    first, second = leader(store, "a"), leader(store, "b")
    for number in (2, 4, 1, 3):
        store.layout.set_shards(number)
        for _ in range(2):  # what one gives up in the first round, the other takes in the second
            first.step()
            second.step()

        assert led(first, second) == [0, 1, 2, 3]
        assert first.shards() + second.shards() == number


@pytest.mark.parametrize("number", [0, 5])
def test_there_are_no_more_shards_than_slots(store: Store, number: int) -> None:
    with pytest.raises(DefinitionError, match="expected 1 to 4, the number of slots"):
        store.layout.set_shards(number)
