"""One project whose scheduler can be RedBeat's or ours, and faults that can be done to its processes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from tests.support.deployment import Deployment
from tests.support.old_beat import OldBeat, now, write_project
from tests.support.processes import OwnProcess

REDBEAT, OURS = "redbeat.RedBeatScheduler", "backbeat.Scheduler"

FAULTY = '''
"""The project's app. With FAULT set, this process meets a fault at the n-th time of a certain step: FAULT=step:n."""
import os, signal
from probe_app import app
from backbeat.store.index import ScheduleIndex
from kombu.transport.virtual.base import Transport
from redbeat.schedulers import RedBeatScheduler

FAULT, NTH = os.environ.get("FAULT", ":0").split(":")
steps = 0

def meeting(sig, inner):
    def step(self, *args, **kwargs):
        global steps
        steps += 1
        if steps == int(NTH):
            os.kill(os.getpid(), sig)
        return inner(self, *args, **kwargs)
    return step

if FAULT == "pause":
    # In the middle of a scheduler's work, as a long garbage collection or a suspended machine would stop it.
    RedBeatScheduler.apply_async = meeting(signal.SIGSTOP, RedBeatScheduler.apply_async)
    ScheduleIndex.fire = meeting(signal.SIGSTOP, ScheduleIndex.fire)
if FAULT == "pop":
    # When a worker has taken a message out of its list, and has not written it down as unacknowledged.
    Transport._deliver = meeting(signal.SIGKILL, Transport._deliver)
'''

SKEWED = """
import time
import kombu.transport.redis as transport
transport.time = lambda: time.time() + 3700
from probe_app import app
with app.connection() as connection:
    connection.channel().qos.restore_visible(num=100)
"""

CONFIG = (
    "redbeat_lock_timeout = 2\nbeat_max_loop_interval = 1\ntask_publish_retry_policy = {'max_retries': 1, 'interval_start': 0}"
)


class FaultShown(Exception):
    """Effects that break the promise."""


def both(fault: str) -> pytest.MarkDecorator:
    """RedBeat, which has to show the fault, and ours, which must not.

    Only the fault itself is expected. Should it ever not show, RedBeat or kombu was mended and the case lost its point.
    """
    shown = pytest.mark.xfail(strict=True, raises=FaultShown, reason=f"RedBeat: {fault}")
    return pytest.mark.parametrize("kind", [pytest.param(REDBEAT, marks=shown), OURS])


def check(found: Counter[str], wanted: dict[str, int]) -> None:
    """Raise FaultShown when effects are lost or doubled."""
    if found != wanted:
        raise FaultShown(f"expected {wanted}; got {dict(found)}")


class Project(Deployment):
    """A deployment whose scheduler can be RedBeat's or ours, with plain Celery tasks."""

    def __init__(self, folder: Path, redis_url: str, broker_url: str | None = None, requeue_after: str = "600s") -> None:
        super().__init__(folder, redis_url, broker_url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER=requeue_after)
        write_project(folder, more=CONFIG)
        (folder / "faulty.py").write_text(FAULTY)
        self.old = OldBeat(redis_url)

    def scheduler(self, kind: str, name: str = "scheduler", fault: str = "") -> OwnProcess:
        return self._faulty(name, ["beat", "-S", kind, "--pidfile="], fault)

    def old_worker(self, name: str, fault: str = "", children: int = 1) -> OwnProcess:
        return self._faulty(name, ["worker", "-Q", "default.p5", "-c", str(children), "-n", f"{name}@test"], fault)

    def sweep_with_a_wrong_clock(self) -> None:
        """What another worker does now and then, in a process whose clock is an hour ahead."""
        self.command(sys.executable, "-c", SKEWED)

    def due_now(self, *names: str, **kwargs: float) -> None:
        """Entries whose hour came ten minutes ago."""
        for name in names:
            # In one step: a scheduler that sees the entry before its last run would take that for an edit.
            self.old.save(name, 3600, kwargs={"word": name, **kwargs}, last_run_at=now() - timedelta(minutes=70))

    def advanced(self, name: str) -> bool:
        """Whether the scheduler takes the entry for fired: its last run is no longer that of an hour ago."""
        return bool(self.old.entry(name).last_run_at > now() - timedelta(minutes=65))

    def working(self) -> bool:
        """Whether a scheduler of either kind leads."""
        return bool(self.client.exists("redbeat::lock"))

    def _faulty(self, name: str, argv: list[str], fault: str) -> OwnProcess:
        before, self.env = self.env, {**self.env, **({"FAULT": fault} if fault else {})}
        try:
            return self._start(name, ["-m", "celery", "-A", "faulty", *argv, "-l", "INFO"])
        finally:
            self.env = before


def frozen(process: OwnProcess) -> bool:
    """Whether it stands still."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def sent(broker: redis.Redis) -> Counter[str]:
    """How many messages wait for each entry, counted in the broker."""
    messages = [json.loads(text) for text in broker.lrange("default.p5", 0, -1)]
    return Counter(json.loads(message["headers"]["kwargsrepr"].replace("'", '"'))["word"] for message in messages)
