"""Entries saved through RedBeat's own API and `beat_schedule`, live, on real schedulers and workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from backbeat.core.foreign import foreign_id
from tests.support.deployment import ROOT, Deployment
from tests.support.eventually import eventually
from tests.support.old_beat import OldBeat, counted, lines, seconds_of, write_project
from tests.support.processes import OwnProcess
from tests.support.servers import RabbitServer, RedisServer

SEEN_WITHIN = 3.0
"""Seconds for an edit to take effect: a look a second, and some time for two busy cores."""


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, redis_url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s")
    write_project(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def old(deployment: Deployment, redis_url: str) -> OldBeat:
    return OldBeat(redis_url)


def fired(deployment: Deployment, word: str, at_least: int) -> list[int]:
    """The nominal times (epoch seconds) of the runs that had this effect, once there are enough."""
    counts = counted(deployment.effects_file, word)
    assert set(counts.values()) <= {1}, f"doubled: {counts}"
    found = seconds_of(counts)
    return found if len(found) >= at_least else []


def test_a_saved_entry_fires_at_each_of_its_times_once_and_follows_every_edit(deployment: Deployment, old: OldBeat) -> None:
    for start in (deployment.beat, lambda: deployment.beat("beat2"), deployment.worker):
        start()
    began = old.save("every second", 1, kwargs={"word": "tick"}).last_run_at.timestamp()
    moments = eventually(lambda: fired(deployment, "tick", 8), within=60, message=deployment.story)

    assert moments == list(range(int(began) + 1, int(began) + 1 + len(moments)))
    eventually(lambda: old.entry("every second").total_run_count >= 8, within=SEEN_WITHIN)
    assert old.entry("every second").last_run_at.timestamp() >= moments[-1]

    old.save("every second", 1, kwargs={"word": "edited"})
    eventually(lambda: fired(deployment, "edited", 1), within=SEEN_WITHIN, message=deployment.story)
    old.save("every second", 1, kwargs={"word": "edited"}, enabled=False)
    index = deployment.store.index
    eventually(lambda: index.next_times([foreign_id("every second")]) == {foreign_id("every second"): None}, SEEN_WITHIN)
    old.save("every second", 1, kwargs={"word": "again"})
    eventually(lambda: fired(deployment, "again", 1), within=SEEN_WITHIN, message=deployment.story)
    old.entry("every second").delete()
    eventually(lambda: index.next_times([foreign_id("every second")]) == {foreign_id("every second"): None}, SEEN_WITHIN)


def test_a_killed_scheduler_loses_and_doubles_no_fire_of_an_entry(deployment: Deployment, old: OldBeat) -> None:
    for start in (deployment.beat, lambda: deployment.beat("beat2"), deployment.worker, deployment.keeper):
        start()
    old.save("n", 1, kwargs={"word": "tick"})
    eventually(lambda: fired(deployment, "tick", 3), within=60, message=deployment.story)

    for victim in ("beat", "beat2"):
        deployment.processes[victim].kill()
        before = len(fired(deployment, "tick", 0))
        eventually(lambda before=before: fired(deployment, "tick", before + 7), within=30, message=deployment.story)
        deployment.beat(f"{victim}-again")

    moments = fired(deployment, "tick", 0)
    eventually(
        lambda: set(range(moments[0], moments[-1])) <= set(fired(deployment, "tick", 0)), within=20, message=deployment.story
    )


def test_beat_schedule_fires_and_what_left_it_stops_at_the_next_start(deployment: Deployment) -> None:
    row = "{'task': 'old.work', 'schedule': timedelta(seconds=1), 'kwargs': {'word': %r}}"
    both = f"{{'a': {row % 'a'}, 'b': {row % 'b'}}}"
    write_project(deployment.folder, both)
    deployment.worker()
    deployment.beat()
    eventually(lambda: fired(deployment, "a", 3) and fired(deployment, "b", 3), within=60, message=deployment.story)
    deployment.processes["beat"].stop()
    write_project(deployment.folder, f"{{'a': {row % 'a'}}}")

    deployment.beat("beat-again")

    started = len(fired(deployment, "a", 0))
    eventually(lambda: fired(deployment, "a", started + 5), within=60, message=deployment.story)
    last_b, last_a = lines(deployment.effects_file, "b")[-1][1], lines(deployment.effects_file, "a")[-1][1]
    assert last_a - last_b >= 3, "b went on after it had left the configuration"


@pytest.mark.rabbitmq
def test_an_entry_fires_through_rabbitmq_into_the_queue_that_its_options_mean(
    tmp_path: Path, redis_url: str, rabbitmq_server: RabbitServer
) -> None:
    made = Deployment(tmp_path, redis_url, rabbitmq_server.virtual_host(f"v{uuid4().hex}"), BACKBEAT_RUN_LEASE="3s")
    write_project(tmp_path)
    old = OldBeat(redis_url)
    # The priority turns reports.p3 into reports.p8, which is all that this worker looks at.
    options = {"queue": "reports.p3", "priority": 8, "headers": {"tenant": "blue"}}
    old.save("n", 1, "old.headers", kwargs={"key": "tenant"}, options=options)
    try:
        for start in (made.beat, made.keeper, lambda: made.worker("worker", "-Q", "reports.p8")):
            start()
        eventually(lambda: len(fired(made, "tenant=blue", 4)) >= 4, within=60, message=made.story)
    finally:
        made.stop()


PLAIN = """
from celery import Celery
app = Celery("plain", broker={broker!r}, include=["old_tasks"])
app.conf.redbeat_redis_url = {redis!r}
"""


def test_a_plain_celery_project_only_changes_its_scheduler(tmp_path: Path, redis_server: RedisServer, redis_url: str) -> None:
    write_project(tmp_path)
    (tmp_path / "plain.py").write_text(PLAIN.format(broker=redis_server.broker_url, redis=redis_url))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BACKBEAT_", "CELERY", "DJANGO_"))}
    env = {**clean, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'platform'}", "EFFECTS": str(tmp_path / "effects.log")}
    command = [sys.executable, "-m", "celery", "-A", "plain"]
    beat = OwnProcess("beat", [*command, "beat", "-S", "backbeat.Scheduler", "--pidfile=", "-l", "INFO"], tmp_path, env)
    worker = OwnProcess("worker", [*command, "worker", "-c", "1", "-l", "INFO"], tmp_path, env)
    old = OldBeat(redis_url)
    old.save("n", 1, kwargs={"word": "tick"})
    try:
        beat.start()
        worker.start()
        counts = eventually(
            lambda: (found := counted(tmp_path / "effects.log", "tick")) and len(found) >= 4 and found,
            within=60,
            message=lambda: beat.logs() + worker.logs(),
        )
    finally:
        beat.stop()
        worker.stop()

    assert set(counts.values()) == {1}
    assert old.entry("n").total_run_count >= 4
    assert old.client.get("redbeat::lock") is None
