"""Levels, critical path, segments, drawings and cost of a DAG."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings

from backbeat.core.dag import Dag, Node, Rule
from backbeat.core.dag_files import read
from backbeat.core.plan import plan
from backbeat.core.plan_cost import cost, makespan
from backbeat.core.plan_reduce import all_edges, reduction
from backbeat.core.plan_series import Tree, decompose
from backbeat.errors import GraphError
from tests.core.graphs import ABSENT, RECORDED, dags, load, measures, of


def test_levels_are_the_longest_way_from_a_root() -> None:
    planned = plan(of(d="b c", b="a", c="b", a="", alone=""))

    assert planned.levels == (("a", "alone"), ("b",), ("c",), ("d",))
    assert planned.width == 2


def test_the_critical_path_follows_measured_seconds_before_estimates() -> None:
    dag = of(a="", quick="a", slow="a", end="quick slow")

    planned = plan(dag, {"a": 1, "quick": 2, "slow": 5, "end": 1})

    assert planned.critical_path == ("a", "slow", "end")
    assert planned.critical_seconds == 7
    assert dict(zip(dag.by_id, planned.slack, strict=True)) == {"a": 0, "quick": 3, "slow": 0, "end": 0}


def test_nodes_without_a_measure_count_the_mean_of_their_job_then_of_all() -> None:
    dag = Dag("g", (Node("a", "x", estimate=2.0), Node("b", "x", estimate=4.0), Node("c", "x"), Node("d", "y")))

    assert plan(dag).seconds == [2, 4, 3, 3]
    assert plan(dag, {"c": 9}).seconds == [2, 4, 9, 5]
    assert plan(of(a="", b="a")).seconds == [1, 1]


def test_a_dag_that_cannot_run_has_no_plan() -> None:
    with pytest.raises(GraphError, match="a → b → a"):
        plan(of(a="b", b="a"))


def test_descendants_and_ancestors_of_several_nodes() -> None:
    planned = plan(of(a="", b="a", c="b", d="", e="c d"))

    assert planned.descendants(["a", "b"]) == {"c", "e"}
    assert planned.ancestors(["e"]) == {"a", "b", "c", "d"}


@settings(max_examples=150, deadline=None)
@given(dags(estimates=True))
def test_networkx_agrees_on_everything(dag: Dag) -> None:
    planned, graph = plan(dag), dag.shape.graph
    for node in dag.nodes:
        graph.nodes[node.id]["took"] = node.estimate
    timed = nx.DiGraph((a, b, {"weight": graph.nodes[b]["took"]}) for a, b in graph.edges)
    timed.add_nodes_from(graph)
    for root in [node for node, degree in graph.in_degree() if not degree]:
        timed.add_edge("start", root, weight=graph.nodes[root]["took"])

    assert planned.levels == tuple(tuple(sorted(level, key=list(graph).index)) for level in nx.topological_generations(graph))
    assert planned.critical_seconds == nx.dag_longest_path_length(timed)
    assert sum(planned.seconds_of(node) for node in planned.critical_path) == planned.critical_seconds
    assert nx.is_path(graph, list(planned.critical_path))
    assert all(slack == 0 for node, slack in zip(dag.nodes, planned.slack, strict=True) if node.id in planned.critical_path)
    assert set(reduction(dag.shape)) == set(nx.transitive_reduction(graph).edges)
    assert set(all_edges(dag.shape)) == set(graph.edges)


@settings(max_examples=100, deadline=None)
@given(dags(estimates=True))
def test_no_number_of_workers_beats_the_critical_path_and_one_worker_takes_it_all(dag: Dag) -> None:
    planned = plan(dag)

    assert makespan(planned, 1) == pytest.approx(sum(planned.seconds))
    assert makespan(planned, len(dag.nodes)) == pytest.approx(planned.critical_seconds)
    assert planned.critical_seconds <= cost(planned, 2).makespan <= sum(planned.seconds)


def test_series_and_parallel_parts_are_found() -> None:
    assert str(decompose(of(a="", b="a", c="a", d="b", e="c d").shape)) == "a → (c | b → d) → e"
    assert str(decompose(of(a="", b="").shape)) == "(a | b)"
    assert decompose(of(a="").shape) == Tree("node", "a")
    assert decompose(of(a="", b="", c="a", d="a b").shape) is None


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_graphs_measure_as_their_collectors_say(path: Path) -> None:
    row = measures()[path.stem]
    planned = plan(read(load(path)))

    assert (len(planned.levels), planned.width) == (row["depth"], row["max_width"])
    assert len(planned.shape.parents) - len(reduction(planned.shape)) == row["redundant_edges"]
    assert (decompose(planned.shape) is not None) == row["series_parallel"]
    if row["has_runtimes"]:
        assert planned.critical_seconds == pytest.approx(row["critical_path_s"], abs=0.06)


def test_rules_other_than_all_success_change_no_level() -> None:
    dag = Dag("g", (Node("a", "x"), Node("b", "x", after=("a",), rule=Rule.ALL_DONE)))

    assert plan(dag).levels == (("a",), ("b",))
