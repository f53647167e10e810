"""The database goes away under load: jobs go on, events wait, and afterwards history has everything, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.when import Every
from backbeat.runtime.status import status
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.fixtures import missing
from tests.support.servers import PostgresServer, postgres_bin

pytestmark = [pytest.mark.redis, pytest.mark.postgresql]


@pytest.fixture
def postgresql(server_folder: Path) -> Iterator[PostgresServer]:
    """A server that may be stopped without harm to other tests."""
    found = postgres_bin()
    if found is None:
        missing("PostgreSQL", "postgresql")
    folder = server_folder / "pg-away"
    folder.mkdir(mode=0o711)
    server = PostgresServer(folder, found)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str, postgresql: PostgresServer) -> Iterator[Deployment]:
    made = Deployment(tmp_path, redis_url, DATABASE_URL=postgresql.url)
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("seconds", "jobs"), [(10, 5), pytest.param(600, 15, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_events_wait_for_the_database_and_none_is_lost(
    deployment: Deployment, postgresql: PostgresServer, seconds: int, jobs: int
) -> None:
    free = [f"free{n}" for n in range(jobs)]
    specs = [JobSpec(name, "probe.work", schedules=(Schedule(Every("1s")),), overlap=Overlap.ALLOW) for name in free]
    busy = JobSpec("busy", "probe.work", schedules=(Schedule(Every("1s"), kwargs={"seconds": 3.5}),), overlap=Overlap.SKIP)
    deployment.define(*specs, busy)
    store = deployment.store
    first = {name: due for name, due in store.index.next_times([*free, "busy"]).items() if due is not None}
    deployment.worker(children=4)
    for name in ("keeper", "keeper2"):
        deployment.keeper(name)
    deployment.beat()
    eventually(lambda: rows(postgresql, "select count(*) from backbeat_run where state = 'succeeded'")[0][0], within=60)

    postgresql.stop()
    stopped_at, worked = store.slots.now_ms(), sum(deployment.effects().values())
    eventually(lambda: store.slots.now_ms() > stopped_at + seconds * 1000, within=seconds + 60, every=0.5)
    during = status(store)
    assert sum(deployment.effects().values()) - worked > seconds * jobs // 2, deployment.story()
    assert during.backlog > seconds * jobs // 2
    assert during.backlog_ms > (seconds - 5) * 1000
    postgresql.start()

    deployment.processes["beat"].stop()
    last = min(due for due in store.index.next_times([*free, "busy"]).values() if due is not None)
    eventually(lambda: status(store).backlog == 0 and not unfinished(deployment), within=120, every=0.5, message=deployment.story)
    eventually(lambda: failing(deployment) == set(), within=30, message=lambda: f"{failing(deployment)}\n{deployment.story()}")
    ran = dict(rows(postgresql, "select run_id, state from backbeat_run"))
    expected = {occurrence_id(name, moment) for name in free for moment in range(first[name], last, 1000)}
    assert expected <= ran.keys()
    assert set(ran.values()) == {"succeeded"}
    assert dict(deployment.effects()) == dict.fromkeys(ran, 1)
    assert rows(postgresql, "select count(*) from backbeat_attempt") == [(len(ran),)]
    left_out = {
        moment for (moment,) in rows(postgresql, "select extract(epoch from first)::bigint * 1000 from backbeat_omission")
    }
    busy_ran = {moment for moment in range(first["busy"], last, 1000) if occurrence_id("busy", moment) in ran}
    assert busy_ran | left_out >= set(range(first["busy"], last, 1000))
    assert not busy_ran & left_out


def rows(postgresql: PostgresServer, sql: str) -> list[tuple]:
    with psycopg.connect(postgresql.url) as session:
        return session.execute(sql).fetchall()


def failing(deployment: Deployment) -> set[str]:
    """The duties of keepers that end in an error: each of them must get over the outage by itself."""
    keepers = [one for one in status(deployment.store).processes if one.kind == "keeper"]
    return {f"{name}: {duty['error']}" for one in keepers for name, duty in one.figures["duties"].items() if duty["error"]}


def unfinished(deployment: Deployment) -> int:
    return sum(one.unfinished for one in status(deployment.store).slots)
