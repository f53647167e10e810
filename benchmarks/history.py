"""How many rows of history a second does the recorder write, from the ledger's events in Redis to a commit in PostgreSQL?

usage: history.py [--rounds 5] [--runs 20000] [--singles 1000]

Equal for all: one PostgreSQL (fsync off, as nothing of this outlives the benchmark) over loopback TCP, a database of its own for
each side and round with the same tables, indexes and partitions, one process, the same runs: an occurrence that was claimed and
succeeded, with arguments and a result. A run is two rows: itself and its attempt.

backbeat reads the events of each run from Redis (one, since the ends of runs that no recorder has heard of take back their
starts), puts them together, writes the rows and acknowledges the events: all of that is timed. "writing" is the part of it from
events in memory to the commit. Raw COPY is psycopg's, of the same rows ready as Python
values, 2,000 runs a transaction: nothing else is timed. The ORM's ways get the same values as model instances: one save a row,
each its own transaction, and bulk_create by 1,000. django-celery-results stores a result for each run, one row a run, so it is
compared by runs. Those that write one by one get fewer runs.
"""

import argparse
import pickle
from pathlib import Path
from typing import Any

import harness
import psycopg

from tests.support.servers import PostgresServer, RedisServer, postgres_bin

WAYS = ("writing", "copy", "bulk_create", "save")


def main() -> None:
    """Measure, interleaved, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--singles", type=int, default=1_000)
    options = parser.parse_args()

    with harness.folder() as place, _Servers(place) as (postgres, redis_url):
        bench = _Bench(place, postgres, redis_url, options.runs, options.singles)
        bench.prepare()
        answers = harness.in_turn(options.rounds, bench.sides())
    ours = answers["backbeat"]
    rows = [("", "runs", "rows/s", "us of client CPU a run", "us of server CPU a run")]
    for name, side in answers.items():
        figures = [f"{harness.median(side, figure):,.0f}" for figure in ("rows_per_s", "client_us", "server_us")]
        rows.append((name, f"{side[0]['runs']:,}", *figures))
    ratios = {name: harness.paired(ours, answers[name], "rows_per_s") for name in WAYS if name != "writing"}
    ratios["writing / copy"] = harness.paired(answers["writing"], answers["copy"], "rows_per_s")
    ratios["django-celery-results"] = harness.paired(ours, answers["django-celery-results"], "runs_per_s")
    both = [*ours, *answers["writing"]]
    checks = {
        "runs missing": sum(options.runs - answer["stored_runs"] for answer in both),
        "attempts missing": sum(options.runs - answer["stored_attempts"] for answer in both),
        "rows that differ": sum(answer["different"] for answer in both),
        "events left": sum(answer["left"] for answer in ours),
    }
    harness.report("history", rows, ratios, answers, checks)


class _Bench:
    """The sides, each on a database made from one template."""

    def __init__(self, place: Path, postgres: PostgresServer, redis_url: str, runs: int, singles: int) -> None:
        self._place, self._postgres, self._redis_url, self._runs, self._singles = place, postgres, redis_url, runs, singles
        self._base = postgres.url.rpartition("/")[0]

    def prepare(self) -> None:
        """Make the template database, and by one run of ours the rows that the others write."""
        self._sql("CREATE DATABASE empty")
        self._side("migrate", "empty")
        database = self._fresh()
        self._side("backbeat", database, self._runs)
        with psycopg.connect(f"{self._base}/{database}") as session:
            tables = {name: _table(session, name) for name in ("backbeat_run", "backbeat_attempt")}
        (self._place / "rows").write_bytes(pickle.dumps(tables))

    def sides(self) -> dict[str, Any]:
        """Name -> what measures it once."""
        own = {name: lambda name=name: self._side(name, self._fresh(), self._count(name)) for name in ("backbeat", *WAYS)}
        results = lambda: harness.side("history_results.py", f"{self._base}/{self._fresh()}", self._singles, ours=False)  # noqa: E731
        return {**own, "django-celery-results": results}

    def _count(self, name: str) -> int:
        return self._singles if name == "save" else self._runs

    def _side(self, way: str, database: str, runs: int = 0) -> dict[str, Any]:
        env = {"DATABASE_URL": f"{self._base}/{database}", "REDIS_URL": self._redis_url, "BACKBEAT_HOME": str(self._place)}
        env |= {"DJANGO_SETTINGS_MODULE": "webadmin.settings"}
        return harness.side("history_ours.py", way, runs, self._place / "rows", ours=True, env=env)

    def _fresh(self) -> str:
        self._sql("DROP DATABASE IF EXISTS round WITH (FORCE)")
        self._sql("CREATE DATABASE round TEMPLATE empty")
        self._sql("CHECKPOINT")
        return "round"

    def _sql(self, statement: str) -> None:
        with psycopg.connect(self._postgres.url, autocommit=True) as session:
            session.execute(statement)


def _table(session: Any, name: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows as Python values; JSON as text, as it is sent, and no number that the database gives out."""
    cursor = session.execute(f"SELECT * FROM {name} LIMIT 0")
    columns = [column.name for column in cursor.description if column.name != "id"]
    listed = ", ".join(f"{column}::text" if column in ("args", "kwargs") else column for column in columns)
    return columns, session.execute(f"SELECT {listed} FROM {name}").fetchall()


class _Servers:
    """PostgreSQL and Redis for all rounds."""

    def __init__(self, place: Path) -> None:
        found = postgres_bin()
        if found is None:
            raise SystemExit("PostgreSQL is not installed; `make test` brings it on Debian and Ubuntu")
        for name in ("pg", "redis"):
            (place / name).mkdir(mode=0o711)
        self._postgres, self._redis = PostgresServer(place / "pg", found), RedisServer(place / "redis")

    def __enter__(self) -> tuple[PostgresServer, str]:
        self._postgres.start()
        self._redis.start()
        return self._postgres, self._redis.tcp_url

    def __exit__(self, *_: object) -> None:
        self._redis.stop()
        self._postgres.stop()


if __name__ == "__main__":
    main()
