"""What a scheduler counts while it fires."""

from __future__ import annotations

import redis

from backbeat.core.histogram import from_text
from backbeat.core.job import JobSpec, Misfire, Overlap, Schedule
from backbeat.core.when import Every
from backbeat.runtime.firing import Firer
from backbeat.runtime.meter import LAG_BOUNDS, Meter
from backbeat.store.index import Fired
from backbeat.store.leases import Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store


def fired(now: int, **counts: int) -> Fired:
    return Fired(True, now, counts.get("fired", 0), counts.get("refused", 0), counts.get("duplicates", 0), {})


def test_lag_is_what_lies_between_due_and_the_scripts_own_time() -> None:
    meter = Meter()
    meter.fired(fired(10_000, fired=4), {10_000: 1, 9_990: 2, 8_000: 1})

    figures = meter.figures()

    assert (figures["lag"]["max"], figures["lag_sum"]) == (2_000, 2_020)
    assert sum(from_text(figures["lag"]["buckets"]).values()) == 4
    assert figures["lags"] == [3] + [0] * (LAG_BOUNDS.index(2_500) - 1) + [1] + [0] * (len(LAG_BOUNDS) - LAG_BOUNDS.index(2_500))


def test_a_batch_that_the_fence_refused_says_nothing_about_lag() -> None:
    meter = Meter()
    meter.fired(Fired(False, 10_000, 0, 0, 0, {}), {1: 100})

    assert meter.figures()["lag"] == {"buckets": "", "max": 0}


def test_the_slowest_pass_of_the_minute_is_kept() -> None:
    meter = Meter()
    for seconds in (0.001, 0.250, 0.002):
        meter.ticked(seconds)

    assert meter.figures()["tick"]["max_us"] == 250_000
    assert meter.figures()["ticks"] == 3


def due(store: Store, schedule_id: str, ago_ms: int) -> None:
    place = store.slots.now_ms() - ago_ms
    store.slots.client.zadd(store.slots.of(schedule_id).due, {schedule_id: place}, xx=True)


def test_a_firer_counts_fires_lags_and_what_it_leaves_out_by_reason(redis_client: redis.Redis) -> None:
    store = Store(Slots(redis_client, "t", 4))
    rarely = Every("300d")
    store.index.put(JobSpec("on.time", "t", schedules=(Schedule(rarely),)))
    store.index.put(JobSpec("busy", "t", schedules=(Schedule(rarely),), overlap=Overlap.SKIP))
    store.index.put(JobSpec("old", "t", schedules=(Schedule(Every("1m")),), misfire=Misfire.SKIP))
    store.index.put(JobSpec("jittered", "t", schedules=(Schedule(rarely, jitter=600.0),), overlap=Overlap.ALLOW))
    redis_client.hset(store.slots.of("busy").busy, "busy", "busy:another")
    this_minute = store.slots.now_ms() % 60_000
    for name, ago_ms in (("on.time", 1_500), ("busy", 100), ("old", this_minute + 300_000), ("jittered", 200)):
        due(store, name, ago_ms)
    firer = Firer(store)

    firer.step(Leases(store.slots, "beat", 30).take(range(4)))

    figures = firer.meter.figures()
    # What is not a minute old yet is fired whatever the policy; five older ones are not.
    assert figures["missed"] == {"overlap": 1, "misfire": 5}
    assert figures["fired"] == firer.counts["fired"] == 3
    assert 1_500 <= figures["lag"]["max"] < 61_500


def test_a_moved_entry_is_refused_and_counted(redis_client: redis.Redis) -> None:
    store = Store(Slots(redis_client, "t", 4))
    store.index.put(JobSpec("a", "t", schedules=(Schedule(Every("300d")),)))
    due(store, "a", 100)
    leases = Leases(store.slots, "beat", 30).take(range(4))
    first, second = Firer(store), Firer(store)
    seen = [one for one in store.index.due(leases, 10) if one.leads]

    first.write(seen)
    second.write(seen)

    assert (first.meter.figures()["fired"], second.meter.figures()["refused"]) == (1, 1)
