"""The forecast over a real index."""

from __future__ import annotations

import json

import pytest
import redis
from click.testing import CliRunner

from backbeat import conf
from backbeat.cli import main
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Every, Once, from_ms
from backbeat.runtime.forecast import PAGE, as_data, forecast
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.servers import RedisServer


@pytest.fixture
def store(redis_client: redis.Redis) -> Store:
    return Store(Slots(redis_client, "bb", 4))


def test_every_entry_is_counted_once_whatever_the_number(store: Store) -> None:
    jobs = 4 * PAGE + 500
    store.index.put_many(
        JobSpec(f"job{n}", "t", pool="a" if n % 2 else "b", schedules=(Schedule(Every("1h")),)) for n in range(jobs)
    )

    data = as_data(forecast(store, 3), top=5)

    assert data["runs"] == 3 * jobs
    assert {queue: one["runs"] for queue, one in data["queues"].items()} == {"a.p5": 3 * jobs // 2, "b.p5": 3 * jobs // 2}
    assert [one["runs"] for one in data["busiest"]] == [jobs] * 3
    assert sum(data["per_hour"]) == 3 * jobs


def test_what_will_not_fire_is_not_counted(store: Store) -> None:
    hourly = (Schedule(Every("1h")),)
    store.index.put(JobSpec("over", "t", schedules=(Schedule(Once(from_ms(1))),)))
    store.index.put(JobSpec("disabled", "t", schedules=hourly, enabled=False))
    store.index.put(JobSpec("parked", "t", schedules=hourly))
    store.index.park(store.slots.of("parked").slot, "parked", "it can't be read")
    store.index.put(JobSpec("limited", "t", schedules=(Schedule(Every("1m"), max_runs=3),)))
    store.index.put(JobSpec("broken", "t", schedules=hourly))
    store.slots.client.hset(store.slots.of("broken").entries, "broken", "nonsense")

    data = as_data(forecast(store, 2), top=5)

    assert data["runs"] == 3


@pytest.mark.parametrize("output", ["json", "table"])
def test_the_command_tells_it(store: Store, redis_server: RedisServer, output: str) -> None:
    store.index.put(JobSpec("a", "t", schedules=(Schedule(Every("1h")),)))

    with conf.override(redis_url=redis_server.url, broker_url=redis_server.broker_url, shards=4):
        answer = CliRunner().invoke(main, ["forecast", "--hours", "2", "-o", output])

    assert answer.exit_code == 0, answer.output
    if output == "json":
        assert json.loads(answer.stdout)["runs"] == 2
    else:
        assert "2 runs are due in 2 hours" in answer.stdout


def test_without_redis_the_command_ends_with_five(tmp_path: object) -> None:
    with conf.override(redis_url=f"unix://{tmp_path}/none.sock?db=0"):
        answer = CliRunner().invoke(main, ["forecast"])

    assert answer.exit_code == 5
