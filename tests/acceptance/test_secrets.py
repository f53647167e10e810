"""Secrets among arguments: the job gets them, and nothing that anybody can look at afterwards holds them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import pools

from backbeat.core.job import JobSpec
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis
WORDS = ("hunter2-the-word", "pin-4711-the-type")
JOBS = """
import time
from backbeat import Secret, current_run, job

@job("vault.fail")
def fail(user: str, password: str, pin: Secret = Secret("nothing")) -> None:
    assert str(pin) == "***"
    current_run().log.info("%s has %s and %s", user, password, pin.reveal())
    try:
        raise KeyError(password)
    except KeyError as error:
        current_run().log.exception("no such word")
        raise ValueError(f"bad password {password!r} or pin {pin.reveal()}") from error

@job("vault.wait")
def wait(pin: Secret, seconds: float) -> int:
    time.sleep(seconds)
    return len(pin.reveal())
"""
ASK = """
import sys, django
django.setup()
import probe_app, vault_jobs
probe_app.app.finalize()
words = sys.argv[1:]
vault_jobs.fail.apply_async(["ann", *words], task_id="vault.fail:celery")
vault_jobs.wait.apply_async(kwargs={"pin": words[1], "seconds": 6.0}, task_id="vault.wait:celery")
"""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("vault"), redis_server.url)
    (made.folder / "vault_jobs.py").write_text(JOBS)
    (made.folder / "celeryconfig.py").write_text('imports = ["vault_jobs"]\n')
    made.define(*(JobSpec(name, name) for name in ("vault.fail", "vault.wait")))
    yield made
    made.stop()


def test_nobody_sees_them_but_the_job(vault: Deployment) -> None:
    vault.command(sys.executable, "-c", ASK, *WORDS)
    vault.submit("vault.fail", "named", user="ann", password=WORDS[0])
    queued = [json.loads(text)["headers"] for text in vault.client.lrange("default.p5", 0, -1)]
    assert len(queued) == 3
    assert not any(word in json.dumps(headers) for word in WORDS for headers in queued), "what Flower shows"

    vault.worker()
    vault.keeper()
    eventually(lambda: vault.store.ledger.get("vault.wait:celery").get("s") == "running", within=40, message=vault.story)
    # kombu keeps connections by their address, also those that broke when a test before this one started the server anew.
    pools.reset()
    with Celery(broker=vault.settings.broker_url, set_as_current=False) as client:
        active = json.dumps(client.control.inspect(timeout=3.0).active())
    shown = vault.command(sys.executable, "-m", "backbeat.cli", "run", "show", "vault.wait:celery", "-o", "json")
    runs = ("vault.fail:celery", "vault.fail:named", "vault.wait:celery")
    eventually(lambda: {vault.state(run_id) for run_id in runs} == {"failed", "succeeded"}, within=40, message=vault.story)

    assert "vault.wait" in active
    assert '"***"' in shown
    assert vault.rows("select result from backbeat_run where run_id = 'vault.wait:celery'") == [(str(len(WORDS[1])),)]
    ((error, log, story),) = vault.rows(
        "select error_message, log, traceback from backbeat_attempt where run_id = 'vault.fail:celery'"
    )
    assert error == "bad password '***' or pin ***"
    assert "ann has *** and ***" in log
    assert "KeyError: '***'" in log
    assert "ValueError: bad password '***' or pin ***" in story
    assert dict(vault.rows("select run_id, args from backbeat_run"))["vault.fail:celery"] == '["ann", "***", "***"]'
    everything = {
        "inspect": active,
        "run show": shown,
        **{name: process.logs(1_000_000) for name, process in vault.processes.items()},
        "database": "".join(path.read_bytes().decode("latin-1") for path in vault.folder.glob("db.sqlite3*")),
        "results": "".join(vault.client.get(key) or "" for key in vault.client.scan_iter("celery-task-meta-*")),
    }
    found = [(place, word) for place, text in everything.items() for word in WORDS if word in text]
    assert not found, vault.story()


def test_a_run_whose_secrets_are_gone_is_not_repeated_without_them(vault: Deployment) -> None:
    with pytest.raises(AssertionError, match="had secrets among its arguments, which history does not keep"):
        vault.command(sys.executable, "-m", "backbeat.cli", "run", "retry", "vault.fail:celery")
