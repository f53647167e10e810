"""`backbeat doctor` on real deployments, well and unwell: each trouble is named with its cure."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backbeat import conf
from backbeat.cli import main as backbeat
from backbeat.core.job import JobSpec
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

LIVE = """
from backbeat.store.store import open_store
from backbeat.store.vitals import processes
print([one.name for one in processes(open_store().slots) if one.kind == "worker" and one.figures["queues"]])
"""


@pytest.fixture
def deployment(tmp_path: Path, redis_server: RedisServer, redis_url: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, redis_url)
    yield made
    made.stop()


def doctor(deployment: Deployment, **env: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the checks by their names."""
    argv = [sys.executable, "-m", "backbeat.cli", "doctor", "-A", "probe_app", "-o", "json"]
    done = subprocess.run(argv, cwd=deployment.folder, env={**deployment.env, **env}, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_whoever_calls_it_in_python_can_log_afterwards(redis_url: str) -> None:
    with conf.override(redis_url=redis_url):
        answer = CliRunner().invoke(backbeat, ["doctor"])

    assert "checks" in answer.output
    assert logging.root.manager.disable == logging.NOTSET


def test_all_is_well_while_everything_runs(deployment: Deployment) -> None:
    deployment.beat()
    deployment.worker()
    deployment.keeper()

    def healthy() -> dict[str, dict[str, Any]]:
        code, checks = doctor(deployment)
        assert code == 0, [check for check in checks.values() if check["status"] != "ok"]
        return checks

    checks = eventually(healthy, within=40, every=0.5, message=deployment.story)
    assert "worker@test" in checks["workers"]["detail"]
    assert checks["jobs"]["detail"].endswith("loaded from probe_jobs")


def test_a_queue_without_a_worker_and_a_run_too_long_for_rabbitmq_are_named(deployment: Deployment) -> None:
    deployment.define(JobSpec("reports.long", "probe.work", pool="reports", timeout=7200.0))
    deployment.worker()
    eventually(lambda: "worker@test" in deployment.command(sys.executable, "-c", LIVE), within=40, message=deployment.story)

    _, checks = doctor(deployment, BROKER_URL="amqp://127.0.0.1:1//")

    assert checks["queues"]["detail"] == "no live worker consumes queue reports.p5, which reports.long use"
    assert checks["queues"]["cure"] == "Start one: backbeat worker --pool reports"
    assert "after 30m, and these may run longer: reports.long (2h)" in checks["consumer_timeout"]["detail"]
    assert "BACKBEAT_CONSUMER_TIMEOUT=2h13m" in checks["consumer_timeout"]["cure"]


def test_stopped_processes_are_missed(deployment: Deployment) -> None:
    columns = "run_id, job, arguments, policies, delay, queue, reason, results, asked_at, error"
    values = "'a:1', 'a', '[]', '', 0, '', '', 0, '2026-01-01', 'no job is named a'"
    deployment.rows(f"INSERT INTO backbeat_submission ({columns}) VALUES ({values})")
    code, checks = doctor(deployment)

    assert code == 1
    assert checks["schedulers"]["cure"].startswith("Start one: celery")
    assert checks["keepers"]["cure"] == "Start one: backbeat keeper"
    assert checks["workers"]["cure"] == "Start one: backbeat worker --pool default"
    assert checks["submissions"]["detail"].startswith("1 runs that were asked for wait")
    assert checks["submissions"]["cure"] == "A keeper must run; no job is named a."


def test_a_module_that_does_not_load_is_named_with_file_and_line(deployment: Deployment) -> None:
    jobs = deployment.folder / "probe_jobs.py"
    jobs.write_text(jobs.read_text() + "\nimport no_such_module\n")
    line = jobs.read_text().splitlines().index("import no_such_module") + 1

    code, checks = doctor(deployment)

    assert code == 1
    assert f"{jobs}:{line}" in checks["jobs"]["detail"]
    assert "no_such_module" in checks["jobs"]["detail"]


def test_two_jobs_of_one_name_are_named_with_both_places(deployment: Deployment) -> None:
    jobs = deployment.folder / "probe_jobs.py"
    jobs.write_text(jobs.read_text() + '\n@job("probe.work")\ndef again() -> None: ...\n')

    code, checks = doctor(deployment)

    assert code == 1
    assert checks["jobs"]["detail"].count(f"{jobs}:") >= 2
    assert "probe.work" in checks["jobs"]["detail"]


def test_pending_migrations_are_told(deployment: Deployment) -> None:
    code, checks = doctor(deployment, DATABASE_URL=f"sqlite:///{deployment.folder / 'empty.sqlite3'}")

    assert code == 1
    assert "migrations are pending" in checks["database"]["detail"]
    assert "migrate" in checks["database"]["cure"]


def test_what_does_not_answer_gives_exit_code_5(deployment: Deployment) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"

    code, checks = doctor(deployment, REDIS_URL=nowhere, BROKER_URL=nowhere)

    assert code == 5
    assert checks["redis"]["status"] == checks["broker"]["status"] == "unreachable"
    assert "REDIS_URL" in checks["redis"]["cure"]


def test_a_wrong_setting_is_told_before_anything_else(deployment: Deployment) -> None:
    code, checks = doctor(deployment, BACKBEAT_SHARD="4")

    assert code == 1
    assert "Did you mean 'BACKBEAT_SHARDS'" in checks["settings"]["detail"]
