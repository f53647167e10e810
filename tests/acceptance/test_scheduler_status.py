"""`backbeat scheduler status` and `metrics` on real processes."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Every
from tests.acceptance.asking import asked, told
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


def test_the_status_tells_processes_shards_and_figures(running: Deployment) -> None:
    running.define(JobSpec("pulse", "probe.work", schedules=(Schedule(Every("500ms")),), overlap=Overlap.ALLOW))

    def all_there() -> dict[str, Any]:
        data = told(running)
        assert sorted(one["kind"] for one in data["processes"]) == ["keeper", "scheduler", "worker"]
        keeper, scheduler, worker = data["processes"]
        assert data["healthy"], data["problems"]
        assert data["lag_ms"]["count"] >= 4
        assert (data["layout"], scheduler["shards"]) == ({"slots": 32, "shards": 16}, 16)
        assert {one["leader"] for one in data["slots"]} == {scheduler["id"]}
        assert worker["queues"] == sorted(f"default.p{number}" for number in range(10))
        assert (worker["pool"], worker["slots"]) == ("prefork", 2)
        assert set(keeper["duties"]) >= {"recorder", "reaper", "sweeper"}
        return data

    data = eventually(all_there, within=60, every=0.5, message=running.story)

    assert data["fired"] >= 4
    assert 0 <= data["lag_ms"]["p50"] <= data["lag_ms"]["p99"] <= data["lag_ms"]["max"] < 5_000
    table = asked(running, "status")
    assert (table.returncode, "everything that is due is fired" in table.stdout) == (0, True)
    assert asked(running, "live").returncode == 0


def test_the_status_names_queues_that_nobody_consumes_and_counts_what_is_held_back(running: Deployment) -> None:
    often = (Schedule(Every("500ms")),)
    running.define(JobSpec("lonely", "probe.work", pool="nowhere", priority=7, schedules=often, overlap=Overlap.ALLOW))

    def held_back() -> dict[str, Any]:
        (one,) = told(running)["unserved_queues"]
        assert (one["queue"], one["jobs"]) == ("nowhere.p7", ["lonely"])
        # RabbitMQ's own count needs RabbitMQ, and the status needs no more than Redis.
        assert one["waiting"] >= 2 if running.store.slots.direct else one["waiting"] is None
        return one

    eventually(held_back, within=60, every=0.5, message=running.story)

    table = asked(running, "status")
    assert table.returncode == 0
    assert "no live worker consumes queue nowhere.p7, which lonely use" in table.stdout
    assert ("fires are held back in it" in table.stdout) == running.store.slots.direct
    assert "backbeat worker --pool nowhere" in table.stdout


def test_the_metrics_are_read_by_prometheus_own_parser(running: Deployment) -> None:
    families = {one.name: one for one in text_string_to_metric_families(asked(running, "metrics").stdout)}

    assert families["backbeat_healthy"].samples[0].value == 1
    assert {"scheduler", "worker", "keeper"} == {one.labels["kind"] for one in families["backbeat_processes"].samples}
