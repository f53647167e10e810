"""The status of a deployment, and what counts as not well."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Every
from backbeat.runtime.firing import Firer
from backbeat.runtime.leading import Leader
from backbeat.runtime.liveness import wedged
from backbeat.runtime.metrics import exposition
from backbeat.runtime.pulse import Pulse
from backbeat.runtime.status import as_data, status
from backbeat.store.leases import Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store


class Beat:
    """A scheduler without its process: leader, firer and pulse put together as runtime/beat.py does."""

    def __init__(self, store: Store, name: str = "beat:1") -> None:
        self.pulse = Pulse(store.slots, "scheduler", name, self.figures, 1.0, name=name)
        self.leader = Leader(Leases(store.slots, name, 30), 30, self.pulse.calls)
        self.firer = Firer(store, self.pulse.moved)

    def figures(self) -> dict:
        shards = len(self.leader.leases())
        return {**self.firer.meter.figures(), "rebalances": self.leader.rebalances, "shards": shards}

    def tick(self) -> None:
        self.leader.step()
        self.firer.step(self.leader.leases())
        self.sign()

    def sign(self) -> None:
        """Write the figures now, although the renewal wrote others within the same second."""
        self.pulse._written = float("-inf")
        self.pulse.write()


@pytest.fixture
def store(redis_client: redis.Redis) -> Iterator[Store]:
    return Store(Slots(redis_client, "t", 4))


def overdue(store: Store, schedule_id: str, ago_ms: int) -> None:
    store.index.put(JobSpec(schedule_id, "t", schedules=(Schedule(Every("300d")),)))
    store.slots.client.zadd(store.slots.of(schedule_id).due, {schedule_id: store.slots.now_ms() - ago_ms})


def codes(store: Store) -> list[str]:
    return [problem.code for problem in status(store).problems]


def test_without_schedulers_nothing_is_led_and_that_is_said(store: Store) -> None:
    assert codes(store) == ["no-scheduler", "leaderless"]


def test_a_led_deployment_is_healthy(store: Store) -> None:
    Beat(store).leader.step()

    found = status(store)

    assert found.healthy
    assert {one.leader for one in found.slots} == {"beat:1"}
    assert [one.kind for one in found.processes] == ["scheduler"]


def test_what_is_due_for_too_long_is_named_with_its_age(store: Store) -> None:
    Beat(store).leader.step()
    overdue(store, "slow.one", 30_000)

    (problem,) = status(store).problems

    assert problem.code == "overdue"
    assert "slow.one has been due for 30 s" in problem.sentence
    assert status(store, overdue_ms=60_000).healthy


def test_fires_and_their_lag_add_up_over_schedulers(store: Store) -> None:
    for name in ("one", "two"):
        beat = Beat(store, f"beat:{name}")
        overdue(store, f"job.{name}", 2_000)
        beat.tick()
        beat.leader.stop()

    found = status(store)

    assert found.counts["fired"] == found.lag.count == 2
    assert found.lag.p50 is not None
    assert 2_000 <= found.lag.p50 <= found.lag.max


def test_a_parked_entry_is_shown_with_its_reason(store: Store) -> None:
    overdue(store, "broken", 0)
    store.index.park(store.slots.of("broken").slot, "broken", "its policies are missing")

    found = status(store)

    assert found.parked == {"broken": "its policies are missing"}
    assert found.parked_count == 1


def test_the_data_is_json(store: Store) -> None:
    Beat(store).tick()

    data = json.loads(json.dumps(as_data(status(store))))

    assert data["healthy"] is True
    assert len(data["slots"]) == 4
    assert data["processes"][0]["shards"] == 4


def test_metrics_are_what_prometheus_reads(store: Store) -> None:
    overdue(store, "a", 300)
    Beat(store).tick()

    families = {one.name: one for one in text_string_to_metric_families(exposition(status(store)).decode())}

    assert families["backbeat_scheduler_fired"].samples[0].value == 1
    assert families["backbeat_scheduler_fired"].samples[0].labels == {"process": "beat:1"}
    buckets = {s.labels["le"]: s.value for s in families["backbeat_fire_lag_seconds"].samples if s.name.endswith("_bucket")}
    assert (buckets["0.25"], buckets["0.5"], buckets["+Inf"]) == (0, 1, 1)
    assert len(families["backbeat_slot_led"].samples) == 4


def test_the_probe_is_green_while_nothing_is_due(store: Store) -> None:
    Beat(store).tick()

    assert wedged(store) == []


def test_the_probe_is_red_when_an_overdue_entry_stays_where_it_is(store: Store) -> None:
    Beat(store).leader.step()
    overdue(store, "stuck", 30_000)

    (problem,) = wedged(store, patience=0.3)

    assert problem.code == "overdue"
    assert "stuck has been due for 30 s" in problem.sentence


def test_the_probe_is_green_for_one_that_catches_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = Beat(store)
    beat.leader.step()
    overdue(store, "late", 30_000)
    # The wait of the probe is when the scheduler gets on.
    monkeypatch.setattr("backbeat.runtime.liveness.time.sleep", lambda _: beat.firer.step(beat.leader.leases()))

    assert wedged(store) == []


def test_the_probe_of_one_machine_is_not_red_for_another(store: Store) -> None:
    Beat(store).leader.step()
    overdue(store, "stuck", 30_000)

    assert wedged(store, host="elsewhere", patience=0.3) == []


def test_the_probe_is_red_for_a_loop_that_stands_still(store: Store) -> None:
    pulse = Pulse(store.slots, "scheduler", "beat:1", dict, 1.0, idle=lambda: 60.0)
    pulse.write()

    assert [problem.code for problem in wedged(store)] == ["stuck"]
