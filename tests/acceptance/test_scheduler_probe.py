"""What turns the liveness probe and the status red, and what does not. Each test breaks something of its own."""

from __future__ import annotations

import signal
import socket

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Every
from tests.acceptance.asking import asked, of_kind, told
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess

# A scheduler whose loop can be made to stand still, while its leases go on being renewed.
STUCK = """
import os, time
from backbeat import Scheduler

class Stuck(Scheduler):
    def tick(self, *args, **kwargs):
        while os.path.exists("stand-still"):
            time.sleep(0.05)
        return super().tick(*args, **kwargs)
"""


def beat(deployment: Deployment, name: str, scheduler: str) -> OwnProcess:
    return deployment._start(name, ["-m", "celery", "-A", "probe_app", "beat", "-S", scheduler, "--pidfile=", "-l", "INFO"])


def test_without_a_scheduler_the_status_is_one_and_without_redis_five(deployment: Deployment) -> None:
    nobody = asked(deployment, "status")
    deployment.env["REDIS_URL"] = f"unix://{deployment.folder}/no.sock?db=0"
    nothing = asked(deployment, "status")

    assert nobody.returncode == 1
    assert "nobody leads slots 0, 1, 2" in nobody.stdout
    assert nothing.returncode == 5
    assert "Redis does not answer" in nothing.stderr


def test_one_process_that_is_gone_does_not_turn_the_probe_red(deployment: Deployment) -> None:
    for name in ("beat", "beat2"):
        deployment.beat(name)
    deployment.define(JobSpec("pulse", "probe.work", schedules=(Schedule(Every("500ms")),), overlap=Overlap.ALLOW))
    eventually(lambda: [one["shards"] for one in of_kind(told(deployment), "scheduler")] == [8, 8], within=40, every=0.3)

    deployment.processes["beat"].kill()
    killed_at = deployment.store.slots.now_ms()

    def taken_over() -> bool:
        assert asked(deployment, "live", "--max-overdue", "6s").returncode == 0
        due_at = deployment.store.index.next_times(["pulse"])["pulse"]
        return due_at is not None and due_at > killed_at + 6_000

    eventually(taken_over, within=30, every=0.2)
    (silent,) = [one for one in of_kind(told(deployment), "scheduler") if one["silent"]]
    assert silent["pid"] == deployment.processes["beat"].pid


def test_a_frozen_scheduler_turns_the_probe_of_its_machine_red_although_another_fires(deployment: Deployment) -> None:
    for name in ("beat", "beat2"):
        deployment.beat(name)
    deployment.define(JobSpec("pulse", "probe.work", schedules=(Schedule(Every("500ms")),), overlap=Overlap.ALLOW))
    eventually(lambda: [one["shards"] for one in of_kind(told(deployment), "scheduler")] == [8, 8], within=40, every=0.3)
    frozen = deployment.processes["beat"]
    assert asked(deployment, "live", "--host", socket.gethostname(), "--max-overdue", "6s").returncode == 0

    frozen.signal(signal.SIGSTOP)

    answer = eventually(lambda: _red_here(deployment), within=40, every=0.3, message=deployment.story)
    assert f":{frozen.pid} is there, but has said nothing for" in answer
    assert asked(deployment, "live", "--host", "another-machine", "--max-overdue", "6s").returncode == 0

    frozen.kill()
    assert asked(deployment, "live", "--host", socket.gethostname(), "--max-overdue", "6s").returncode == 0


def _red_here(deployment: Deployment) -> str:
    answer = asked(deployment, "live", "--host", socket.gethostname(), "--max-overdue", "6s")
    return answer.stderr if answer.returncode == 1 else ""


@pytest.mark.slow
def test_a_loop_that_stands_still_turns_the_probe_red_although_its_leases_are_renewed(deployment: Deployment) -> None:
    (deployment.folder / "stuck_beat.py").write_text(STUCK)
    beat(deployment, "beat", "stuck_beat.Stuck")
    deployment.define(JobSpec("pulse", "probe.work", schedules=(Schedule(Every("500ms")),), overlap=Overlap.ALLOW))
    eventually(lambda: told(deployment)["fired"] >= 2, within=40, every=0.3, message=deployment.story)
    assert asked(deployment, "live", "--max-overdue", "2s").returncode == 0

    (deployment.folder / "stand-still").touch()

    answer = eventually(lambda: _red(deployment), within=40, every=0.2, message=deployment.story)
    assert "has stood still for" in answer
    assert "pulse has been due for" in answer
    assert {one["leader"] is None for one in told(deployment)["slots"]} == {False}

    (deployment.folder / "stand-still").unlink()
    eventually(lambda: asked(deployment, "live", "--max-overdue", "2s").returncode == 0, within=20, every=0.2)


def _red(deployment: Deployment) -> str:
    answer = asked(deployment, "live", "--max-overdue", "2s")
    return answer.stderr if answer.returncode == 1 and "overdue" in answer.stderr else ""
