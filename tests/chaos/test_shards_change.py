"""Leadership is divided anew while schedules fire four times a second: nothing is lost and nothing is doubled."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.when import Every
from backbeat.store.stands import stands
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

EVERY_MS = 250
JOBS = [f"job{number}" for number in range(12)]
QUEUE = "default.p5"


@pytest.fixture
def probed(tmp_path: Path, redis_server: RedisServer, redis_url: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, redis_server.url, BACKBEAT_SCHEDULER_LEASE="1s")
    yield made
    made.stop()


def test_shards_change_under_fire(probed: Deployment) -> None:
    ticking = (Schedule(Every(f"{EVERY_MS}ms")),)
    probed.define(*(JobSpec(name, "probe.work", schedules=ticking, overlap=Overlap.ALLOW) for name in JOBS))
    for name in ("beat", "beat2"):
        probed.beat(name)
    eventually(lambda: len(leaders(probed)) == 2 and not unled(probed), within=40, message=probed.story)
    began = probed.store.slots.now_ms()

    for number in (4, 32, 1, 16):
        probed.command(sys.executable, "-m", "backbeat.cli", "scheduler", "shards", str(number))
        eventually(lambda number=number: settled(probed, number), within=20, message=probed.story)
        moment = probed.store.slots.now_ms()
        eventually(lambda moment=moment: probed.store.slots.now_ms() > moment + 4 * EVERY_MS, within=5)

    until = probed.store.slots.now_ms()
    expected = {
        occurrence_id(name, moment) for name in JOBS for moment in range((began // EVERY_MS + 1) * EVERY_MS, until, EVERY_MS)
    }
    eventually(lambda: expected <= set(sent(probed)), within=20, message=probed.story)
    assert {run: times for run, times in sent(probed).items() if times > 1} == {}


def sent(probed: Deployment) -> Counter[str]:
    """How often each run was put into the queue; no worker takes any out."""
    import json

    return Counter(json.loads(message)["headers"]["id"] for message in probed.client.lrange(QUEUE, 0, -1))


def leaders(probed: Deployment) -> set[str]:
    return {one.leader for one in stands(probed.store.slots) if one.leader}


def unled(probed: Deployment) -> list[int]:
    return [one.slot for one in stands(probed.store.slots) if one.leader is None]


def settled(probed: Deployment, number: int) -> bool:
    """Whether each shard's slots have one leader, and both schedulers lead as many shards as that allows."""
    leading: dict[int, set[str | None]] = {}
    for one in stands(probed.store.slots):
        leading.setdefault(one.slot % number, set()).add(one.leader)
    counts = Counter(leader for owners in leading.values() for leader in owners)
    return all(len(owners) == 1 for owners in leading.values()) and None not in counts and max(counts.values()) <= -(-number // 2)
