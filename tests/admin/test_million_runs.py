"""A million runs in PostgreSQL: what the pages of runs cost does not grow with them. A tenth of that in the everyday suite."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backbeat.admin import months
from backbeat.admin.pages.browsing import COUNTED
from backbeat.admin.pages.run_search import LOGS_AT_ONCE, LOGS_READ

pytestmark = pytest.mark.parametrize("each_database", ["postgresql"], indirect=True)
many = pytest.mark.parametrize("runs", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])

LIST, FEW, JOBS = "/admin/backbeat/run/", COUNTED, 500
ONE = "job.number007@000000000000"
PAGES = {
    "all": "",
    "the next page": "?p=2",
    "the last page": f"?p={COUNTED // 50}",
    "a state that many have": "?state=succeeded",
    "a state that few have": "?state=failed",
    "a job": "?job=job.number007",
    "a job's failures": "?q=state:failed+job:job.number007",
    "the last hour": "?within=1h",
    "the beginning of an id": "?q=job.number007@",
    "a whole id": f"?q={ONE}",
    "what was logged": '?q=log:"no disk"',
    "one run": f"{quote(ONE)}/change/",
}
UNINDEXED = {"an error that few have": "?q=error:OSError", "a pool that nothing is in": "?q=pool:nowhere"}
"""These read all runs when there are few to find. It is told here so that nobody takes it for more than it is."""
RUNS = """
INSERT INTO backbeat_run (run_id, job, task, schedule, nominal, state, attempts, pool, queue, worker, queued_at, started_at,
    finished_at, reason, error_type, error_message, result, dag_run, node, month, seen)
SELECT name || '@' || lpad((number / {jobs})::text, 12, '0'), name, 'jobs.work', name, moment, state, 1, 'default',
    'default.p5', 'w@h', moment, moment, moment, '', CASE state WHEN 'failed' THEN 'OSError' ELSE '' END, '', '42', '', '',
    date_trunc('month', moment)::date, 1
FROM (
    SELECT number, 'job.number' || lpad((number % {jobs})::text, 3, '0') AS name,
        now() - number * interval '2 seconds' AS moment,
        CASE WHEN number % 997 = 0 THEN 'failed' ELSE 'succeeded' END AS state
    FROM generate_series({first}, {last}) number
) made
"""
ATTEMPTS = """
INSERT INTO backbeat_attempt (run_id, number, state, worker, started_at, finished_at, error_type, error_message, traceback, log,
    month, seen)
SELECT run_id, 1, state, worker, started_at, finished_at, error_type, '', '', CASE state WHEN 'failed' THEN 'no disk left'
    ELSE 'all is well' END, month, 1 FROM backbeat_run
WHERE NOT EXISTS (SELECT FROM backbeat_attempt done WHERE done.run_id = backbeat_run.run_id)
"""


@pytest.fixture
def client(each_database: str, admin_client: Client) -> Iterator[Client]:
    months.make_room(timezone.now() - timedelta(days=31))
    yield admin_client
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE backbeat_run, backbeat_attempt")


@many
def test_no_page_reads_more_runs_than_it_counts_or_asks_more_often(client: Client, runs: int) -> None:
    filled(0, FEW)
    few = {name: len(asked(client, address)) for name, address in PAGES.items()}
    filled(FEW, runs)

    queries = {name: asked(client, address) for name, address in PAGES.items()}
    reads = {name: sum(map(rows_read, texts)) for name, texts in queries.items()}

    assert {name: len(texts) for name, texts in queries.items()} == few
    assert max(asks for name, asks in few.items() if name != "what was logged") <= 15, few
    assert few["what was logged"] <= 15 + LOGS_READ / LOGS_AT_ONCE + 2, few
    # Counting, and as much again to show the last page; a search in logs reads so many runs and their attempts.
    assert max(reads.values()) <= 2 * COUNTED + 4 * LOGS_READ, reads
    assert max(reads[name] for name in ("one run", "a whole id")) <= 10, reads


@pytest.mark.long
def test_no_page_takes_longer_for_a_hundred_times_as_many_runs(client: Client) -> None:
    filled(0, FEW)
    few = {name: took(client, address) for name, address in (PAGES | UNINDEXED).items()}
    filled(FEW, 1_000_000)

    many = {name: took(client, address) for name, address in (PAGES | UNINDEXED).items()}

    told = "\n".join(f"{name:26} {few[name] * 1e3:7.0f} ms {many[name] * 1e3:7.0f} ms" for name in many)
    print(told)
    # A page of fifty rows and an answer to "how many, up to 10,000?".
    assert all(many[name] < 3 * few[name] + 0.1 for name in PAGES), told
    assert all(many[name] < 100 * few[name] + 0.05 for name in UNINDEXED), told


def filled(first: int, last: int) -> None:
    """Runs and their attempts, the newest first, as if the recorder had written them."""
    with connection.cursor() as cursor:
        cursor.execute(RUNS.format(jobs=JOBS, first=first, last=last - 1))
        cursor.execute(ATTEMPTS)
        cursor.execute("VACUUM ANALYZE backbeat_run, backbeat_attempt")


def took(client: Client, address: str) -> float:
    """Seconds of the quickest of seven: other work on the machine makes some of them slow."""
    return min(timed(client, address) for _ in range(7))


def timed(client: Client, address: str) -> float:
    began = time.perf_counter()
    assert client.get(LIST + address).status_code == 200
    return time.perf_counter() - began


def asked(client: Client, address: str) -> list[str]:
    """The queries of a page, of which there is one at least about runs."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(LIST + address).status_code == 200
    found = [query["sql"] for query in queries]
    assert any("backbeat_run" in sql for sql in found)
    return found


def rows_read(sql: str) -> int:
    """Rows that a query takes from the tables of runs and their indexes, those that a filter drops included."""
    if "backbeat_run" not in sql and "backbeat_attempt" not in sql:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        ((plan,),) = cursor.fetchall()
    return _scanned(plan[0]["Plan"])


def _scanned(node: dict[str, Any]) -> int:
    below = sum(_scanned(child) for child in node.get("Plans", ()))
    if "Relation Name" not in node:
        return below
    dropped = sum(value for key, value in node.items() if key.startswith("Rows Removed"))
    return below + round((node["Actual Rows"] + dropped) * node["Actual Loops"])
