"""Stopping leaves nothing behind, whatever was killed; one process that ends is started again."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.cli.stack import figures, ports, watchdog
from backbeat.cli.stack.place import Lock
from backbeat.errors import ConfigurationError, NotAllowed
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are counted by /proc")
# A leader with a child in its own group and another one in a session of its own, as a job's program is.
FAMILY = '"$PYTHON" -c \'import subprocess as s; s.Popen(["sleep", "600"]); s.run(["sleep", "601"], start_new_session=True)\''
# A leader that needs a moment to stop in good order, and says so.
POLITE = "sh -c 'trap \"echo bye-from-polite; exit 0\" TERM; echo ready; while :; do sleep 0.05; done'"


class Stack(OwnProcess):
    """The supervisor with a Procfile, in a process of its own."""

    def __init__(self, folder: Path, **processes: str) -> None:
        self.token = secrets.token_hex(8)
        (folder / "Procfile").write_text("".join(f"{name}: {command}\n" for name, command in processes.items()))
        super().__init__("stack", [sys.executable, "-m", "tests.support.stack_driver", folder, self.token], Path.cwd())
        self.log = folder / "stack.log"

    def members(self) -> list[int]:
        """The processes it started."""
        return watchdog.strays(self.token)

    def leader(self, name: str) -> int:
        """The PID of a process of the Procfile."""
        (leader,) = [pid for pid in self.members() if os.getpgid(pid) == pid and name in _command(pid)]
        return leader


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[list[Stack]]:
    started: list[Stack] = []
    yield started
    for stack in started:
        stack.kill()
        watchdog.end_strays(stack.token)


def start(stacks: list[Stack], folder: Path, count: int, **processes: str) -> Stack:
    stack = Stack(folder, **processes)
    stacks.append(stack)
    stack.start()
    eventually(lambda: len(stack.members()) >= count, within=10, message=stack.logs)
    return stack


@linux
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_stops_every_process_and_their_children(
    stacks: list[Stack], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    stack = start(stacks, tmp_path, 4, family=FAMILY, lonely="sleep 602")

    assert stack.stop(number) == code

    assert stack.members() == []


@linux
def test_a_process_may_end_in_good_order(stacks: list[Stack], tmp_path: Path) -> None:
    stack = start(stacks, tmp_path, 1, polite=POLITE)
    eventually(lambda: "ready" in stack.logs())

    stack.stop()

    assert "bye-from-polite" in stack.logs()


@linux
def test_kill_9_of_the_parent_leaves_nothing_for_long(stacks: list[Stack], tmp_path: Path) -> None:
    stack = start(stacks, tmp_path, 4, family=FAMILY, lonely="sleep 602")
    forks = _children(stack.pid)

    os.kill(stack.pid, signal.SIGKILL)

    eventually(lambda: stack.members() == [], within=watchdog.GRACE + 5)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in forks), within=5)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@linux
def test_a_killed_process_comes_back_and_its_orphans_go(stacks: list[Stack], tmp_path: Path) -> None:
    group_only = '"$PYTHON" -c \'import subprocess; subprocess.run(["sleep", "603"])\''
    stack = start(stacks, tmp_path, 2, family=group_only)
    before = set(stack.members())

    os.kill(stack.leader("python"), signal.SIGKILL)

    said = "family ended with code -9; starting it again in 1 s"
    eventually(lambda: said in stack.logs(), within=10, message=stack.logs)
    eventually(lambda: len(stack.members()) == 2 and not before & set(stack.members()), within=10, message=stack.logs)


@linux
def test_a_stubborn_process_is_killed_by_the_second_signal(stacks: list[Stack], tmp_path: Path) -> None:
    stack = start(stacks, tmp_path, 1, stubborn="sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.05; done'")
    eventually(lambda: "ready" in stack.logs())

    os.kill(stack.pid, signal.SIGINT)
    eventually(lambda: "once more kills" in stack.logs())
    os.kill(stack.pid, signal.SIGINT)

    eventually(lambda: not stack.alive, within=5)
    assert stack.members() == []


def test_a_taken_port_is_stepped_over() -> None:
    import socket

    with socket.socket() as holder:
        holder.bind((ports.HOST, 0))
        holder.listen()
        taken = holder.getsockname()[1]

        assert ports.pick(taken) > taken


def test_no_free_port_is_told() -> None:
    with pytest.raises(ConfigurationError, match="expected a free port from 65000 on"):
        ports.pick(65000, taken=frozenset(range(65000, 65536)))


def test_a_second_start_in_one_deployment_is_refused(tmp_path: Path) -> None:
    holder = Lock(tmp_path)

    with pytest.raises(NotAllowed, match=f"running already \\(pid {os.getpid()}"):
        Lock(tmp_path)

    del holder
    Lock(tmp_path)


@linux
def test_the_cost_of_a_busy_process_is_seen(tmp_path: Path) -> None:
    busy = OwnProcess("busy", [sys.executable, "-c", "while True: pass"], tmp_path)
    busy.start()

    cost = figures.measure([busy.pid], 0.5)

    busy.kill()
    assert cost is not None
    assert cost.processes == 1
    assert cost.cpu_percent > 20
    assert 0 < cost.pss <= cost.rss
