"""A store on an empty, real server; after each test the slots must be in a state that the transition table allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from backbeat.core.state import UNFINISHED
from backbeat.store.cluster import servers
from backbeat.store.slots import Slots
from backbeat.store.store import Store


def check_invariants(store: Store) -> None:
    """Every unfinished run is in a known state, has its fence, and has a time at which somebody looks at it."""
    client = store.slots.client
    for keys in store.slots.all:
        timed = set(client.zrange(keys.timers, 0, -1))
        found = (key for server in servers(client) for key in server.scan_iter(f"{keys.prefix}run:*"))
        for key in found:
            run_id = str(key).split("run:", 1)[1]
            run = store.ledger.get(run_id)
            state = run["s"]
            assert state in UNFINISHED, f"{run_id} is stored in state {state}, which is final"
            in_line = state == "pending" and "m" in run
            watched = state == "running" and client.zscore(keys.dags, run_id) is not None
            assert run_id in timed or state == "quarantined" or in_line or watched, f"{run_id} ({state}) would wait for ever"


@pytest.fixture
def store(redis_client: redis.Redis) -> Iterator[Store]:
    made = Store(Slots(redis_client, "t", 4, direct=True, requeue_after=60.0, key_ttl=60.0))
    yield made
    check_invariants(made)
