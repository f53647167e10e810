"""The sweep compares everything a part at a time: it rests while all is well, and hurries when something is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Every
from backbeat.runtime import sweeper
from backbeat.runtime.sweeper import Sweeper
from backbeat.store.cluster import pool_of, servers
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.cluster import running_cluster

SPECS = {f"job{number}": JobSpec(f"job{number}", "t", (Schedule(Every("1h")),)) for number in range(5)}


class Definitions:
    """Five jobs, none of which ever ran."""

    def names(self) -> list[str]:
        return list(SPECS)

    def specs(self, names: Sequence[str]) -> list[JobSpec]:
        return [SPECS[name] for name in names]

    def tend(self) -> int:
        return 0

    def last_fires(self) -> dict[str, int]:
        return {}

    def runs_had(self, names: Sequence[str]) -> dict[str, int]:
        return {}


@pytest.fixture
def store(redis_client: Redis, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(sweeper, "SLICE", 2)
    made = Store(Slots(redis_client, "t", 4))
    made.index.put_many(SPECS.values())
    return made


def there(store: Store) -> set[str]:
    return {name for name, _ in store.index.ids()}


def test_it_goes_in_parts_and_rests_between_them(store: Store) -> None:
    store.index.put(JobSpec("undefined", "t", (Schedule(Every("1h")),)))
    sweep, pauses = Sweeper(store, Definitions()), []

    for _ in range(3):
        assert "undefined" in there(store)
        sweep.step()
        pauses.append(sweep.pause())

    assert there(store) == set(SPECS)
    assert all(0 < pause < sweeper.LOOK_EVERY for pause in pauses[:2])
    assert pauses[2] == sweeper.LOOK_EVERY


def test_it_does_not_rest_once_something_is_missing(store: Store) -> None:
    store.index.remove(["job2"])
    sweep = Sweeper(store, Definitions())

    sweep.step()
    first = sweep.pause()
    sweep.step()

    assert first > 0
    assert sweep.pause() == 0
    sweep.step()
    assert there(store) == set(SPECS)


def test_an_index_that_is_lost_under_way_is_rebuilt_from_the_start(store: Store) -> None:
    sweep = Sweeper(store, Definitions())
    sweep.step()

    store.slots.client.flushall()
    for _ in range(3):
        sweep.step()

    assert there(store) == set(SPECS)


def test_only_one_of_several_keepers_compares(store: Store) -> None:
    first, second = Sweeper(store, Definitions()), Sweeper(store, Definitions())

    first.step()
    second.step()

    assert second.pause() == sweeper.LOOK_EVERY
    assert first.pause() < sweeper.LOOK_EVERY


def test_a_master_of_a_cluster_that_comes_back_empty_is_filled_again(server_folder: Path) -> None:
    with running_cluster(server_folder, "swept") as cluster, cluster.client() as client:
        parted = Store(Slots(client, "t", 16, direct=False))
        parted.index.put_many(SPECS.values())
        one, other = Sweeper(parted, Definitions()), Sweeper(parted, Definitions())
        one.step()
        assert one.pause() == sweeper.LOOK_EVERY, "all is well"

        emptied = next(
            server for server in servers(client) if pool_of(client, parted.slots.of("job1").due) is server.connection_pool
        )
        emptied.flushall()
        assert there(parted) < set(SPECS)
        one.step()

        assert there(parted) == set(SPECS)
        other.step()
        assert other.pause() == sweeper.LOOK_EVERY
