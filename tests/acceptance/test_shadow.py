"""`backbeat import redbeat --shadow`: beside a real RedBeat scheduler, which goes on as if nobody looked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from celery.schedules import crontab

from tests.support.deployment import ROOT
from tests.support.eventually import eventually
from tests.support.old_beat import OldBeat, write_project
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

PLAIN = """
from celery import Celery
app = Celery("plain", broker={broker!r}, include=["old_tasks"])
app.conf.redbeat_redis_url = {redis!r}
app.conf.beat_max_loop_interval = 1
app.conf.result_expires = None
"""


@pytest.fixture
def env(tmp_path: Path, redis_server: RedisServer, redis_url: str) -> dict[str, str]:
    write_project(tmp_path)
    (tmp_path / "plain.py").write_text(PLAIN.format(broker=redis_server.broker_url, redis=redis_url))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BACKBEAT_", "CELERY", "DJANGO_"))}
    return {**clean, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'platform'}", "EFFECTS": str(tmp_path / "effects.log")}


def shadow(env: dict[str, str], folder: Path, redis_url: str) -> tuple[int, dict[str, dict[str, object]], str]:
    command = [sys.executable, "-m", "backbeat.cli", "import", "redbeat", "--url", redis_url, "--shadow", "12s", "-o", "json"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {entry["name"]: entry for entry in json.loads(done.stdout)["entries"]}, done.stderr


def test_a_redbeat_that_fires_as_predicted_agrees_and_is_not_disturbed(
    env: dict[str, str], tmp_path: Path, redis_url: str
) -> None:
    old = OldBeat(redis_url)
    # Long beside what RedBeat drifts within the watch: by more than half an interval it would have left one out.
    old.save("often", 4)
    old.save("midnight", crontab(minute=0, hour=0))
    old.save("off", 1, enabled=False)
    stock = OwnProcess(
        "stock",
        [sys.executable, "-m", "celery", "-A", "plain", "beat", "-S", "redbeat.RedBeatScheduler", "--pidfile="],
        tmp_path,
        env,
    )
    stock.start()
    try:
        eventually(lambda: old.entry("often").total_run_count >= 2, within=40, message=stock.logs)
        lock = old.client.get("redbeat::lock")

        code, found, said = shadow(env, tmp_path, redis_url)

        assert (code, set(found)) == (0, {"often", "midnight"}), f"{found} {said}"
        assert found["often"]["fired"] in (2, 3, 4)
        assert found["often"]["agrees"] is True
        assert "all 2 entries agree" in said
        assert old.client.get("redbeat::lock") == lock
        assert stock.alive
    finally:
        stock.stop()


def test_a_redbeat_that_stands_still_differs(env: dict[str, str], tmp_path: Path, redis_url: str) -> None:
    OldBeat(redis_url).save("often", 2)

    code, found, said = shadow(env, tmp_path, redis_url)

    assert (code, found["often"]["fired"], found["often"]["agrees"]) == (1, 0, False)
    assert found["often"]["missing"]
    assert "1 of 1 entries differ" in said
