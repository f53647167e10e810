"""How late are fires while very many schedules are held and edited?

usage: held.py [--count 100000] [--rate 2000] [--edits 50] [--seconds 20]

One plain `celery beat` with our scheduler and default settings, on a Redis-compatible server with an append-only file.
`--count` schedules are so spread that `--rate` of them fall due each second, and `--edits` definitions a second are
written while they fire. Lag is from the effective time of an occurrence to the creation of its run, both by the
server's clock, of every run that is found in the broker's queue; every occurrence is looked for there. There is no
peer in it: RedBeat fires 800 a second (see fires.py) and could not keep up. A million: --count 1000000.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import harness

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Every, to_ms
from backbeat.store.connect import connect
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
QUEUE = "default.p5"
CHUNK = 1_000


def main() -> None:
    """Load, fire, edit, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--edits", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()

    with harness.folder() as place:
        server = RedisServer(place)
        server.start()
        try:
            answer, checks = _measured(place, server, options)
        finally:
            server.stop()
    rows = [("schedules", "fires/s", "edits/s", "lag p50 ms", "lag p99 ms", "lag max ms", "beat RSS MB", "loaded/s")]
    names = ("fires_per_s", "edits_per_s", "lag_p50_ms", "lag_p99_ms", "lag_max_ms", "rss_mb", "loads_per_s")
    rows.append((f"{options.count:,}", *(f"{answer[name]:,.0f}" for name in names)))
    checks["lag p99 over 1 s"] = int(answer["lag_p99_ms"] > 1_000)
    harness.report("held", rows, {}, answer, checks)


def _measured(place: Path, server: RedisServer, options: argparse.Namespace) -> tuple[dict[str, float], dict[str, int]]:
    store = Store(Slots(connect(server.url)))
    period = max(1, options.count // options.rate)
    began = time.perf_counter()
    store.index.put_many(_spec(number, period) for number in range(options.count))
    loads = options.count / (time.perf_counter() - began)
    harness.say(f"{options.count:,} schedules loaded, {loads:,.0f} a second")
    beat = _beat(place, server.url)
    beat.start()
    eventually(lambda: store.slots.client.llen(QUEUE), within=60)
    seen: dict[str, int] = {}
    twice = _drained(store, seen)
    since, edits, start = store.slots.now_ms() + 1_000, 0, time.monotonic()
    until = since + options.seconds * 1_000
    while (passed := time.monotonic() - start) < options.seconds + 2:
        while edits < passed * options.edits:
            # The same timing: an edited schedule keeps its place, so that what must fire stays known.
            store.index.put(_spec(edits * 7919 % options.count, period, f"edit {edits}"))
            edits += 1
        twice += _drained(store, seen)
        time.sleep(0.02)
    rss = _rss_mb(beat.pid)
    eventually(lambda: store.slots.now_ms() > until + 3_000, within=60)
    beat.stop()
    twice += _drained(store, seen)
    rates = {"rss_mb": rss, "loads_per_s": loads, "edits_per_s": edits / passed}
    return _figures(seen, since, until, options.seconds) | rates, _checks(seen, since, until, options.count, period, twice)


def _figures(seen: dict[str, int], since: int, until: int, seconds: int) -> dict[str, float]:
    lags = sorted(created - _nominal(run_id) for run_id, created in seen.items() if since <= _nominal(run_id) < until)
    p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
    return {"fires_per_s": len(lags) / seconds, "lag_p50_ms": p50, "lag_p99_ms": p99, "lag_max_ms": lags[-1]}


def _checks(seen: dict[str, int], since: int, until: int, count: int, period: int, twice: int) -> dict[str, int]:
    """Whether every occurrence of the stretch came, and none twice."""
    found = Counter(_nominal(run_id) for run_id in seen)
    seconds = range((since + 999) // 1_000, until // 1_000)
    wanted = {second: len(range((second - int(EPOCH.timestamp())) % period, count, period)) for second in seconds}
    return {"lost": sum(max(0, number - found[second * 1_000]) for second, number in wanted.items()), "doubled": twice}


def _drained(store: Store, seen: dict[str, int]) -> int:
    """Take what is in the queue, note when each run was created (epoch ms), and forget the runs. How many were seen before."""
    client, twice = store.slots.client, 0
    while messages := client.lpop(QUEUE, CHUNK):
        times = Counter(json.loads(message)["headers"]["id"] for message in messages)
        twice += sum(times.values()) - len(times) + len(times.keys() & seen.keys())
        fresh = [run_id for run_id in times if run_id not in seen]
        seen |= {run_id: int(fields["c"]) for run_id, fields in store.ledger.read(fresh).items()}
        pipe = client.pipeline(transaction=False)
        for run_id in fresh:
            pipe.zrem(store.slots.of(run_id).timers, run_id)
            pipe.unlink(store.slots.of(run_id).run(run_id))
        pipe.execute()
    return twice


def _spec(number: int, period: int, note: str = "") -> JobSpec:
    every = Every(f"{period}s", anchor=EPOCH + timedelta(seconds=number % period))
    return JobSpec(f"j{number:07d}", "bench.work", schedules=(Schedule(every, args=(number, note)),), overlap=Overlap.ALLOW)


def _anchor_s(number: int) -> int:
    return int(EPOCH.timestamp()) + number


def _nominal(run_id: str) -> int:
    return to_ms(datetime.fromisoformat(run_id.split("@")[1]))


def _beat(place: Path, url: str) -> OwnProcess:
    (place / "bench_app.py").write_text('from backbeat import Backbeat\napp = Backbeat("bench")\n')
    paths = f"{place}{os.pathsep}{harness.ROOT / 'platform'}"
    env = {**os.environ, "REDIS_URL": url, "BACKBEAT_HOME": str(place), "PYTHONPATH": paths}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    argv: list[Any] = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "bench_app",
        "beat",
        "-S",
        "backbeat.Scheduler",
        "--pidfile=",
        "-l",
        "ERROR",
    ]
    return OwnProcess("beat", argv, place, env)


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
