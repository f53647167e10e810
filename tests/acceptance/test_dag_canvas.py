"""Graphs that travel as Celery chain and chord: what the plan says is what is run, and it ends as on the ledger alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from backbeat.core.dag import Dag, Engine, Node, Rule
from backbeat.core.dag_state import outcome
from backbeat.core.plan import plan
from backbeat.core.plan_segments import Kind
from backbeat.core.state import RunState
from tests.acceptance.test_dags import ended, states, submit, sync, times
from tests.core.graphs import of
from tests.support.deployment import Deployment
from tests.support.servers import RedisServer

NODES = '''
"""Jobs that note how their message came: by Celery's canvas, or from the ledger."""
import time
from celery import current_task
from backbeat import Retry, current_run, job
from probe_jobs import effect

@job("canvas.work")
def work(seconds: float = 0.0, fail: bool = False) -> str:
    effect("canvas" if "node" in (current_task.request.backbeat or {}) else "ledger")
    effect("begin")
    time.sleep(seconds)
    if fail:
        raise RuntimeError("told to fail")
    effect("end")
    return "done"

@job("canvas.flaky", retry=Retry(2, delay="100ms", jitter=False))
def flaky() -> str:
    effect("begin")
    if current_run().attempt == 1:
        raise RuntimeError("the first attempt fails")
    effect("end")
    return "done"
'''


def canvas_site(made: Deployment, **modules: str) -> Deployment:
    """A deployment that has these jobs, and modules of a test's own."""
    for name, text in {"canvas_nodes": NODES, **modules}.items():
        (made.folder / f"{name}.py").write_text(text)
    (made.folder / "celeryconfig.py").write_text(f"imports = {('canvas_nodes', *modules)!r}\n")
    sync(made)
    return made


def graph(name: str, engine: Engine = Engine.CANVAS, **parents: str) -> Dag:
    """A graph of nodes that only work."""
    return Dag(name, tuple(node._replace(job="canvas.work") for node in of(**parents).nodes), engine=engine)


def came(site: Deployment, run_id: str, how: str) -> set[str]:
    """The nodes whose messages came so."""
    return {name.removeprefix(f"{run_id}/") for name in site.effects(how) if name.startswith(f"{run_id}/")}


def in_order(site: Deployment, dag: Dag, run_id: str, nodes: Sequence[Node]) -> None:
    """Each of the nodes ran once, after its parents."""
    begin, end = times(site, "begin"), times(site, "end")
    for node in nodes:
        assert site.effects("begin")[f"{run_id}/{node.id}"] == 1
        assert all(begin[f"{run_id}/{node.id}"] >= end[f"{run_id}/{parent}"] for parent in node.parents)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = canvas_site(
        Deployment(tmp_path_factory.mktemp("canvas"), redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s")
    )
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


def test_what_is_planned_as_chain_and_chord_is_what_canvas_carries(site: Deployment) -> None:
    dag = graph("planned", a="", b="a", c="b", d="c", e="c", f="d e", g="f", h="f")
    segments = plan(dag, direct=True).segments

    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    assert {segment.kind for segment in segments} == {Kind.CHAIN, Kind.CHORD}
    assert came(site, run_id, "canvas") == {node for segment in segments for node in segment.nodes} == set("abcdef")
    assert came(site, run_id, "ledger") == {"g", "h"}
    in_order(site, dag, run_id, dag.nodes)


def test_by_default_nothing_travels_as_canvas_where_the_queues_are_the_ledgers_own(site: Deployment) -> None:
    dag = graph("own", Engine.AUTO, a="", b="a")

    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    assert not plan(dag, direct=True).segments
    assert came(site, run_id, "ledger") == {"a", "b"}


def test_a_node_that_failed_or_is_tried_again_breaks_neither_chain_nor_chord(site: Deployment) -> None:
    work, bad = "canvas.work", {"fail": True}
    dag = Dag(
        "broken",
        (
            Node("first", work),
            Node("again", "canvas.flaky", after=("first",)),
            Node("beside", work, after=("first",)),
            Node("join", work, after=("again", "beside")),
            Node("bad", work, kwargs=bad),
            Node("never", work, after=("bad",)),
            Node("nor", work, after=("never",)),
            Node("part", work, after=("join",)),
            Node("worse", work, kwargs=bad, after=("join",)),
            Node("lost", work, after=("part", "worse")),
            Node("clean", work, after=("lost",), rule=Rule.ALL_DONE),
        ),
        engine=Engine.CANVAS,
    )

    run_id = submit(site, dag)

    assert ended(site, run_id) == "failed"
    expected = outcome(dag, lambda node: RunState.FAILED if node in ("bad", "worse") else RunState.SUCCEEDED)
    assert states(site, dag, run_id) == expected
    assert not came(site, run_id, "begin") & {"never", "nor", "lost"}
    assert site.effects()[f"{run_id}/join"] == site.effects()[f"{run_id}/clean"] == 1


def test_a_slow_sibling_delays_no_child_that_does_not_need_it(site: Deployment) -> None:
    dag = graph("barrier", slow="", quick="", x="quick", y="quick", z="x y", next="z", end="slow next")
    dag = replace(dag, nodes=(dag.nodes[0]._replace(kwargs={"seconds": 4.0}), *dag.nodes[1:]))

    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    end = times(site, "end")
    assert end[f"{run_id}/next"] < end[f"{run_id}/slow"] - 1
    assert came(site, run_id, "canvas") == {"x", "y", "z"}


def random_graph(seed: int) -> Dag:
    """A graph with stretches and fans, of which some node fails."""
    chance = random.Random(seed)
    nodes: list[Node] = []
    for number in range(chance.randint(6, 12)):
        near = range(max(0, number - 4), number)
        above = sorted(chance.sample(near, min(len(near), chance.choice([0, 1, 1, 1, 2]))))
        rule = chance.choice([Rule.ALL_SUCCESS] * 5 + [Rule.ALL_DONE])
        nodes.append(Node(f"n{number}", "canvas.work", after=tuple(f"n{parent}" for parent in above), rule=rule))
    bad = chance.choice(range(len(nodes)))
    nodes[bad] = nodes[bad]._replace(kwargs={"fail": True})
    return Dag(f"random{seed}", tuple(nodes))


def test_both_engines_end_random_graphs_alike(site: Deployment) -> None:
    graphs = {
        (seed, engine): replace(random_graph(seed), name=f"random{seed}{engine}", engine=engine)
        for seed in range(6)
        for engine in (Engine.CANVAS, Engine.LEDGER)
    }
    runs = {key: submit(site, dag) for key, dag in graphs.items()}

    for (seed, engine), run_id in runs.items():
        dag = graphs[seed, engine]
        bad = {node.id for node in dag.nodes if node.kwargs}
        assert ended(site, run_id, within=120) == "failed"
        expected = outcome(dag, lambda node, bad=bad: RunState.FAILED if node in bad else RunState.SUCCEEDED)
        assert states(site, dag, run_id) == expected
        ran = {node for node, state in expected.items() if state in (RunState.SUCCEEDED, RunState.FAILED)}
        assert came(site, run_id, "begin") == ran
        assert all(site.effects("begin")[f"{run_id}/{node}"] == 1 for node in ran)
        carried = {node for segment in plan(dag, direct=True).segments for node in segment.nodes}
        assert came(site, run_id, "canvas") == carried & ran
