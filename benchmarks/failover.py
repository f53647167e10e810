"""How long is nobody firing when the leading scheduler dies?

usage: failover.py [--kills 4] [--rate 200] [--redbeat-kills 1]

Two schedulers on one server; `--rate` schedules of one second each (with RedBeat: the same number of entries) keep them
busy. In turn each is killed with SIGKILL and started anew. Ours: the gap of a kill is the greatest lateness of any
occurrence that fell due in the six seconds after it, from the ledger. RedBeat keeps no nominal times, but has one
leader, so its gap is the longest silence in the broker's list, looked at every 5 ms, less the second that lies between
two fires anyway. Ours runs with default settings; RedBeat with the shortest sensible ones (max_interval 2 s, lock 10 s),
because with its defaults (25 minutes) the benchmark would not end. Afterwards every occurrence is looked for, once.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import harness

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.when import Every, to_ms
from backbeat.store.connect import connect
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

APP = """
from backbeat import Backbeat
app = Backbeat("bench")
"""
WINDOW = 6
"""Seconds from a kill to the new start of what was killed; longer than a gap may be."""


def main() -> None:
    """Kill, measure, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--redbeat-kills", type=int, default=1)
    options = parser.parse_args()
    if min(options.kills, options.redbeat_kills) < 1:
        parser.error("expected at least one kill on each side, since the result is a ratio")

    ours, checks = _ours(options.kills, options.rate)
    theirs = _redbeat(options.redbeat_kills, options.rate)
    rows = [("", "kills", "gap median s", "gap p99 s", "gap max s")]
    for name, gaps in (("backbeat", ours), ("redbeat (10 s lock)", theirs)):
        rows.append((name, len(gaps), f"{statistics.median(gaps):.2f}", f"{_p99(gaps):.2f}", f"{max(gaps):.2f}"))
    ratios = {"redbeat": statistics.median(theirs) / statistics.median(ours)}
    checks["gaps over 5 s"] = sum(gap > 5 for gap in ours)
    harness.report("failover", rows, ratios, {"backbeat": ours, "redbeat": theirs}, checks)


def _ours(kills: int, rate: int) -> tuple[list[float], dict[str, int]]:
    with harness.folder() as place, _server(place) as server:
        fleet = _fleet(place, server.url)
        store = Store(Slots(connect(server.url)))
        every_second = (Schedule(Every("1s")),)
        specs = [JobSpec(f"j{n:04d}", "bench.work", schedules=every_second, overlap=Overlap.ALLOW) for n in range(rate)]
        store.index.put_many(specs)
        began = min(moment for moment in store.index.next_times([spec.name for spec in specs]).values() if moment)
        killed_at = []
        for number in range(kills):
            eventually(lambda: _all_led(store), within=30)
            time.sleep(1)
            fleet[number % 2].kill()
            killed_at.append(store.slots.now_ms())
            time.sleep(WINDOW)
            fleet[number % 2].start()
            so_far = _gap(_lateness(store, _ids(store, 2 * WINDOW * rate)), killed_at[-1])
            harness.say(f"kill {number + 1} of {kills}: nobody fired for {so_far:.2f} s")
        last = store.slots.now_ms() - 10_000
        for beat in fleet:
            beat.stop()
        ids = _ids(store)
        lateness = _lateness(store, ids)
    gaps = [_gap(lateness, at) for at in killed_at]
    expected = {occurrence_id(spec.name, moment) for spec in specs for moment in range(began, last, 1000)}
    return gaps, {"lost": len(expected - set(ids)), "doubled": len(ids) - len(set(ids))}


def _fleet(place: Path, url: str) -> list[OwnProcess]:
    """Two plain `celery beat` with our scheduler and default settings."""
    (place / "bench_app.py").write_text(APP)
    paths = f"{place}{os.pathsep}{harness.ROOT / 'platform'}"
    env = {**os.environ, "REDIS_URL": url, "BACKBEAT_HOME": str(place), "PYTHONPATH": paths}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    argv = [sys.executable, "-m", "celery", "-A", "bench_app", "beat", "-S", "backbeat.Scheduler", "--pidfile=", "-l", "ERROR"]
    fleet = [OwnProcess(f"beat{number}", argv, place, env) for number in (1, 2)]
    for beat in fleet:
        beat.start()
    return fleet


def _all_led(store: Store) -> bool:
    """Whether two schedulers are alive and every shard is led."""
    now = store.slots.now_ms()
    leases = [store.slots.client.hmget(keys.lease, "h", "u") for keys in store.slots.all]
    return all(int(until or 0) > now for _, until in leases) and len({holder for holder, _ in leases}) == 2


def _ids(store: Store, newest: int = 0) -> list[str]:
    """The runs in the broker's queue; only about so many of the newest where a number is given."""
    return [json.loads(message)["headers"]["id"] for message in store.slots.client.lrange("default.p5", 0, newest - 1)]


def _gap(lateness: list[tuple[int, int]], at: int) -> float:
    """The greatest lateness (seconds) of what fell due in the window after a kill at `at` (epoch ms)."""
    return max(late for nominal, late in lateness if at <= nominal < at + WINDOW * 1_000) / 1_000


def _lateness(store: Store, ids: list[str]) -> list[tuple[int, int]]:
    """(nominal ms, ms from then to the creation of the run) of every run."""
    nominal = {run_id: to_ms(datetime.fromisoformat(run_id.split("@")[1])) for run_id in ids}
    return [(nominal[run_id], int(fields["c"]) - nominal[run_id]) for run_id, fields in store.ledger.read(ids).items()]


def _redbeat(kills: int, rate: int) -> list[float]:
    with harness.folder() as place, _server(place) as server:
        argv = [harness.peer_python(), harness.SIDES / "failover_redbeat.py", server.tcp_url, rate]
        fleet = [OwnProcess(f"redbeat{number}", [*argv, number], place, dict(os.environ)) for number in (1, 2)]
        fleet[0].start()
        eventually(lambda: server.client().llen("celery"), within=60)
        fleet[1].start()
        return [gap - 1.0 for gap in _killed(server.client(), "celery", fleet, kills)]


def _killed(client: Any, queue: str, fleet: list[OwnProcess], kills: int) -> list[float]:
    """The gap around each kill; a killed scheduler is started again before the next."""
    eventually(lambda: client.llen(queue), within=60)
    gaps = []
    for number in range(kills):
        _watch(client, queue, 4.0)
        victim = fleet[number % 2]
        victim.kill()
        gaps.append(_watch(client, queue, 30.0))
        harness.say(f"kill {number + 1} of {kills} ({victim.name}): {gaps[-1]:.2f} s")
        victim.start()
        time.sleep(1)
    return gaps


def _watch(client: Any, queue: str, seconds: float) -> float:
    """The longest time without a new message, over some seconds."""
    end = time.monotonic() + seconds
    known, since, longest = client.llen(queue), time.monotonic(), 0.0
    while time.monotonic() < end:
        now, length = time.monotonic(), client.llen(queue)
        if length != known:
            known, since = length, now
        longest = max(longest, now - since)
        time.sleep(0.005)
    return longest


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


@contextlib.contextmanager
def _server(place: Path) -> Any:
    server = RedisServer(place)
    server.start()
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    main()
