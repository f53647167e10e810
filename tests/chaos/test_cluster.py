"""A whole deployment whose ledger is a Redis Cluster: schedules fire, runs and graphs run, and a master may die meanwhile."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from backbeat.core.dag import Dag
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.when import Every
from backbeat.store.cluster import pool_of
from tests.acceptance.test_dags import NODES, ended, submit, sync
from tests.core.graphs import of
from tests.support.cluster import ClusterServers, running_cluster
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.slow]

EVERY_MS = 500
JOBS = [f"tick{number}" for number in range(9)]


@pytest.fixture(scope="module")
def cluster(server_folder: Path) -> Iterator[ClusterServers]:
    with running_cluster(server_folder, "mortal") as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterServers, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    env = {"BACKBEAT_RUN_LEASE": "6s", "BACKBEAT_REQUEUE_AFTER": "8s", "BACKBEAT_SCHEDULER_LEASE": "2s"}
    made = Deployment(tmp_path_factory.mktemp("cluster"), cluster.url, redis_server.broker_url, **env)
    (made.folder / "probe_nodes.py").write_text(NODES)
    (made.folder / "celeryconfig.py").write_text('imports = ("probe_nodes",)\n')
    sync(made)
    for start in (made.beat, made.worker, made.keeper):
        start()
    schedules = (Schedule(Every(f"{EVERY_MS}ms")),)
    made.define(*(JobSpec(name, "probe.work", schedules=schedules, overlap=Overlap.ALLOW) for name in JOBS))
    yield made
    made.stop()


def fires(site: Deployment, job: str) -> int:
    return sum(1 for run_id in site.effects() if run_id.startswith(f"{job}@"))


def graph(name: str, seconds: float = 0.0) -> Dag:
    nodes = of(a="", b="a", c="a", d="a", e="b c d", f="e").nodes
    return Dag(name, tuple(node._replace(job="node.work", kwargs={"seconds": seconds}) for node in nodes))


def test_schedules_on_every_master_fire_and_are_recorded(site: Deployment) -> None:
    masters = {pool_of(site.client, site.store.slots.of(job).due) for job in JOBS}

    eventually(lambda: min(fires(site, job) for job in JOBS) >= 3, within=60, message=site.story)
    eventually(
        lambda: all(site.state(run_id) == "succeeded" for run_id in list(site.effects())[:9]), within=30, message=site.story
    )

    assert len(masters) == 3
    assert set(site.effects().values()) == {1}


def test_a_graph_and_one_over_a_list_run_on_a_cluster(site: Deployment) -> None:
    assert ended(site, submit(site, graph("fanned"))) == "succeeded"
    run_id = site.submit("coded", "1", count=20)
    assert ended(site, run_id) == "succeeded"

    [kept] = site.folder.glob("effects.log.coded*keep*")
    assert json.loads(kept.read_text()) == {"result": sum(2 * number + 1 for number in range(20)) + 1, "count": 20}


def test_what_is_asked_for_by_the_command_line_is_answered(site: Deployment) -> None:
    eventually(lambda: fires(site, JOBS[0]) >= 1, within=60, message=site.story)

    told = json.loads(site.command(sys.executable, "-m", "backbeat.cli", "scheduler", "status", "-o", "json"))
    asked = site.submit("probe.loop", "stopped", seconds=60)
    eventually(lambda: site.effects("begin")[asked] == 1, within=30, message=site.story)
    site.command(sys.executable, "-m", "backbeat.cli", "run", "cancel", asked)

    assert told
    eventually(lambda: site.state(asked) == "cancelled", within=30, message=site.story)


def test_entries_of_redbeats_own_api_fire(site: Deployment) -> None:
    save = (
        "import probe_app; from celery.schedules import schedule; from redbeat import RedBeatSchedulerEntry as Entry; "
        "Entry('theirs', 'probe.work', schedule(1.0), app=probe_app.app).save()"
    )

    site.command(sys.executable, "-c", save)

    theirs = lambda: [run_id for run_id in site.effects() if "theirs" in run_id]  # noqa: E731
    eventually(lambda: len(theirs()) >= 2, within=30, message=site.story)


def test_a_master_dies_and_its_replica_takes_over(site: Deployment, cluster: ClusterServers) -> None:
    eventually(lambda: min(fires(site, job) for job in JOBS) >= 1, within=60, message=site.story)
    port = cluster.masters[0].port
    lost = [job for job in JOBS if pool_of(site.client, site.store.slots.of(job).due).connection_kwargs["port"] == port]
    under_way = submit(site, graph("crossing", seconds=1.0))
    eventually(lambda: site.effects("begin")[f"{under_way}/a"] == 1, within=30, message=site.story)

    cluster.masters[0].stop(signal.SIGKILL)
    eventually(lambda: cluster.replica.replication()["role"] == "master", within=30, message=cluster.replica.logs)
    before = {job: fires(site, job) for job in JOBS}

    assert lost
    eventually(lambda: min(fires(site, job) - before[job] for job in JOBS) >= 4, within=60, message=site.story)
    assert ended(site, under_way) == "succeeded"
    assert ended(site, submit(site, graph("afterwards"))) == "succeeded"
    every_occurrence_ran_or_has_a_reason(site)


def every_occurrence_ran_or_has_a_reason(site: Deployment) -> None:
    """Stop the firing, and compare what was due with what came of it."""
    site.processes["beat"].stop()
    last = site.store.index.next_times(JOBS)

    def known() -> bool:
        rows = site.rows("select run_id, schedule, state, attempts from backbeat_run where schedule like 'tick%'")
        gone = dict(site.rows("select job, sum(count) from backbeat_omission where job like 'tick%' group by job"))
        for job in JOBS:
            mine = {run_id: attempts for run_id, name, state, attempts in rows if name == job and state == "succeeded"}
            moments = range(min(map(_moment, mine)), int(last[job] or 0), EVERY_MS)
            assert set(mine) <= {occurrence_id(job, moment) for moment in moments}
            assert len(mine) + gone.get(job, 0) == len(moments), (job, len(mine), gone, len(moments))
            assert all(1 <= site.effects()[run_id] <= attempts for run_id, attempts in mine.items())
        return True

    eventually(known, within=60, every=0.5, message=site.story)


def _moment(run_id: str) -> int:
    return round(datetime.fromisoformat(run_id.partition("@")[2]).timestamp() * 1000)
