"""Two faults of kombu's Redis transport, shown on what RedBeat sends through it and then on what our scheduler sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.old_and_new import OURS, Project, both, check
from tests.support.eventually import eventually
from tests.support.old_beat import counted, lines

NAMES = [f"n{number}" for number in range(5)]


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Iterator[Project]:
    made = Project(tmp_path, redis_url, requeue_after="4s")
    yield made
    made.stop()


@both("lost, since a worker that dies after taking a message has written it down nowhere")
def test_a_message_that_died_with_its_worker_is_sent_again(kind: str, project: Project) -> None:
    project.keeper()
    project.scheduler(kind)
    doomed = project.old_worker("doomed", fault="pop:1")
    eventually(lambda: "ready." in doomed.logs(20_000), within=40, message=project.story)
    project.due_now("report")
    eventually(lambda: not doomed.alive, within=40, message=project.story)

    worker = project.old_worker("worker")
    eventually(lambda: "ready." in worker.logs(20_000), within=40, message=project.story)
    # With RedBeat the message is neither in its list nor among those unacknowledged, so nothing will ever bring it back.
    left = project.client.llen("default.p5") + project.client.hlen("unacked")
    if kind == OURS or left:
        eventually(lambda: counted(project.effects_file, "report"), within=40, message=project.story)

    check(counted(project.effects_file, "report"), dict.fromkeys(counted(project.effects_file, "report") or ["a run"], 1))


@both("run twice, since one worker's wrong clock puts every message in work back into its list")
def test_a_wrong_clock_on_one_machine_makes_no_job_run_twice(kind: str, project: Project) -> None:
    project.scheduler(kind)
    project.old_worker("busy", children=len(NAMES))
    project.due_now(*NAMES, seconds=12)
    eventually(lambda: len(lines(project.effects_file, "begin")) == len(NAMES), within=60, message=project.story)
    idle = project.old_worker("idle", children=len(NAMES))
    eventually(lambda: "ready." in idle.logs(20_000), within=40, message=project.story)

    project.sweep_with_a_wrong_clock()

    took = lambda: idle.logs(100_000).count("received")  # noqa: E731 - a name for what is asked twice
    eventually(lambda: took() >= len(NAMES), within=20, message=project.story)
    eventually(lambda: all(counted(project.effects_file, name) for name in NAMES), within=60, message=project.story)
    begun = counted(project.effects_file, "begin")
    check(begun, dict.fromkeys(begun, 1))
