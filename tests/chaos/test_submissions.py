"""What is asked for within a transaction is asked for when it commits: once, whoever dies between the commit and the queue."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

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
ASK = """
with transaction.atomic():
    submit(work, key=sys.argv[1], on_commit=True)
"""


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


def die(site: Deployment, key: str, **env: str) -> None:
    """A web process that is killed on its way."""
    argv = [sys.executable, "-c", WEB + ASK, key]
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
