"""Two faults of RedBeat, shown on RedBeat itself and then on our scheduler, by the same steps on the same project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos.old_and_new import OURS, REDBEAT, Project, both, check, frozen, sent
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

NAMES = [f"n{number}" for number in range(20)]


@both("fired twice, since nothing refuses a leader whose lock is gone")
def test_a_leader_that_stood_still_past_its_lease_fires_nothing_twice(
    kind: str, tmp_path: Path, redis_client: redis.Redis, redis_url: str
) -> None:
    project = Project(tmp_path, redis_url)
    try:
        leader = project.scheduler(kind, "leader", fault="pause:3")
        eventually(project.working, within=40, message=project.story)
        standby = project.scheduler(kind, "standby")
        eventually(lambda: "Starting" in standby.logs(), within=40, message=project.story)
        project.due_now(*NAMES)
        eventually(lambda: frozen(leader), within=40, message=project.story)
        eventually(lambda: len(sent(redis_client)) == len(NAMES), within=40, message=project.story)

        leader.resume()
        woken = "LockNotOwned" if kind == REDBEAT else "lease is gone"
        eventually(lambda: woken in leader.logs(20_000), within=40, message=project.story)

        check(sent(redis_client), dict.fromkeys(NAMES, 1))
    finally:
        project.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "broker"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()


@both("lost, since the next time is stored before the message is sent")
def test_a_fire_while_the_broker_is_away_is_not_lost(kind: str, tmp_path: Path, broker: RedisServer, redis_url: str) -> None:
    project = Project(tmp_path, redis_url, broker.tcp_url)
    try:
        project.keeper()
        scheduler = project.scheduler(kind)
        eventually(project.working, within=40, message=project.story)
        project.due_now("before")
        eventually(lambda: sent(broker.client())["before"], within=40, message=project.story)

        broker.stop()
        project.due_now("during")
        eventually(lambda: project.advanced("during"), within=60, message=project.story)
        broker.start()
        project.due_now("after")
        eventually(lambda: sent(broker.client())["after"], within=60, message=project.story)

        assert scheduler.alive
        # What RedBeat did not send by now it never will: it believes that it did.
        if kind == OURS:
            eventually(lambda: sum(sent(broker.client()).values()) >= 3, within=20, message=project.story)
        check(sent(broker.client()), {"before": 1, "during": 1, "after": 1})
    finally:
        project.stop()
