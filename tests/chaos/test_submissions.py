"""What is asked for within a transaction is asked for when it commits: once, whoever dies between the commit and the queue."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from backbeat.core.job import JobSpec, Overlap
from backbeat.core.state import RunState
from backbeat.runtime.submit_many import A_SCRIPT, A_TRIP
from backbeat.store.scripts import load_all
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

WEB = """
import sys, django
django.setup()
import probe_app
from django.db import transaction
from probe_jobs import work
from backbeat import submit
from backbeat.errors import BadArguments
probe_app.app.finalize()
"""
ASKS = """
with transaction.atomic():
    found = work.apply_async_on_commit(kwargs={"seconds": 0.0}, task_id="probe.work:celery", reason="as Celery spells it")
    assert found.id == "probe.work:celery"
    for _ in range(2):
        assert submit("probe.work", key="twice", on_commit=True) == "probe.work:twice"
work.delay_on_commit()
submit(work, key="later", delay=1.0, on_commit=True)
try:
    with transaction.atomic():
        submit(work, key="never", on_commit=True)
        work.task.delay_on_commit()
        raise KeyError
except KeyError:
    pass
try:
    work.apply_async_on_commit(link=work.s())
except BadArguments as error:
    assert str(error).startswith("link: expected an option that can wait for a commit: countdown, eta")
else:
    sys.exit("a link was taken")
"""
ASK_MANY = """
from backbeat import submit_many
ids = submit_many("many", [{}] * MANY, keys=[f"{sys.argv[1]}-{number}" for number in range(MANY)])
assert len(set(ids)) == MANY
"""
ASK = """
with transaction.atomic():
    submit(work, key=sys.argv[1], on_commit=True)
"""


MANY = 2_500
"""Three round trips."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(
        tmp_path_factory.mktemp("submissions"), redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="4s"
    )
    made.worker()
    yield made
    made.stop()


def die(site: Deployment, key: str, asks: str = ASK, **env: str) -> None:
    """A web process that is killed on its way."""
    argv = [sys.executable, "-c", WEB + asks, key]
    done = subprocess.run(argv, cwd=site.folder, env={**site.env, **env}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def waiting(site: Deployment) -> set[str]:
    return {run_id for (run_id,) in site.rows("SELECT run_id FROM backbeat_submission WHERE sent_at IS NULL")}


def test_a_commit_sends_and_a_rollback_does_not(site: Deployment) -> None:
    site.command(sys.executable, "-c", WEB + ASKS)

    asked = {"probe.work:celery", "probe.work:twice"}
    eventually(lambda: asked <= set(site.effects()) and len(site.effects()) == 3, within=20, message=site.story)
    assert set(site.effects().values()) == {1}
    assert "probe.work:never" not in site.effects()
    assert site.store.ledger.get("probe.work:later")["s"] == "pending"
    assert site.client.exists("celery-task-meta-probe.work:celery"), "whoever asks by Celery's means may wait by them"
    assert not waiting(site)


def test_a_process_that_dies_after_the_commit_loses_nothing_and_doubles_nothing(site: Deployment) -> None:
    die(site, "before", CRASH="submit:before:1")
    die(site, "after", CRASH="submit:after:1")
    assert waiting(site) == {"probe.work:before", "probe.work:after"}

    site.keeper()

    done = {"probe.work:before", "probe.work:after"}
    eventually(lambda: done <= set(site.effects()), within=30, message=site.story)
    # Sent once more when Redis has certainly written them down; then the rows are not needed any more.
    eventually(lambda: not site.rows("SELECT 1 FROM backbeat_submission"), within=30, message=site.story)
    assert set(site.effects().values()) == {1}
    assert site.effects()["probe.work:later"] == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("trip", [1, 2, 3])
def test_whoever_asks_again_for_many_runs_gets_each_of_them_once(site: Deployment, when: str, trip: int) -> None:
    site.define(JobSpec("many", "probe.work", batch=100, overlap=Overlap.ALLOW))
    key, asks = f"{when}-{trip}", f"MANY = {MANY}\n{ASK_MANY}"
    wanted = {f"many:{key}-{number}" for number in range(MANY)}
    load_all(site.client)  # else the first trip is made twice, and counted so

    die(site, key, asks, CRASH=f"submit_many:{when}:{trip}")
    there = site.store.ledger.states(sorted(wanted))
    site.command(sys.executable, "-c", WEB + asks, key)

    whole_trips = trip if when == "after" else trip - 1
    assert len(there) == min(MANY, whole_trips * A_SCRIPT * A_TRIP)
    eventually(lambda: wanted <= set(site.effects()), within=40, message=site.story)
    assert {site.effects()[run_id] for run_id in wanted} == {1}
    told = site.store.ledger.states(sorted(wanted))
    eventually(lambda: set(site.store.ledger.states(sorted(wanted)).values()) == {RunState.SUCCEEDED}, within=20)
    assert set(told) == wanted, "keys are kept"
