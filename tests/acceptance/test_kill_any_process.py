"""Losing any one process is an ordinary event: nothing is lost and nothing is doubled."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.when import Every
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess

EVERY_MS = 500


def fired_through(deployment: Deployment, until_ms: int) -> bool:
    """Whether the index has moved past this moment."""
    due_at = deployment.store.index.next_times(["tick"])["tick"]
    return due_at is not None and due_at > until_ms


@pytest.mark.parametrize("victim", ["beat", "beat2", "worker", "keeper"])
def test_kill_minus_nine_loses_nothing_and_doubles_nothing(deployment: Deployment, victim: str) -> None:
    starts: dict[str, Callable[[str], OwnProcess]] = {
        "beat": deployment.beat,
        "beat2": deployment.beat,
        "worker": deployment.worker,
        "worker2": deployment.worker,
        "keeper": deployment.keeper,
        "keeper2": deployment.keeper,
    }
    for name, start in starts.items():
        start(name)
    spec = JobSpec("tick", "probe.work", schedules=(Schedule(Every("500ms"), kwargs={"seconds": 0.2}),), overlap=Overlap.ALLOW)
    deployment.define(spec)
    first = deployment.store.index.next_times(["tick"])["tick"]
    assert first is not None
    eventually(lambda: sum(deployment.effects().values()) >= 4, within=40)
    # Into the middle of the next run. What dies between its effect and its last line does its effect again, as promised.
    time.sleep(0.4)

    deployment.processes[victim].kill()
    killed_at = deployment.store.slots.now_ms()
    eventually(lambda: fired_through(deployment, killed_at + 6_000), within=20, message="the schedule stopped")
    last = killed_at + 5_000

    expected = {occurrence_id("tick", moment) for moment in range(first, last, EVERY_MS)}
    eventually(
        lambda: expected <= set(deployment.effects()), within=40, message=f"missing {expected - set(deployment.effects())}"
    )
    doubled = {run_id: count for run_id, count in deployment.effects().items() if count > 1}
    assert doubled == {}, deployment.story()
    eventually(
        lambda: expected <= {run_id for (run_id,) in deployment.rows("select run_id from backbeat_run where state='succeeded'")},
        20,
    )
    duplicates = deployment.rows(
        "select nominal, count(*) from backbeat_run where job='tick' group by nominal having count(*) > 1"
    )
    assert duplicates == []


def test_a_scheduler_that_stood_still_past_its_lease_fires_nothing_twice(deployment: Deployment) -> None:
    for name in ("beat", "beat2"):
        deployment.beat(name)
    deployment.worker()
    spec = JobSpec("tick", "probe.work", schedules=(Schedule(Every("500ms")),), overlap=Overlap.ALLOW)
    deployment.keeper()
    deployment.define(spec)
    first = deployment.store.index.next_times(["tick"])["tick"]
    assert first is not None
    eventually(lambda: sum(deployment.effects().values()) >= 4, within=40)

    for name in ("beat", "beat2"):
        deployment.processes[name].pause()
        stopped_at = deployment.store.slots.now_ms()
        eventually(lambda at=stopped_at: deployment.store.slots.now_ms() > at + 4_000, within=10)
        eventually(lambda at=stopped_at: fired_through(deployment, at + 4_000), within=20)
        deployment.processes[name].resume()

    last = deployment.store.slots.now_ms() - 1_000
    expected = {occurrence_id("tick", moment) for moment in range(first, last, EVERY_MS)}
    eventually(
        lambda: expected <= set(deployment.effects()), within=30, message=f"missing {expected - set(deployment.effects())}"
    )
    assert set(deployment.effects().values()) == {1}
