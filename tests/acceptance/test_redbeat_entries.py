"""Entries saved through RedBeat's own API, live, on real schedulers and workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.old_beat import OldBeat, counted, seconds_of, write_project


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, redis_url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s")
    write_project(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def old(deployment: Deployment, redis_url: str) -> OldBeat:
    return OldBeat(redis_url)


def test_a_saved_entry_fires_at_each_of_its_times_once_with_two_schedulers(deployment: Deployment, old: OldBeat) -> None:
    for start in (deployment.beat, lambda: deployment.beat("beat2"), deployment.worker):
        start()
    began = old.save("every second", 1, kwargs={"word": "tick"}).last_run_at.timestamp()

    def ten() -> list[int]:
        found = seconds_of(counted(deployment.effects_file, "tick"))
        return found if len(found) >= 10 else []

    moments = eventually(ten, within=60, message=deployment.story)

    assert moments == list(range(moments[0], moments[0] + len(moments)))
    assert moments[0] == int(began) + 1
    assert set(counted(deployment.effects_file, "tick").values()) == {1}
