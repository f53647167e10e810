"""SIGKILL just before and just after every script that a process calls: nothing is lost and nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.retry import Retry
from backbeat.core.when import Every
from backbeat.store.scripts import names
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

POINTS = {
    "beat": ("member", "lease", "due", "fire"),
    "worker": ("claim", "finish", "renew"),
    "keeper": ("reap", "queue"),
}
"""Script by the process that calls it while the schedule runs."""

GROUPS = ("claim_many", "finish_many")
"""Scripts of a worker whose message holds several runs."""

ELSEWHERE = {
    "put": "called by whoever saves a definition; a crash leaves published_version behind, which republish finds",
    "define": "as put",
    "submit": "called by whoever asks for a run; the same key asks again",
    "submit_many": "as submit; see test_submissions.py",
    "cancel": "called by an operator, who sees whether it happened",
    "stand": "only reads, for whoever asks for the status",
    **dict.fromkeys(("read", "state"), "only reads, for whoever asks for a run"),
    "readmit": "called by an operator for a quarantined run; asked again, it finds the run let go",
    "vital": "says that a process makes progress; the next one is a second away",
    "release": "called by a worker that ends; without it the lease ends by itself",
    "progress": "only says how far a run is",
    **dict.fromkeys(
        ("adopt", "reported", "redbeat_changed", "redbeat_hold", "redbeat_placed", "redbeat_ran"),
        "beside RedBeat's entries only; see test_crashes_beside_redbeat.py",
    ),
    "lose": "called by a worker for a dead child; without it the lease ends by itself",
}
"""Scripts that are not on the path of a fire, and why a crash beside them needs no case here."""

EVERY_MS = 500


def test_every_script_has_its_crash_points_or_a_reason_why_not() -> None:
    covered = {name for scripts in POINTS.values() for name in scripts} | set(GROUPS) | set(ELSEWHERE)
    unknown = {name for name in set(names()) - covered if not name.startswith("dag")}

    assert not unknown, f"give {sorted(unknown)} a crash point in POINTS, or a reason in ELSEWHERE"


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(
        tmp_path_factory.mktemp("crash"),
        redis_server.url,
        BACKBEAT_RUN_LEASE="3s",
        BACKBEAT_REQUEUE_AFTER="4s",
        BACKBEAT_SCHEDULER_LEASE="1s",
    )
    for start in (made.beat, made.worker, made.keeper):
        start()
    made.define(JobSpec("tick", "probe.work", schedules=(Schedule(Every("500ms")),), overlap=Overlap.ALLOW))
    made.define(JobSpec("flaky", "probe.flaky", retry=Retry(3, delay="100ms", jitter=False)))
    made.define(JobSpec("steady", "probe.work"))
    eventually(lambda: sum(made.effects().values()) >= 2, within=40)
    yield made
    made.stop()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("process", "script"), [(process, script) for process, scripts in POINTS.items() for script in scripts])
def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(probed: Deployment, process: str, script: str, when: str) -> None:
    twice = crash_and_come_back(probed, process, script, when, ["tick"])

    # A child that dies between the job's last line and the script that ends the run has done its work: it is done again,
    # once, because only the job could have told. That is the promise: one winner a run, at least one attempt.
    assert len(twice) <= (2 if script == "finish" else 0), probed.story()
    assert set(twice.values()) <= {2}


@pytest.fixture(scope="module")
def grouped(probed: Deployment) -> list[str]:
    """Schedules whose runs travel together. They come after the others, whose counts would be less sharp beside them."""
    keys = "abc"
    schedules = tuple(Schedule(Every("500ms"), key=key) for key in keys)
    probed.define(JobSpec("grouped", "probe.work", schedules=schedules, overlap=Overlap.ALLOW, batch=100))
    return [f"grouped#{key}" for key in keys]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("script", GROUPS)
def test_a_crash_beside_a_group_of_runs_repeats_no_more_than_the_group(
    probed: Deployment, grouped: list[str], script: str, when: str
) -> None:
    twice = crash_and_come_back(probed, "worker", script, when, grouped)

    # Either child may die with a group whose ends it had not told yet.
    assert len(twice) <= (2 * len(grouped) if script == "finish_many" else 0), probed.story()
    assert set(twice.values()) <= {2}


def crash_and_come_back(probed: Deployment, process: str, script: str, when: str, schedules: list[str]) -> dict[str, int]:
    """Let a process crash and another take its place; the runs of a second or two that had their effect more than once."""
    starts: dict[str, Callable[[str], OwnProcess]] = {"beat": probed.beat, "worker": probed.worker, "keeper": probed.keeper}
    began, before = probed.store.slots.now_ms(), probed.effects()
    probed.processes[process].stop()

    doomed = probed.crashing(starts[process], process, f"{script}:{when}:2")
    occasion(probed, script)
    eventually(lambda: not doomed.alive or children_died(doomed), within=30, message=f"{process} never reached {when} {script}")
    doomed.stop()
    starts[process](process)
    until = probed.store.slots.now_ms() + 1_000

    first = (began // EVERY_MS + 1) * EVERY_MS
    expected = {occurrence_id(name, moment) for name in schedules for moment in range(first, until, EVERY_MS)}
    eventually(lambda: expected <= set(probed.effects()), within=40, message=f"missing {expected - set(probed.effects())}")
    return {run_id: count for run_id, count in probed.effects().items() if count > max(1, before[run_id])}


def occasion(probed: Deployment, script: str) -> None:
    """Make sure that the script has a reason to be called."""
    token = str(probed.store.slots.now_ms())
    if script == "queue":
        probed.submit("flaky", token, until=3)
    if script == "renew":
        probed.submit("steady", token, seconds=3.0)
    if script == "reap":
        # A keeper reaps while there is a lease or a timer, and it takes some seconds to start.
        probed.submit("steady", token, seconds=12.0)


def children_died(process: OwnProcess) -> bool:
    """Whether a pool's child crashed; its worker then lives on."""
    return "WorkerLostError" in Path(process.log).read_text(errors="replace") or "exited with" in process.logs(20_000)
