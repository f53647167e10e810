"""How many jobs a day do two cores carry, from due to recorded in PostgreSQL, and how late are they?

usage: day.py [--minutes 10] [--schedules 100000] [--rounds 1] [--sides redbeat,backbeat,batched] [--rates redbeat=300,…]

Each side is a whole deployment: a Redis-compatible server (append-only file, everysec), a PostgreSQL, a scheduler, and workers
with acks_late, prefetch 1 and events on. The job appends its number to a file. Ours has one scheduler, one keeper and one worker
with two children; RedBeat + Celery + django-celery-results has one scheduler and one worker with three, since its workers
record their results themselves: so both have five processes. `batched` is ours with batch=100.

All sides have as many schedules, spread evenly over a period, so that a steady number of them falls due each second. How
many a side can do is looked for first (unless --rates says it), with a fifth of the schedules for a quarter of a minute each
time: a quarter more while it holds its rate, a quarter less while it does not. Then each side is given the highest rate that it
held for so many minutes, in turn.

jobs/s counts rows that were committed within these minutes. Lag is from due to that commit, by the database's own notes of
commit times: of all runs that fell due in these minutes with us; with RedBeat of the first of each schedule, since it counts an
interval from when it last fired. A side held its rate when it recorded 97 of 100 and 99 of 100 within ten seconds.
`cores` are those of the side's own processes, `all cores` what the whole machine was busy with: much more of these means that
something else ran beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import psycopg
from sides.usage import Usage, busy_s, children_of, usage_of, with_children

from backbeat.conf import Settings
from backbeat.runtime.app_defaults import defaults
from tests.support.processes import OwnProcess
from tests.support.servers import PostgresServer, RedisServer, postgres_bin

FIRST_LOOK = {"redbeat": 200.0, "backbeat": 300.0, "batched": 3_000.0}
LOOK_FOR, LOOK_AT, MORE, LOOKS, DRAIN = 15.0, 5, 1.25, 8, 20.0
CAUGHT_UP, SETTLE = 2.0, 5.0
OURS_ALONE = ("task_routes", "worker_consumer", "beat_scheduler", "result_backend", "redbeat_redis_url", "redbeat_redis_options")
EPOCH = 1_577_836_800
DAYS = {"backbeat": ("100 million", 1_157), "batched": ("1 billion", 11_574)}
LATEST, HELD = 10.0, 0.97
TOLD = {
    True: """SELECT right(schedule, 7)::int number, extract(epoch from nominal) due, true first,
        extract(epoch from pg_xact_commit_timestamp(xmin)) recorded FROM backbeat_run WHERE state = 'succeeded'""",
    False: """SELECT number, {start} + number % {period} due, row_number() OVER (PARTITION BY number ORDER BY id) = 1 first,
        recorded FROM (SELECT id, substring(task_args from '[0-9]+')::int number,
        extract(epoch from pg_xact_commit_timestamp(xmin)) recorded
        FROM django_celery_results_taskresult WHERE status = 'SUCCESS') done""",
}


def main() -> None:
    """Look for each side's rate, measure it there, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--warm-up", type=float, default=45.0, help="seconds at most in which a side catches up before the measured time"
    )
    parser.add_argument("--sides", default="redbeat,backbeat,batched")
    parser.add_argument("--rates", default="", help="jobs a second that a side is given, such as redbeat=300,batched=5000")
    options = parser.parse_args()
    names = options.sides.split(",")
    rates = {name: float(rate) for name, _, rate in (pair.partition("=") for pair in options.rates.split(",") if pair)}

    with servers() as (redis, postgres):
        deployments = {name: Deployment(name, redis, postgres, options.schedules, options.warm_up) for name in names}
        few = options.schedules // LOOK_AT
        looks = {name: Deployment(name, redis, postgres, few, options.warm_up) for name in names}
        rates = {name: rates.get(name) or looked_for(name, looks[name]) for name in names}
        sides = {name: lambda name=name: deployments[name].measured(rates[name], options.minutes * 60) for name in names}
        answers = harness.in_turn(options.rounds, sides)
    told(answers)


def looked_for(name: str, deployment: Deployment) -> float:
    """The highest rate that a side held for a while, or the lowest that was tried when it held none."""
    rate, held, failed = FIRST_LOOK[name], 0.0, False
    for _ in range(LOOKS):
        answer = deployment.measured(rate, LOOK_FOR)
        harness.say(f"{name} is given {rate:,.0f} a second and does {answer['jobs_per_s']:,.0f}, p99 {answer['lag_p99_s']:.1f} s")
        if answer["held"] and failed:
            return rate
        if held and not answer["held"]:
            return held
        held, failed = (rate, False) if answer["held"] else (0.0, True)
        rate = rate * MORE if held else rate / MORE
    return held or rate


def told(answers: dict[str, list[dict[str, Any]]]) -> None:
    """Tables, words, and the line of JSON."""
    figures = {
        "due_per_s": 0,
        "jobs_per_s": 0,
        "lag_p50_s": 2,
        "lag_p99_s": 2,
        "lag_max_s": 2,
        "cores": 2,
        "machine_cores": 2,
        "us_a_job": 0,
        "mb": 0,
    }
    rows: list[tuple[str, ...]] = [
        ("", "due/s", "jobs/s", "lag p50 s", "lag p99 s", "lag max s", "cores", "all cores", "CPU us a job", "MB")
    ]
    for name, side in answers.items():
        middle = {figure: harness.median(side, figure) for figure in figures}
        rows.append((name, *(f"{middle[figure]:,.{digits}f}" for figure, digits in figures.items())))
    for name, side in answers.items():
        each = (f"{process} {used['cores']:.2f} cores {used['mb']:,.0f} MB" for process, used in side[0]["processes"].items())
        harness.say(f"{name}: {'; '.join(each)}")
    for name in DAYS.keys() & answers.keys():
        harness.say(verdict(name, answers[name]))
    ratios = {
        f"{ours} / redbeat": harness.paired(answers[ours], answers["redbeat"], "jobs_per_s")
        for ours in DAYS
        if ours in answers and all(answer["jobs_per_s"] for answer in answers.get("redbeat", [{"jobs_per_s": 0}]))
    }
    ours = [answer for name in DAYS for answer in answers.get(name, ())]
    checks = {check: sum(answer[check] for answer in ours) for check in ("lost", "doubled")}
    harness.report("day", rows, ratios, answers, checks)


def verdict(name: str, side: list[dict[str, Any]]) -> str:
    """Whether these cores hold the mean of so many jobs a day."""
    jobs, held = harness.median(side, "jobs_per_s"), all(answer["held"] for answer in side)
    words, mean = DAYS[name]
    does = "hold" if held and jobs >= mean else "do not hold"
    kept = "" if held else ", and that not for long"
    they = f"These {os.cpu_count()} cores {does} the mean of {words} jobs a day ({mean:,}/s)"
    return f"{name}: {they}. They record {jobs:,.0f}/s{kept}: {jobs * 86_400 / 1e6:,.0f} million a day, {jobs / mean:.2f} of it."


@contextmanager
def servers() -> Iterator[tuple[RedisServer, PostgresServer]]:
    """One of each for all sides, which take turns."""
    found = postgres_bin()
    if found is None:
        raise SystemExit("PostgreSQL is not installed; `make test` brings it on Debian and Ubuntu")
    with harness.folder() as place:
        for name in ("pg", "redis"):
            (place / name).mkdir(mode=0o711)
        redis = RedisServer(place / "redis", options=harness.STEADY)
        postgres = PostgresServer(place / "pg", found, options=("-c", "track_commit_timestamp=on"))
        for server in (redis, postgres):
            server.start()
        try:
            yield redis, postgres
        finally:
            postgres.stop()
            redis.stop()


class Deployment:
    """One side: it is made anew for each measurement."""

    def __init__(self, name: str, redis: RedisServer, postgres: PostgresServer, schedules: int, warm_up: float) -> None:
        self._name, self._redis, self._postgres, self._schedules = name, redis, postgres, schedules
        self._warm_up = warm_up
        self._ours = name != "redbeat"
        self._base = postgres.url.rpartition("/")[0]

    def measured(self, rate: float, seconds: float) -> dict[str, Any]:
        """Give it so many jobs a second for a while."""
        period = max(1, round(self._schedules / rate))
        self._empty()
        with harness.folder() as place:
            # Later than loading takes: after a tick longer than until its next entry was due RedBeat sleeps up to 300 s.
            env, start = self._environment(place), round(time.time()) + 15 + self._schedules // 2_500
            self._load(env, period, start)
            processes = self._processes(place, env)
            try:
                return self._watched(processes, place / "effects", period, start, seconds)
            finally:
                for process in processes.values():
                    process.stop(signal.SIGTERM)

    def _empty(self) -> None:
        with self._redis.client() as client:
            client.flushall()
        with psycopg.connect(self._postgres.url, autocommit=True) as session:
            session.execute("DROP DATABASE IF EXISTS day WITH (FORCE)")
            session.execute("CREATE DATABASE day")
            session.execute("CHECKPOINT")

    def _environment(self, place: Path) -> dict[str, str]:
        urls = {"BROKER_URL": self._redis.tcp_url, "REDIS_URL": self._redis.tcp_url, "DATABASE_URL": f"{self._base}/day"}
        paths = {"PYTHONPATH": os.pathsep.join(map(str, (harness.ROOT, harness.SIDES))), "EFFECTS": str(place / "effects")}
        env = {**os.environ, **urls, **paths, "BACKBEAT_HOME": str(place)}
        env.pop("DJANGO_SETTINGS_MODULE", None)
        if self._ours:
            return env | {"DJANGO_SETTINGS_MODULE": "webadmin.settings"}
        celery = defaults(Settings(redis_url=urls["REDIS_URL"], broker_url=urls["BROKER_URL"], database_url=urls["DATABASE_URL"]))
        same = {option: value for option, value in celery.items() if option not in OURS_ALONE} | {"task_default_queue": "bare.p5"}
        return env | {"CELERY_SETTINGS": json.dumps(same)}

    def _load(self, env: dict[str, str], period: int, start: int) -> None:
        if self._ours:
            harness.side("day_ours.py", self._schedules, period, 100 if self._name == "batched" else 1, ours=True, env=env)
        else:
            harness.side("day_redbeat.py", self._schedules, period, start, ours=False, env=env)
        told = TOLD[self._ours].format(start=start, period=period)
        with psycopg.connect(f"{self._base}/day", autocommit=True) as session:
            session.execute(f"CREATE VIEW told AS {told}".encode())

    def _processes(self, place: Path, env: dict[str, str]) -> dict[str, OwnProcess]:
        python = Path(sys.executable) if self._ours else harness.peer_python()
        celery = [python, "-m", "celery", "-A", "day_ours" if self._ours else "day_redbeat"]
        queue, children = ("default.p5", 2) if self._ours else ("bare.p5", 3)
        argv: dict[str, list[Any]] = {
            "worker": [*celery, "worker", "-c", children, "-Q", queue, "-l", "WARNING", "--without-mingle", "--without-gossip"],
            "beat": [*celery, "beat", "--pidfile=", "-l", "WARNING"],
        }
        if self._ours:
            argv["keeper"] = [python, "-m", "backbeat.cli", "keeper", "-A", "day_ours", "-l", "WARNING"]
        processes = {}
        for name, command in argv.items():
            processes[name] = OwnProcess(name, command, harness.SIDES, env)
            processes[name].log = place / f"{name}.log"
            processes[name].start()
        return processes

    def _watched(
        self, processes: dict[str, OwnProcess], effects: Path, period: int, start: int, seconds: float
    ) -> dict[str, Any]:
        """Wait until it runs, look at it for a while, let it finish what it has begun, and count."""
        deadline = time.monotonic() + 120
        while not self._asked("SELECT count(*) FROM told")[0]:
            if time.monotonic() > deadline or not all(process.alive for process in processes.values()):
                raise RuntimeError("\n".join(process.logs() for process in processes.values()))
            time.sleep(0.5)
        self._catch_up()
        before, busy, since = self._used(processes), busy_s(), time.time()
        time.sleep(seconds)
        after, busy, until = self._used(processes), busy_s() - busy, time.time()
        processes["beat"].stop(signal.SIGTERM)
        drained = self._drained(effects)
        answer = self._figures(since, until, period, start)
        answer |= _per_process(before, after, until - since, answer["jobs_per_s"] * (until - since))
        answer["machine_cores"] = busy / (until - since)
        done = Counter(map(int, effects.read_text().split()))
        answer["doubled"] = sum((done - self._rows()).values()) if drained else 0
        # What is still to be done after a while is late; it is lost when there is nothing left to do.
        answer["lost"] = answer["due"] - answer["came"] if drained and self._ours else 0
        return answer

    def _catch_up(self) -> None:
        """Wait, but not for ever, until what fell due while the processes started is done; then a little more."""
        deadline = time.monotonic() + self._warm_up
        while self._asked("SELECT coalesce(max(due), 0) FROM told WHERE first")[0] < time.time() - CAUGHT_UP:
            if time.monotonic() > deadline:
                return
            time.sleep(1.0)
        time.sleep(SETTLE)

    def _figures(self, since: float, until: float, period: int, start: int) -> dict[str, Any]:
        recorded = self._asked(f"SELECT count(*) FROM told WHERE recorded >= {since} AND recorded < {until}")[0]
        lags = "percentile_disc(array[0.5, 0.99]) WITHIN GROUP (ORDER BY recorded - due), max(recorded - due)"
        first, last, seconds = int(since) + 1, int(until), until - since
        came, spread, longest = self._asked(f"SELECT count(*), {lags} FROM told WHERE first AND due >= {first} AND due < {last}")
        # What fell due in these minutes and never came is later than anything.
        p50, p99 = map(float, spread or (DRAIN + seconds, DRAIN + seconds))
        base = EPOCH if self._ours else start
        moments = range(first, last) if self._ours else range(first, min(last, start + period))
        due = sum(len(range((second - base) % period, self._schedules, period)) for second in moments)
        rate = self._schedules / period
        jobs = recorded / (until - since)
        held = jobs >= HELD * rate and came >= HELD * due and p99 <= LATEST
        lag = {"lag_p50_s": p50, "lag_p99_s": p99, "lag_max_s": float(longest or p99)}
        return {"due_per_s": rate, "jobs_per_s": jobs, **lag, "due": due, "came": came, "held": held}

    def _drained(self, effects: Path) -> bool:
        """Wait until each effect has its row and no more come; whether that was so in time."""
        deadline, before = time.monotonic() + DRAIN, (-1, 0)
        while time.monotonic() < deadline:
            now = effects.read_bytes().count(b"\n"), int(self._asked("SELECT count(*) FROM told")[0])
            if now == before and now[0] == now[1]:
                return True
            before = now
            time.sleep(2.0)
        return False

    def _rows(self) -> Counter[int]:
        with psycopg.connect(f"{self._base}/day") as session:
            return Counter(dict(session.execute("SELECT number, count(*) FROM told GROUP BY number").fetchall()))

    def _asked(self, statement: str) -> tuple[Any, ...]:
        with psycopg.connect(f"{self._base}/day") as session:
            return session.execute(statement.encode()).fetchone() or ()

    def _used(self, processes: dict[str, OwnProcess]) -> dict[str, Usage]:
        """What each process has used so far; PostgreSQL's together."""
        found = {name: usage_of(process.pid) for name, process in processes.items()}
        children = sorted(children_of(processes["worker"].pid))
        found |= {f"child {number}": usage_of(pid) for number, pid in enumerate(children, 1)}
        return found | {"redis": usage_of(self._redis.pid), "postgresql": with_children(self._postgres.pid)}


def _per_process(before: dict[str, Usage], after: dict[str, Usage], seconds: float, jobs: float) -> dict[str, Any]:
    """Cores that each process kept busy, and its memory in the end."""
    processes = {
        name: {"cores": round((used.cpu_s - before[name].cpu_s) / seconds, 3), "mb": round(used.mb, 1)}
        for name, used in after.items()
        if name in before
    }
    cores = sum(used["cores"] for used in processes.values())
    whole = {
        "cores": cores,
        "us_a_job": cores * seconds / max(jobs, 1) * 1e6,
        "mb": sum(used["mb"] for used in processes.values()),
    }
    return {"processes": processes, **whole}


if __name__ == "__main__":
    main()
