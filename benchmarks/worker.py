"""How many jobs a second does a worker do, with claims and history on?

usage: worker.py [--rounds 3] [--count 4000] [--broker redis|rabbitmq] [--sides backbeat,batched,celery,…]
                 [--trips 300] [--memory 0]

Equal for all: a Redis-compatible server a round (append-only file, everysec), two worker processes, a job that appends its
number to a file in one write, messages that are all there before the worker starts. The rate is that of the last nine
tenths, counted in the file; every number must stand there once. Bare Celery has the settings of ours (acks_late, prefetch 1,
events on); `celery-no-events` has them off. Ours claims and finishes each run in the ledger, and its events are counted in
the stream that history is made of. `batched` is `batch=100`, and gets twenty times as many, huey five times, so that they take
seconds as the others do: within one second huey's rate scatters by a factor of two. dramatiq, taskiq and huey have
Redis alone; taskiq and dramatiq acknowledge after the work, huey does not acknowledge: it loses what a killed worker had.

`--trips` asks for so many jobs one at a time, fifty a second, and tells the time from asking to beginning: what the ledger
adds is the difference to bare Celery, and neither keeps a result. `--memory` lets one worker of ours do so many jobs and
weighs its processes each tenth of them.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
from sides import weighing

from backbeat.conf import Settings
from backbeat.runtime.app_defaults import defaults
from tests.support.processes import OwnProcess
from tests.support.servers import RabbitServer, RedisServer

OURS_ALONE = ("task_routes", "worker_consumer", "beat_scheduler", "result_backend", "redbeat_redis_url", "redbeat_redis_options")
EVENTS = ("worker_send_task_events", "task_send_sent_event", "task_track_started")
CELERY = ("celery", "worker", "-c", "2", "-l", "WARNING", "-Q")
BARE = "bare.p5"
"""A queue of its own: on RabbitMQ ours has a dead letter queue, of which bare Celery does not know."""
PATIENCE = 400.0
WORKERS = {
    "backbeat": ("worker_ours", (*CELERY, "default.p5")),
    "batched": ("worker_ours", (*CELERY, "default.p5")),
    "celery": ("worker_celery", (*CELERY, BARE)),
    "celery-no-events": ("worker_celery", (*CELERY, BARE)),
    "dramatiq": ("worker_dramatiq", ("dramatiq", "worker_dramatiq", "-p", "2", "-t", "4")),
    "taskiq": ("worker_taskiq", ("taskiq", "worker", "worker_taskiq:broker", "-w", "2", "--log-level", "WARNING")),
    "huey": ("worker_huey", ("huey.bin.huey_consumer", "worker_huey.huey", "-w", "2", "-k", "process", "-q")),
}
MORE = {"batched": 20, "huey": 5}
ON_REDIS = ("dramatiq", "taskiq", "huey")
OURS = ("backbeat", "batched")
TRIPS = ("backbeat", "celery")


def main() -> None:
    """Measure, interleaved, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=4_000)
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--sides", default=",".join(WORKERS))
    parser.add_argument("--trips", type=int, default=300)
    parser.add_argument("--memory", type=int, default=0)
    options = parser.parse_args()

    names = [name for name in options.sides.split(",") if options.broker == "redis" or name not in ON_REDIS]
    told = all_of(options, names)
    rates = {name: told[name] for name in names}
    rows = [("", "jobs/s"), *((name, f"{harness.median(found, 'jobs_per_s'):,.0f}") for name, found in rates.items())]
    ratios = {
        f"{ours} / {peer}": harness.paired(rates[ours], rates[peer], "jobs_per_s")
        for ours in OURS
        for peer in names
        if ours in rates and peer not in OURS
    }
    checks = {
        check: sum(answer[check] for name in (*OURS, "memory") for answer in told.get(name, ()))
        for check in ("lost", "doubled", "unrecorded")
    }
    if all(f"trip {name}" in told for name in TRIPS):
        tell_trips(told, rows, ratios)
    if "memory" in told:
        rows += [(f"memory after {done:,} jobs", f"{kib / 1024:.1f} MiB") for done, kib in told["memory"][0]["weights"]]
        ratios["memory grown"] = told["memory"][0]["grown"]
        checks["memory grows"] = int(ratios["memory grown"] > weighing.ALLOWED)
    harness.report("worker", rows, ratios, told, checks)


def all_of(options: argparse.Namespace, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Whatever was asked for, measured."""
    with brokers(options.broker) as (redis, broker_url):
        sides = {name: lambda name=name: measured(name, options.count, redis, broker_url) for name in names}
        for name in TRIPS if options.trips else ():
            if name in names:
                sides[f"trip {name}"] = lambda name=name: trip(name, options.trips, redis, broker_url)
        told = harness.in_turn(options.rounds, sides)
        if options.memory:
            told["memory"] = [measured("backbeat", options.memory, redis, broker_url, weighing.Scales(options.memory))]
    return told


def tell_trips(told: dict[str, list[dict[str, Any]]], rows: list[Any], ratios: dict[str, float]) -> None:
    """Add the milliseconds that the ledger adds."""
    for figure, words in (("p50_ms", "from asking to beginning"), ("sent_p50_ms", "from sending to beginning")):
        ours, theirs = (harness.median(told[f"trip {name}"], figure) for name in TRIPS)
        rows += [(f"ms {words}, p50: {name}", f"{took:.2f}") for name, took in zip(TRIPS, (ours, theirs), strict=True)]
        ratios[f"added ms {words}"] = ours - theirs


@contextmanager
def brokers(kind: str) -> Iterator[tuple[RedisServer, str]]:
    """The ledger's server, and the URL of the broker."""
    with harness.folder() as place:
        servers: list[Any] = [RedisServer(place)]
        if kind == "rabbitmq":
            (place / "rabbit").mkdir(mode=0o711)
            servers.append(RabbitServer(place / "rabbit"))
        for server in servers:
            server.start()
        try:
            yield servers[0], servers[-1].url if kind == "rabbitmq" else servers[0].tcp_url
        finally:
            for server in reversed(servers):
                server.stop()


def trip(name: str, count: int, redis: RedisServer, broker_url: str) -> dict[str, Any]:
    """How long jobs take from being asked for to their beginning, when nothing else is to be done."""
    module, command = WORKERS[name]
    with redis.client() as client:
        client.flushall()
    with harness.folder() as place:
        env = environment(name, redis, broker_url, place)
        worker = OwnProcess(name, argv_of(Path(sys.executable), module, command), harness.SIDES, env)
        worker.log = place / "worker.log"
        worker.start()
        try:
            ask = [sys.executable, f"{module}.py", "trips"]
            # The first ones wait for the worker to start, and make both warm.
            subprocess.run([*ask, "50"], cwd=harness.SIDES, env=env, check=True, capture_output=True)
            until(lambda: lines_of(place / "effects") >= 50, worker)
            (place / "effects").write_bytes(b"")
            asked = subprocess.run(
                [*ask, str(count)], cwd=harness.SIDES, env=env, check=True, capture_output=True, text=True
            ).stdout
            until(lambda: lines_of(place / "effects") >= count, worker)
        finally:
            worker.stop(signal.SIGTERM)
        began = dict(map(str.split, (place / "effects").read_text().splitlines()))
    times = [(int(began[number]), int(before), int(after)) for number, before, after in map(str.split, asked.splitlines())]
    whole = sorted((begin - before) / 1e6 for begin, before, _ in times)
    worker_alone = sorted((begin - after) / 1e6 for begin, _, after in times)
    return {
        "p50_ms": whole[len(whole) // 2],
        "p99_ms": whole[len(whole) * 99 // 100],
        "sent_p50_ms": worker_alone[len(whole) // 2],
    }


def until(true: Callable[[], bool], worker: OwnProcess) -> None:
    """Wait for a fact, as long as the worker lives."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if not worker.alive or time.monotonic() > deadline:
            raise RuntimeError(f"{worker.name}: not all jobs were done\n{worker.logs(4000)}")
        time.sleep(0.01)


def lines_of(file: Path) -> int:
    """How many lines a file has; none when there is no such file."""
    return Lines(file).count()


class Lines:
    """The lines of a file that grows. Each byte is read once: whoever counts must not take the workers' cores."""

    def __init__(self, file: Path) -> None:
        self._file, self._read, self._count = file, 0, 0

    def count(self) -> int:
        """How many there are by now; none when there is no such file."""
        if self._file.exists():
            with self._file.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            self._read, self._count = self._read + len(new), self._count + new.count(b"\n")
        return self._count


def measured(name: str, count: int, redis: RedisServer, broker_url: str, scales: weighing.Scales | None = None) -> dict[str, Any]:
    """Fill the queue, start the worker, count effects until all are there."""
    module, command = WORKERS[name]
    ours, total = module == "worker_ours", count * MORE.get(name, 1)
    with redis.client() as client:
        client.flushall()
    with harness.folder() as place:
        env = environment(name, redis, broker_url, place)
        python = Path(sys.executable) if ours or "celery" in name else harness.peer_python()
        batch = ["100" if name == "batched" else "1"] if ours else []
        subprocess.run([python, f"{module}.py", str(total), *batch], cwd=harness.SIDES, env=env, check=True)
        worker = OwnProcess(name, argv_of(python, module, command), harness.SIDES, env)
        worker.log = place / "worker.log"
        worker.start()
        try:
            rate = drained(worker, place / "effects", total, scales)
        finally:
            worker.stop(signal.SIGTERM)
        numbers = (place / "effects").read_text().split()
        told = total
        if ours:
            done = subprocess.run(
                [python, f"{module}.py"], cwd=harness.SIDES, env=env, check=True, capture_output=True, text=True
            )
            told = int(done.stdout)
    lost, doubled = total - len(set(numbers)), len(numbers) - len(set(numbers))
    weights = scales.result() if scales else {}
    return {"jobs_per_s": rate, "lost": lost, "doubled": doubled, "unrecorded": total - told, **weights}


def argv_of(python: Path, module: str, command: Sequence[str]) -> list[str | Path]:
    """The worker's command line; Celery's needs the name of the app."""
    program, *arguments = command
    return [python, "-m", program, *(["-A", module] if program == "celery" else []), *arguments]


def environment(name: str, redis: RedisServer, broker_url: str, place: Path) -> dict[str, str]:
    """What all sides are told."""
    celery = defaults(Settings(redis_url=redis.tcp_url, broker_url=broker_url, database_url=f"sqlite:///{place}/x.sqlite3"))
    same = {option: value for option, value in celery.items() if option not in OURS_ALONE} | {"task_default_queue": BARE}
    if name == "celery-no-events":
        same |= dict.fromkeys(EVENTS, False)
    own = {"PYTHONPATH": os.pathsep.join([str(harness.ROOT / "platform"), str(harness.SIDES)]), "EFFECTS": str(place / "effects")}
    urls = {"BROKER_URL": broker_url, "REDIS_URL": redis.tcp_url, "DATABASE_URL": f"sqlite:///{place}/x.sqlite3"}
    return {**os.environ, **own, **urls, "BACKBEAT_HOME": str(place), "CELERY_SETTINGS": json.dumps(same)}


def drained(worker: OwnProcess, effects: Path, total: int, scales: weighing.Scales | None = None) -> float:
    """Jobs a second from the first tenth to the last job."""
    began: tuple[float, int] | None = None
    lines, deadline = Lines(effects), time.monotonic() + PATIENCE
    while time.monotonic() < deadline and worker.alive:
        count, now = lines.count(), time.monotonic()
        if scales:
            scales.look(worker.pid, count)
        if began is None and count >= total // 10:
            began = now, count
        if began is not None and count >= total:
            # The effect comes before the acknowledgement and, with us, before the end is told.
            time.sleep(1)
            return (count - began[1]) / max(now - began[0], 1e-3)
        time.sleep(0.01)
    raise RuntimeError(f"{worker.name}: not all jobs were done\n{worker.logs(4000)}")


main()
