"""Graphs of every shape on real workers: each node once, in order, in the state that its rule says, and nothing left over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backbeat.core.dag import Dag, Engine, Node
from backbeat.core.dag_files import read
from tests.acceptance.test_dags import submit, sync
from tests.core.graphs import ABSENT, RECORDED, load
from tests.support.dag_proof import JOBS, Case, Proof, layered, random_case
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

SAMPLE = [
    path for path in RECORDED if path.stem in ("blast-small", "montage-2mass-01d", "nf-core-methylseq", "spack-closure-py-torch")
]
MANY_RANDOM = 150
FADING = {"run", "dag", "graph", "done", "dags", "timers", "busy"}
"""What a key's name begins with when it belongs to runs."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("proof"), redis_server.url, BACKBEAT_KEY_RETENTION="2s")
    (made.folder / "proof_jobs.py").write_text(JOBS)
    (made.folder / "celeryconfig.py").write_text('imports = ("proof_jobs",)\n')
    sync(made)
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


def prove(site: Deployment, cases: Iterable[Case], within: float = 120) -> None:
    """Run graphs side by side, then check each, and that Redis holds nothing of them any more."""
    begun = list(cases)
    for case in begun:
        submit(site, case.dag)
    for case in begun:
        over(site, case.run_id, within)
    proof = Proof(site)
    for case in begun:
        proof.check(case)
    nothing_left(site)


def over(site: Deployment, run_id: str, within: float) -> None:
    """Wait for history: with so short a retention the run itself may be gone already."""
    sql = f"select state from backbeat_dagrun where dag_run_id = '{run_id}' and finished_at is not null"
    eventually(lambda: site.rows(sql), within=within, every=0.2, message=site.story)


def nothing_left(site: Deployment) -> None:
    """No key of any run or graph, no member in the sets and lists that all runs share."""

    def left() -> list[str]:
        keys = site.client.scan_iter("{bb:*}:*", count=5000)
        return [key for key in keys if key.partition("}:")[2].partition(":")[0].partition(".")[0] in FADING]

    eventually(lambda: not left(), within=30, every=0.2, message=lambda: f"these stay: {left()[:20]}")


def recorded(path: Path, job: str = "proof.node") -> Case:
    """A recorded graph of no-ops."""
    dag = read(load(path), job=job, scale=0.0)
    return Case(Dag(dag.name, tuple(node._replace(kwargs={}) for node in dag.nodes)))


def test_random_graphs_end_as_the_rules_say(site: Deployment) -> None:
    engines = (Engine.CANVAS, Engine.LEDGER, Engine.AUTO)
    prove(site, [random_case(seed, engine=engines[seed % 3]) for seed in range(36)])


def test_random_graphs_of_jobs_that_share_messages_end_as_the_rules_say(site: Deployment) -> None:
    cases = [random_case(seed) for seed in range(100, 124)]
    for case in cases:
        nodes = tuple(node._replace(job=node.job.replace("proof", "tiny")) for node in case.dag.nodes)
        case.dag = replace(case.dag, name=f"tiny-{case.dag.name}", nodes=nodes)

    prove(site, cases)

    logs = site.processes["worker"].logs(1 << 22)
    assert re.search(r"Task tiny\.(node|item)\[tiny-random\S+\+\d\] received", logs), "none of them shared a message"


@pytest.mark.skipif(not SAMPLE, reason=ABSENT)
def test_recorded_graphs_run_every_node_once_and_in_order(site: Deployment) -> None:
    prove(site, map(recorded, SAMPLE))


@pytest.mark.long
def test_very_many_random_graphs_end_as_the_rules_say(site: Deployment) -> None:
    seeds = range(1_000, 1_000 + MANY_RANDOM)
    prove(site, [random_case(seed, 30, engine) for seed in seeds for engine in (Engine.CANVAS, Engine.LEDGER)], within=1_800)


@pytest.mark.long
@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_recorded_graph_runs(site: Deployment, path: Path) -> None:
    prove(site, [recorded(path)], within=900)


@pytest.mark.long
def test_a_map_over_ten_thousand_items_runs(site: Deployment) -> None:
    nodes = (Node("each", "proof.item", over=tuple(range(10_000))), Node("after", "proof.node", after=("each",)))
    prove(site, [Case(Dag("tenthousand", nodes), items={"each": 10_000})], within=1_800)


@pytest.mark.long
def test_a_graph_of_18772_nodes_and_112869_edges_runs(site: Deployment) -> None:
    prove(site, [Case(layered(18_772, 112_869))], within=1_800)
