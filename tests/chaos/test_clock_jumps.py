"""The clocks of scheduler, worker and keeper jump by hours while Redis keeps the true time: nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.core.job import JobSpec, Misfire, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.retry import Retry
from backbeat.core.when import Every
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.fixtures import missing
from tests.support.servers import RedisServer
from tests.support.services import libfaketime

EVERY_MS = 500
PROCESSES = ("beat", "worker", "keeper")
SLEEP = '''
"""libfaketime up to 0.9.10 breaks the call that time.sleep makes since Python 3.11; select waits as long."""
import os, select, time
if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    time.sleep = lambda seconds: select.select([], [], [], seconds) and None
'''


class Clocks:
    """What each process takes for the time: its offset to the true time stands in a file that it reads again and again."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._folder = folder
        self._library = library

    def of(self, process: str) -> dict[str, str]:
        """The environment of a process whose clock we turn."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._folder / f"{process}.clock"),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def turn(self, process: str, offset: str) -> None:
        """`+1h`, `-30m`, or `+0` for the true time. In one move: a process must not read half a line."""
        draft = self._folder / f"{process}.draft"
        draft.write_text(offset)
        draft.rename(self._folder / f"{process}.clock")


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    library = libfaketime()
    if library is None:
        missing("libfaketime", "libfaketime")
    made = Clocks(tmp_path, library)
    for process in PROCESSES:
        made.turn(process, "+0")
    return made


@pytest.fixture
def probed(tmp_path: Path, redis_server: RedisServer, redis_url: str) -> Iterator[Deployment]:
    made = Deployment(
        tmp_path, redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="20s", BACKBEAT_SCHEDULER_LEASE="1s"
    )
    (tmp_path / "sitecustomize.py").write_text(SLEEP)
    yield made
    made.stop()


def test_a_process_under_the_library_sees_the_clock_jump(clocks: Clocks, probed: Deployment) -> None:
    probed.env |= clocks.of("beat")
    seen = []
    for offset in ("+1h", "-1h"):
        clocks.turn("beat", offset)
        seen.append(float(probed.command("python3", "-c", "import time; print(time.time())")))

    assert seen[1] - seen[0] == pytest.approx(-7200, abs=60)


def test_clocks_that_jump_change_nothing(clocks: Clocks, probed: Deployment) -> None:
    start_all(clocks, probed)
    ticking = Schedule(Every(f"{EVERY_MS}ms"))
    probed.define(JobSpec("tick", "probe.work", schedules=(ticking,), overlap=Overlap.ALLOW))
    probed.define(
        JobSpec("urgent", "probe.work", schedules=(ticking,), overlap=Overlap.ALLOW, start_deadline=15.0, misfire=Misfire.ALL)
    )
    probed.define(JobSpec("flaky", "probe.flaky", retry=Retry(3, delay="100ms", jitter=False)))
    for name in ("tick", "urgent"):
        eventually(lambda name=name: fired(probed, name), within=40, message=probed.story)
    began = probed.store.slots.now_ms()

    jumps = [
        ("beat", "+1h"),
        ("worker", "-1h"),
        ("keeper", "+1h"),
        ("beat", "-1h"),
        ("worker", "+1h"),
        ("keeper", "-1h"),
        ("beat", "-3h"),
    ]
    for number, (process, offset) in enumerate(jumps):
        clocks.turn(process, offset)
        retried = probed.submit("flaky", f"after-{number}")
        eventually(lambda run=retried: probed.effects()[run], within=20, message=probed.story)
        moment = probed.store.slots.now_ms()
        eventually(lambda moment=moment: last_of(probed) > moment + EVERY_MS, within=20, message=probed.story)

    until = last_of(probed)
    for name in ("tick", "urgent"):
        expected = {occurrence_id(name, moment) for moment in range((began // EVERY_MS + 1) * EVERY_MS, until + 1, EVERY_MS)}
        eventually(lambda expected=expected: expected <= set(probed.effects()), within=20, message=probed.story)
    assert {run: times for run, times in probed.effects().items() if times > 1} == {}
    assert {run: times for run, times in probed.effects("begin").items() if times > 1 and not run.startswith("flaky")} == {}
    assert all(moment <= probed.store.slots.now_ms() for moment in fired(probed, "tick"))


def test_processes_that_start_with_a_wrong_clock_fire_by_the_true_time(clocks: Clocks, probed: Deployment) -> None:
    for process, offset in zip(PROCESSES, ("-1h", "+1h", "-1h"), strict=True):
        clocks.turn(process, offset)
    defined = probed.store.slots.now_ms()
    probed.define(JobSpec("tick", "probe.work", schedules=(Schedule(Every(f"{EVERY_MS}ms")),), overlap=Overlap.ALLOW))

    start_all(clocks, probed)
    eventually(lambda: len(fired(probed, "tick")) >= 10, within=60, message=probed.story)

    moments = sorted(fired(probed, "tick"))
    assert moments == list(range(moments[0], moments[-1] + 1, EVERY_MS))
    assert defined <= moments[0] <= moments[-1] <= probed.store.slots.now_ms()


def start_all(clocks: Clocks, probed: Deployment) -> None:
    true_time = probed.env
    for process in PROCESSES:
        probed.env = true_time | clocks.of(process)
        getattr(probed, process)()
    probed.env = true_time


def fired(probed: Deployment, job: str) -> list[int]:
    """Nominal times (epoch ms) of the runs that had their effect."""
    from backbeat.runtime.why_occurrence import parted

    return [moment for run in probed.effects() if run.startswith(f"{job}@") and (moment := parted(run)[1]) is not None]


def last_of(probed: Deployment) -> int:
    return min(max(fired(probed, name), default=0) for name in ("tick", "urgent"))
