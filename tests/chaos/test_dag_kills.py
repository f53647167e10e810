"""Recorded graphs on real workers that are killed again and again: each ends, in order, with every node done once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.core.dag import Dag, Engine
from backbeat.core.dag_files import read
from tests.acceptance.test_dags import NODES, ended, submit, sync
from tests.core.graphs import ABSENT, RECORDED, load
from tests.support.dag_proof import JOBS, Case, Proof, random_case
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

KILLS = 2
SMALL = [
    path
    for path in RECORDED
    if path.stem in {"montage-2mass-005d", "nf-core-sarek", "epigenomics-hep-1seq-100k", "srasearch-10a"}
]

MIDDLE = [path for path in RECORDED if path.stem in {"montage-2mass-025d", "cybershake-1000"}]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("dagkills"), redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="4s")
    (made.folder / "probe_nodes.py").write_text(NODES)
    (made.folder / "proof_jobs.py").write_text(JOBS)
    (made.folder / "celeryconfig.py").write_text('imports = ("probe_nodes", "proof_jobs")\n')
    sync(made)
    made.keeper()
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.skipif(not SMALL, reason=ABSENT)
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_recorded_graph_ends_though_its_workers_are_killed(site: Deployment, path: Path) -> None:
    dag, chance = read(load(path), job="node.work", scale=0.0), random.Random(path.stem)
    run_id = submit(site, dag)
    done = lambda: sum(count > 0 for name, count in site.effects().items() if name.startswith(run_id))  # noqa: E731

    for kill in range(3):
        worker = site.worker(f"doomed{kill}")
        goal = done() + chance.randint(1, max(1, len(dag.nodes) // 5))
        eventually(lambda goal=goal: done() >= min(goal, len(dag.nodes)), within=60, message=site.story)
        worker.kill()
    survivor = site.worker("survivor")

    assert ended(site, run_id, within=120) == "succeeded"
    sql = f"select node, state, attempts from backbeat_run where dag_run = '{run_id}'"
    rows = eventually(
        lambda: [row for row in site.rows(sql) if row[1] == "succeeded"][len(dag.nodes) - 1 :] and site.rows(sql), within=30
    )
    assert {node for node, _, _ in rows} == set(dag.by_id)
    assert {state for _, state, _ in rows} == {"succeeded"}
    _in_order(site, dag, run_id)
    survivor.stop()


@pytest.mark.slow
def test_random_graphs_end_as_the_rules_say_though_workers_and_keepers_are_killed(site: Deployment) -> None:
    engines = (Engine.CANVAS, Engine.LEDGER)
    cases = [random_case(seed, engine=engines[seed % 2]) for seed in range(700, 716)]
    for case in cases:
        submit(site, case.dag)
    done = lambda: sum(name.startswith("random") for name in site.effects())  # noqa: E731

    keeper = site.processes["keeper"]
    for kill in range(KILLS):
        worker, goal = site.worker(f"victim{kill}"), done() + 15
        eventually(lambda goal=goal: done() >= goal, within=60, message=site.story)
        worker.kill()
        keeper.kill()
        keeper = site.keeper(f"keeper{kill}")
    site.worker("last")

    for case in cases:
        ended(site, case.run_id, within=120)
    proof = Proof(site)
    for case in cases:
        proof.check(case, kills=KILLS)


@pytest.mark.long
@pytest.mark.skipif(not MIDDLE, reason=ABSENT)
@pytest.mark.parametrize("path", MIDDLE, ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", [Engine.CANVAS, Engine.LEDGER])
def test_a_graph_of_hundreds_ends_though_workers_and_keepers_are_killed(site: Deployment, path: Path, engine: Engine) -> None:
    dag, chance, kills = read(load(path), job="proof.node", scale=0.0), random.Random(f"{path.stem} {engine}"), 5
    nodes = tuple(node._replace(kwargs={}) for node in dag.nodes)
    case = Case(Dag(f"{dag.name}-{engine}", nodes, engine=engine))
    run_id = submit(site, case.dag)
    done = lambda: sum(name.startswith(f"{run_id}/") for name in site.effects())  # noqa: E731

    keeper = next(one for name, one in reversed(site.processes.items()) if name.startswith("keeper") and one.alive)
    for kill in range(kills):
        worker, goal = site.worker(f"{engine}{kill}"), done() + chance.randint(10, len(nodes) // kills)
        eventually(lambda goal=goal: done() >= min(goal, len(nodes)), within=90, message=site.story)
        victims = [worker, keeper]
        for victim in chance.sample(victims, k=2):
            victim.kill()
        keeper = site.keeper(f"keeper-{engine}{kill}")
    survivor = site.worker(f"{engine}-last")

    assert ended(site, run_id, within=180) == "succeeded"
    Proof(site).check(case, kills=kills)
    survivor.stop()


def _in_order(site: Deployment, dag: Dag, run_id: str) -> None:
    """Every beginning of a node comes after an end of each of its parents: an attempt that died may have begun before."""
    first_end: dict[str, float] = {}
    for line in site.effects_file.read_text().splitlines():
        word, name, _, at = line.split()
        if not name.startswith(f"{run_id}/"):
            continue
        node = name.removeprefix(f"{run_id}/")
        if word == "end":
            first_end.setdefault(node, float(at))
        else:
            late = [parent for parent in dag.by_id[node].parents if first_end.get(parent, 1e18) > float(at)]
            assert not late, f"{node} began before {late} had ended"
