"""SIGKILL just before and just after every script of a DAG run: it ends all the same, and no node ends twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backbeat.core.dag import Dag, Engine, Node, Ref
from backbeat.core.job import JobSpec
from backbeat.runtime.binding import DAG_TASK
from backbeat.store.scripts import names
from tests.acceptance.test_dags import NODES, ended, sync
from tests.chaos.test_crash_points import children_died
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

POINTS = {
    "worker": ("dag_put", "dag_start", "claim", "finish", "dag_step", "dag_items"),
    "keeper": ("dag_due", "dag_cancel"),
}
"""Script by the process that calls it while a DAG run is under way."""
ELSEWHERE = {
    "dag_hold": "called by an operator, who sees whether it happened",
    "dag_write": "called by an operator, or by a keeper's next look: it happens as a whole or not at all",
}
GRAPH = Dag(
    "crashing",
    (
        Node("first", "node.numbers", (5,)),
        Node("many", "node.double", over=Ref("first"), max_parallel=3),
        Node("side", "node.work", after=("first",)),
        Node("sum", "node.total", (Ref("many"),), after=("side",)),
        Node("keep", "node.keep", kwargs={"sum": Ref("sum", ("sum",))}),
    ),
)
RUNS = {"first", "many", *(f"many[{n}]" for n in range(5)), "side", "sum", "keep"}


def test_every_script_of_dag_runs_has_its_crash_points_or_a_reason_why_not() -> None:
    covered = {name for scripts in POINTS.values() for name in scripts} | set(ELSEWHERE)
    unknown = {name for name in names() if name.startswith("dag_")} - covered

    assert not unknown, f"give {sorted(unknown)} a crash point in POINTS, or a reason in ELSEWHERE"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("dagcrash"), redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="4s")
    (made.folder / "probe_nodes.py").write_text(NODES)
    (made.folder / "celeryconfig.py").write_text('imports = ("probe_nodes",)\n')
    sync(made)
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("process", "script"), [(process, script) for process, scripts in POINTS.items() for script in scripts])
def test_a_dag_run_survives(site: Deployment, process: str, script: str, when: str) -> None:
    cancels = script == "dag_cancel"
    run_id = f"crashing-{script}-{when}-{process}:1"
    # A keeper takes some seconds to start, and looks at DAG runs while there are any.
    slow = (Node("slow", "node.work", kwargs={"seconds": 10.0}),) if process == "keeper" else ()
    dag = Dag(run_id.partition(":")[0], (*slow, *GRAPH.nodes))
    site.store.dags.publish(dag)
    site.store.index.put(JobSpec(dag.name, DAG_TASK))
    start = {"worker": site.worker, "keeper": site.keeper}
    other = "keeper" if process == "worker" else "worker"
    helper = start[other](other)
    doomed = site.crashing(start[process], process, f"{script}:{when}:{3 if script in ('claim', 'finish') else 1}")

    site.submit(dag.name, "1")
    if cancels:
        eventually(lambda: site.store.ledger.get(run_id).get("s") == "running", within=30, message=site.story)
        site.store.ledger.cancel(run_id, "enough")
    eventually(lambda: not doomed.alive or children_died(doomed), within=40, message=site.story)
    doomed.stop()
    survivor = start[process](f"{process}-again")

    assert ended(site, run_id, within=60) == ("cancelled" if cancels else "succeeded")
    if not cancels:
        kept = json.loads(Path(f"{site.effects_file}.{run_id}_keep").read_text())
        assert kept == {"sum": 20}
        rows = lambda: dict(site.rows(f"select node, state from backbeat_run where dag_run = '{run_id}'"))  # noqa: E731
        eventually(
            lambda: rows() == dict.fromkeys({*RUNS, *(["slow"] if slow else [])}, "succeeded"), 30, message=lambda: str(rows())
        )
    for one in (helper, survivor):
        one.stop()
    left = [key for key in site.client.scan_iter(f"*{run_id}*") if site.client.pttl(key) < 0]
    assert not left, "what a run leaves behind must fade"


CUTS = {
    "worker": "dag_put:before:1,dag_put:after:2,dag_start:before:1,dag_start:after:2,claim:before:2,claim:after:5,"
    "finish:before:2,finish:after:4,dag_step:before:1,dag_step:after:3,dag_items:before:1,dag_items:after:2",
    "keeper": "dag_due:before:2,dag_due:after:3,dag_step:before:1,dag_step:after:2",
}
"""Where each process loses its connection to Redis: before the script runs, and when it ran but its answer never came."""


@pytest.mark.slow
def test_dag_runs_survive_a_connection_that_is_lost_at_every_script(site: Deployment) -> None:
    (site.folder / "cuts.log").unlink(missing_ok=True)
    doomed = [
        site.crashing(start, f"cut-{name}", CUTS[name], "cut")
        for name, start in (("worker", one_child(site)), ("keeper", site.keeper))
    ]
    dags = [replace(GRAPH, name=f"cut-{engine}", engine=engine) for engine in Engine]
    for dag in dags:
        site.store.dags.publish(dag)
        site.store.index.put(JobSpec(dag.name, DAG_TASK))
        site.submit(dag.name, "1")

    for dag in dags:
        run_id = f"{dag.name}:1"
        assert ended(site, run_id, within=90) == "succeeded"
        assert json.loads(Path(f"{site.effects_file}.{run_id}_keep").read_text()) == {"sum": 20}
        sql = f"select node, state from backbeat_run where dag_run = '{run_id}'"
        eventually(lambda sql=sql: dict(site.rows(sql)) == dict.fromkeys(RUNS, "succeeded"), within=30)
    cuts = set((site.folder / "cuts.log").read_text().split())
    assert cuts >= {point.rpartition(":")[0] for point in CUTS["worker"].split(",")}, "a point was never reached"
    for process in doomed:
        assert process.alive, "a lost connection is no reason to end"
        process.stop()


def one_child(site: Deployment) -> Callable[[str], OwnProcess]:
    """A worker whose every call comes from one process, so that the points are counted together."""
    return lambda name: site.worker(name, children=1)
