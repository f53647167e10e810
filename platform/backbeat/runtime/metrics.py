"""The status as Prometheus metrics. Computed when asked; nothing of it names a job, so that it may be read without login."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from backbeat.runtime.meter import LAG_BOUNDS
from backbeat.runtime.status import Status, of_kind
from backbeat.store.vitals import Process

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_COUNTED = {
    "fired": "Occurrences that became runs.",
    "refused": "Entries that somebody else had moved since they were read.",
    "duplicates": "Occurrences whose run existed already.",
    "parked": "Entries that could not be evaluated.",
    "rebalances": "Changes of the led shards.",
    "ticks": "Passes of the loop.",
}


def exposition(state: Status) -> bytes:
    """The text that Prometheus scrapes, to be sent as CONTENT_TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(state))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, state: Status) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus_client."""
        yield from _overall(self._state)
        yield from _of_slots(self._state)
        yield from _of_processes(self._state)
        yield from _of_schedulers(self._state.schedulers)
        yield from _of_workers(of_kind(self._state.processes, "worker"))
        yield from _of_keepers(of_kind(self._state.processes, "keeper"))


def _overall(state: Status) -> Iterator[Metric]:
    oldest = state.oldest
    yield _gauge("healthy", "1 when everything that is due is fired.", int(state.healthy))
    yield _gauge("oldest_overdue_seconds", "How long the oldest due entry has waited.", (oldest.late_ms if oldest else 0) / 1000)
    yield _gauge("parked_entries", "Entries that wait for somebody to mend them.", state.parked_count)
    yield _gauge("unfinished_runs", "Runs queued, running or waiting.", sum(one.unfinished for one in state.slots))
    yield _gauge("event_backlog", "Events that history does not have yet.", state.backlog)
    yield _gauge("event_backlog_seconds", "How long the oldest of them has waited.", state.backlog_ms / 1000)
    yield _gauge("outbox_messages", "Messages that wait for the broker.", state.outbox)


def _of_slots(state: Status) -> Iterator[Metric]:
    led = GaugeMetricFamily("backbeat_slot_led", "1 when a scheduler leads the slot.", labels=["slot"])
    entries = GaugeMetricFamily("backbeat_slot_entries", "Schedules in the slot.", labels=["slot"])
    overdue = GaugeMetricFamily("backbeat_slot_overdue_seconds", "How long its oldest due entry has waited.", labels=["slot"])
    for one in state.slots:
        label = [str(one.slot)]
        led.add_metric(label, int(one.leader is not None))
        entries.add_metric(label, one.entries)
        overdue.add_metric(label, one.late_ms / 1000)
    yield from (led, entries, overdue)


def _of_processes(state: Status) -> Iterator[Metric]:
    alive = Counter(one.kind for one in state.processes if not one.silent(state.now))
    count = GaugeMetricFamily("backbeat_processes", "Processes that live.", labels=["kind"])
    for kind in ("scheduler", "worker", "keeper"):
        count.add_metric([kind], alive[kind])
    age = GaugeMetricFamily("backbeat_progress_age_seconds", "Since a process last moved on.", labels=["kind", "process"])
    for one in state.processes:
        age.add_metric([one.kind, one.name], max(0, state.now - one.progress) / 1000)
    yield from (count, age)


def _of_schedulers(schedulers: list[Process]) -> Iterator[Metric]:
    for name, about in _COUNTED.items():
        family = CounterMetricFamily(f"backbeat_scheduler_{name}", about, labels=["process"])
        for one in schedulers:
            family.add_metric([one.name], one.figures[name])
        yield family
    missed = CounterMetricFamily("backbeat_scheduler_missed", "Occurrences left out, by reason.", labels=["process", "reason"])
    led = GaugeMetricFamily("backbeat_scheduler_shards", "Shards that the scheduler leads.", labels=["process"])
    tick = GaugeMetricFamily("backbeat_scheduler_tick_max_seconds", "Longest pass of the last minute.", labels=["process"])
    lag = HistogramMetricFamily("backbeat_fire_lag_seconds", "From due to fired.", labels=["process"])
    for one in schedulers:
        for reason, count in one.figures["missed"].items():
            missed.add_metric([one.name, reason], count)
        led.add_metric([one.name], one.figures["shards"])
        tick.add_metric([one.name], one.figures["tick"]["max_us"] / 1_000_000)
        lag.add_metric([one.name], list(_buckets(one.figures["lags"])), one.figures["lag_sum"] / 1000)
    yield from (missed, led, tick, lag)


def _buckets(counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    bounds = [*(str(bound / 1000) for bound in LAG_BOUNDS), "+Inf"]
    return zip(bounds, map(float, accumulate(counts)), strict=True)


def _of_workers(workers: list[Process]) -> Iterator[Metric]:
    slots = GaugeMetricFamily("backbeat_worker_slots", "Runs that the worker can do at a time.", labels=["process"])
    active = GaugeMetricFamily("backbeat_worker_active", "Runs that it does now.", labels=["process"])
    for one in workers:
        slots.add_metric([one.name], one.figures["slots"])
        active.add_metric([one.name], one.figures["active"])
    yield from (slots, active)


def _of_keepers(keepers: list[Process]) -> Iterator[Metric]:
    labels = ["process", "duty"]
    count = CounterMetricFamily("backbeat_keeper_done", "What the duty did.", labels=labels)
    failures = CounterMetricFamily("backbeat_keeper_failures", "How often a step of it failed.", labels=labels)
    idle = GaugeMetricFamily("backbeat_keeper_idle_seconds", "Since it should have moved on.", labels=labels)
    for one in keepers:
        for name, duty in one.figures["duties"].items():
            count.add_metric([one.name, name], duty["count"])
            failures.add_metric([one.name, name], duty["failures"])
            idle.add_metric([one.name, name], duty["idle"])
    yield from (count, failures, idle)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"backbeat_{name}", about, value=value)
