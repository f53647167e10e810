"""`commands.run` and the end of a program: on a timeout, a time limit, a killed worker, nothing of its group is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import psutil
import pytest
from celery.exceptions import SoftTimeLimitExceeded

from jobs.commands import CommandTimedOut, run
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess

ROOT = Path(__file__).parents[2]
AGAIN = 15.0
"""Seconds after which a soft time limit strikes again, should the first one have been lost."""
# Prints its own pid and those of a child in the background and of a grandchild, then waits for ever.
FAMILY = "(sleep 600 & echo $!; wait) & echo $!; echo $$; wait"


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(path: Path) -> list[int]:
    """The three pids that FAMILY wrote."""
    found = [int(line) for line in path.read_text().split()] if path.exists() else []
    return found if len(found) == 3 else []


def family(path: Path, before: str = "") -> list[str]:
    return ["sh", "-c", f"{before} exec >{path}; {FAMILY}"]


def assert_ended(path: Path, within: float = 10) -> None:
    found = pids_in(path)
    assert found, "the family started"
    eventually(lambda: not [pid for pid in found if alive(pid)], within=within, message=f"all of {found} are gone")


def test_a_timeout_ends_grandchildren_too(tmp_path: Path) -> None:
    with pytest.raises(CommandTimedOut, match=r"`sh -c .*` was ended because it ran longer than its timeout of 2 s"):
        run(family(tmp_path / "pids"), timeout=2)

    assert_ended(tmp_path / "pids")


def test_a_program_may_clean_up_on_sigterm(tmp_path: Path) -> None:
    with pytest.raises(CommandTimedOut) as caught:
        run(f"trap 'echo bye; touch {tmp_path}/cleaned; exit 0' TERM; sleep 600 & wait", shell=True, timeout=2)

    assert (tmp_path / "cleaned").exists()
    assert caught.value.output == "bye"


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    began = time.monotonic()

    with pytest.raises(CommandTimedOut) as caught:
        run(family(tmp_path / "pids", before="trap '' TERM;"), timeout=2, grace=0.5)

    assert 2.5 <= time.monotonic() - began < 10
    assert caught.value.exit_code == -signal.SIGKILL
    assert_ended(tmp_path / "pids")


def test_what_a_program_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    result = run(f"sleep 600 >/dev/null 2>&1 & echo $! >{tmp_path}/pid; echo started", shell=True)

    assert result["output"] == "started\n"
    assert not alive(int((tmp_path / "pid").read_text()))


def test_output_that_still_drains_after_the_exit_is_waited_for() -> None:
    result = run("(sleep 0.3; echo late) & echo early", shell=True)

    assert result["output"] == "early\nlate\n"


@pytest.fixture
def soft_limit() -> Iterator[Callable[[float], None]]:
    """Raises SoftTimeLimitExceeded in the main thread after a while, as Celery's prefork pool does."""

    def strike(_signum: int, _frame: FrameType | None) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, strike)
    # Once more after a while: Python drops what is raised within the callback of a weak reference, and threads make some.
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_soft_time_limit_ends_the_whole_group(tmp_path: Path, soft_limit: Callable[[float], None]) -> None:
    soft_limit(2)

    with pytest.raises(SoftTimeLimitExceeded):
        run(family(tmp_path / "pids"))

    assert_ended(tmp_path / "pids")


@pytest.mark.parametrize("microseconds", [50, 200, 500, 1000, 1500, 2000, 3000, 5000])
def test_a_soft_time_limit_at_any_moment_of_the_start_leaves_nothing_behind(
    tmp_path: Path, soft_limit: Callable[[float], None], microseconds: int
) -> None:
    mark = f"backbeat-{os.getpid()}-{microseconds}"

    def struck() -> None:
        soft_limit(microseconds / 1e6)
        run(["sh", "-c", "sleep 600; :", mark])

    with pytest.raises(SoftTimeLimitExceeded):
        struck()

    eventually(lambda: not [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "cancelled"])
def test_a_worker_that_is_ended_takes_the_program_with_it(tmp_path: Path, how: signal.Signals) -> None:
    script = f"from jobs.commands import run; run({family(tmp_path / 'pids')!r}, grace=0)"
    worker = subprocess.Popen([sys.executable, "-c", script])
    eventually(lambda: pids_in(tmp_path / "pids"), within=20)

    worker.send_signal(how)
    worker.wait()

    assert_ended(tmp_path / "pids")


WORKER = """
from celery import Celery
from jobs.commands import run
app = Celery("limits", broker={broker!r})
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)
@app.task(name="family")
def family():
    run({argv!r}, grace=1)
"""


@pytest.mark.redis
@pytest.mark.parametrize("limit", ["soft_time_limit", "time_limit"])
def test_time_limits_of_a_real_worker_end_the_program(tmp_path: Path, redis_broker_url: str, limit: str) -> None:
    (tmp_path / "limited.py").write_text(WORKER.format(broker=redis_broker_url, argv=family(tmp_path / "pids")))
    sender = f"from limited import family; family.apply_async({limit}=2)"
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    argv = [sys.executable, "-m", "celery", "-A", "limited", "worker", "--pool", "prefork", "-c", "1", "--without-mingle"]
    worker = OwnProcess("worker", argv, tmp_path, env)
    worker.start()
    try:
        subprocess.run([sys.executable, "-c", sender], env=env, cwd=tmp_path, check=True, timeout=60)
        eventually(lambda: pids_in(tmp_path / "pids"), within=60, message=worker.logs())
        assert_ended(tmp_path / "pids", within=30)
        assert worker.alive, worker.logs()
    finally:
        worker.stop()
