"""The tutorial, followed word by word: its files are written, its commands are run, on `backbeat dev`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dev import ROOT, Dev, copy_of_the_deployment
from tests.support.eventually import eventually

pytestmark = [pytest.mark.redis, pytest.mark.slow]
TUTORIAL = (ROOT / "docs" / "tutorial" / "first-job.md").read_text(encoding="utf-8")
JOB, SCHEDULED, FRAGILE, GRAPH = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)
COMMANDS = re.findall(r"^\$ (backbeat .*)$", TUTORIAL, re.MULTILINE)


@pytest.fixture(scope="module")
def dev(server_folder: Path) -> Iterator[Dev]:
    root = server_folder / "my tutorial"
    copy_of_the_deployment(root)
    started = Dev(root, "--quiet", "--no-graph")
    started.start()
    started.said("Trouble\\? backbeat doctor")
    yield started
    started.stop(signal.SIGINT, within=40)
    for pid in started.members():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(root, ignore_errors=True)


def tried(dev: Dev, start: str) -> subprocess.CompletedProcess[str]:
    """The tutorial's command that begins so, in the deployment's folder."""
    (command,) = [one for one in COMMANDS if one.startswith(start)]
    argv = [sys.executable, "-m", "backbeat.cli", *shlex.split(command)[1:]]
    return subprocess.run(argv, cwd=dev.root, env=dev.env, capture_output=True, text=True, timeout=120, check=False)


def run(dev: Dev, start: str) -> str:
    """The same, which must end well; its output."""
    done = tried(dev, start)
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}\n{dev.logs()}"
    return done.stdout


def save(dev: Dev, name: str, text: str, job: str) -> None:
    """Write a file and wait until its job has taken effect, as the tutorial promises it does."""
    (dev.root / name).write_text(text)
    eventually(lambda: job in dev.names(), within=40, every=0.2, message=dev.logs)


def test_all_is_well_once_the_workers_are_up(dev: Dev) -> None:
    eventually(lambda: tried(dev, "backbeat doctor").returncode == 0, within=60, every=1.0, message=dev.logs)


def test_a_job_is_written_and_run(dev: Dev) -> None:
    save(dev, "jobs/hello.py", JOB, "hello.greet")

    assert "hello.greet:" in run(dev, "backbeat job run hello.greet")


def test_its_schedule_is_shown(dev: Dev) -> None:
    save(dev, "jobs/hello.py", SCHEDULED, "hello.greet")

    def times() -> list[str]:
        return re.findall(r"\d{4}-\d\d-\d\d \d\d:\d[05]", run(dev, "backbeat job next hello.greet"))

    assert len(eventually(times, within=40, every=1.0)) >= 3


def test_a_fragile_job_succeeds_at_its_third_attempt(dev: Dev) -> None:
    save(dev, "jobs/hello.py", f"{SCHEDULED}\n\n{FRAGILE}", "hello.fragile")

    run(dev, "backbeat job run hello.fragile")


def test_a_graph_is_written_and_run(dev: Dev) -> None:
    save(dev, "dags/hello.py", GRAPH, "hello.everybody")

    run(dev, "backbeat job run hello.everybody")
