"""No script holds Redis for more than 10 ms, however much is due: work is bounded a script, not a tick."""

from __future__ import annotations

from statistics import median

import pytest
from redis import Redis

from backbeat.core.job import JobSpec, Misfire, Overlap, Schedule
from backbeat.core.when import Every
from backbeat.runtime.firing import Firer
from backbeat.store.leases import Leases
from backbeat.store.scripts import script
from backbeat.store.store import Store

LONGEST_US = 10_000
COUNT = 1_200


def watch(client: Redis) -> None:
    """Let Redis note how long each command takes."""
    client.config_set("slowlog-max-len", 100_000)
    client.config_set("slowlog-log-slower-than", 0)
    client.slowlog_reset()


def usual_us(client: Redis) -> float:
    """What a call of the script took: the median, because a busy machine may stop the server amid any one."""
    client.config_set("slowlog-log-slower-than", 10_000)
    sha = script("fire").sha.encode()
    return median(entry["duration"] for entry in client.slowlog_get(100_000) if entry["command"].startswith(b"EVALSHA " + sha))


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.QUEUE])
def test_a_burst_is_fired_in_scripts_of_less_than_ten_milliseconds(store: Store, overlap: Overlap) -> None:
    client = store.slots.client
    hourly = (Schedule(Every("1h"), args=("some", "arguments")),)
    store.index.put_many(JobSpec(f"job{n:05d}", "jobs.work", schedules=hourly, overlap=overlap) for n in range(COUNT))
    now = store.slots.now_ms()
    for keys in store.slots.all:
        client.zadd(keys.due, dict.fromkeys(client.zrange(keys.due, 0, -1), now - 1_000))
    held = Leases(store.slots, "beat", 30).take(range(store.slots.count))
    watch(client)

    firer = Firer(store)
    while not firer.step(held):
        pass

    assert firer.counts["fired"] == COUNT
    assert usual_us(client) < LONGEST_US


def test_a_long_past_is_worked_off_in_scripts_of_less_than_ten_milliseconds(store: Store) -> None:
    client = store.slots.client
    spec = JobSpec(
        "tick", "jobs.work", schedules=(Schedule(Every("1s")),), overlap=Overlap.ALLOW, misfire=Misfire.ALL, misfire_limit=800,
    )  # fmt: skip
    store.index.put(spec)
    client.zadd(store.slots.of("tick").due, {"tick": store.slots.now_ms() - 3_600_000}, xx=True)
    held = Leases(store.slots, "beat", 30).take(range(store.slots.count))
    watch(client)

    firer = Firer(store)
    while not firer.step(held):
        pass

    assert firer.counts["fired"] >= spec.misfire_limit
    assert usual_us(client) < LONGEST_US
