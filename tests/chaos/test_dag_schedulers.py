"""Schedulers that are killed while a graph is due twice a second: one DAG run for each occurrence, one end for each node."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.core.dag import Dag
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.when import Every
from backbeat.runtime.binding import DAG_TASK
from tests.acceptance.test_dags import NODES, sync
from tests.core.graphs import of
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

EVERY_MS = 500
NAME = "ticking"
GRAPH = Dag(NAME, tuple(node._replace(job="node.work") for node in of(a="", b="a", c="a", d="b c").nodes), max_active=1_000)


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path, redis_server.url, BACKBEAT_SCHEDULER_LEASE="1s")
    (made.folder / "probe_nodes.py").write_text(NODES)
    (made.folder / "celeryconfig.py").write_text('imports = ("probe_nodes",)\n')
    sync(made)
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


@pytest.mark.slow
def test_a_scheduled_graph_runs_once_for_each_occurrence_whichever_scheduler_dies(site: Deployment) -> None:
    chance = random.Random(7)
    site.store.dags.publish(GRAPH)
    site.define(JobSpec(NAME, DAG_TASK, schedules=(Schedule(Every(f"{EVERY_MS}ms")),), overlap=Overlap.ALLOW))
    first = site.store.index.next_times([NAME])[NAME]
    assert first is not None
    begun = lambda: {name.partition("/")[0] for name in site.effects() if name.startswith(f"{NAME}@")}  # noqa: E731

    site.beat("steady")
    for number, point in enumerate(("fire:before:2", "fire:after:2", "", "fire:after:4", "")):
        beat = site.crashing(site.beat, f"doomed{number}", point) if point else site.beat(f"killed{number}")
        # The one that leads dies, so that the other must take over in the middle of things.
        leading = site.processes["steady"] if number % 2 else beat
        goal = len(begun()) + chance.randint(2, 5)
        eventually(lambda goal=goal: len(begun()) >= goal, within=60, message=site.story)
        leading.kill()
        beat.kill()
        if leading is not beat:
            site.beat("steady")
    count = len(begun()) + 3
    eventually(lambda: len(begun()) >= count, within=60, message=site.story)
    for beat in ("steady", *(name for name in site.processes if name.startswith(("doomed", "killed")))):
        site.processes[beat].stop()

    until = site.store.index.next_times([NAME])[NAME]
    expected = {occurrence_id(NAME, moment) for moment in range(first, until, EVERY_MS)}
    sql = f"select dag_run_id from backbeat_dagrun where dag = '{NAME}' and state = 'succeeded'"
    runs = lambda: [run_id for (run_id,) in site.rows(sql)]  # noqa: E731
    left_out = lambda: site.rows(f"select reason, count from backbeat_omission where job = '{NAME}'")  # noqa: E731
    eventually(lambda: len(runs()) >= len(expected) - sum(count for _, count in left_out()), within=90, message=site.story)
    assert set(runs()) <= expected
    assert len(runs()) == len(set(runs()))
    assert len(expected) - len(runs()) == sum(count for _, count in left_out())
    nodes = {f"{run_id}/{node.id}": 1 for run_id in runs() for node in GRAPH.nodes}
    assert {name: number for name, number in site.effects().items() if name.startswith(f"{NAME}@")} == nodes
