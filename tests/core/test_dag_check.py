"""Everything that is wrong with a DAG is told at once."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbeat.core.dag import Dag, Node, Param, Ref, Rule
from backbeat.core.dag_check import Limits, check, validated
from backbeat.core.dag_cycles import cycles
from backbeat.core.dag_files import read
from backbeat.errors import GraphError
from tests.core.graphs import ABSENT, CYCLIC, load, of


def codes(dag: Dag, **limits: int) -> list[str]:
    return [problem.code for problem in check(dag, limits=Limits(**limits))]


def test_a_sound_dag_has_no_problems() -> None:
    assert check(of(a="", b="a", c="a", d="b c"), jobs={f"job.{name}" for name in "abcd"}) == []


def test_all_errors_are_told_at_once_in_sentences() -> None:
    dag = Dag(
        "e t l",
        (
            Node("a", "etl.lod", after=("a",)),
            Node("a", "etl.load", after=("b", "nowhere")),
            Node("b", "etl.load", (Param("dya"),), after=("c",)),
            Node("c", "etl.load", after=("b",)),
            Node("d", "etl.load", pool="BIG", rule=Rule.ANY_FAILED),
            Node("e", "etl.load", max_parallel=3, timeout=0.0),
            Node("f", "etl.load", cases={"x": ("g", "a")}),
        ),
        params={"day": None},
    )

    with pytest.raises(GraphError) as refused:
        validated(dag, jobs={"etl.load"})

    told = "\n".join(refused.value.problems)
    for sentence in (
        "expected a name of letters, digits, '_', '-' and '.', at most 150; got 'e t l'",
        "2 nodes have the id 'a'",
        "node 'a' waits for itself",
        "node 'a' waits for 'nowhere', which is not in the DAG",
        "node 'a': no job 'etl.lod'. Did you mean 'etl.load'?",
        "node 'b': the DAG has no parameter 'dya'. Did you mean 'day'?",
        "a shortest cycle: b → c → b",
        "node 'd': expected lower-case letters, digits, '-' and '_', at most 50; got 'BIG'",
        "node 'd': rule any_failed needs a parent",
        "node 'e': max_parallel is for mapped nodes",
        "node 'e': expected a timeout above zero",
        "node 'f' chooses 'g', which is not in the DAG",
        "node 'f' chooses 'a', which does not wait for it",
    ):
        assert sentence in told


def test_an_empty_dag_and_one_over_the_limits_are_refused() -> None:
    assert codes(Dag("g", ())) == ["empty"]
    assert codes(of(a="", b="a", c="a"), nodes=2, edges=1, fan=1) == ["size", "size", "fan"]


def test_a_list_too_long_to_map_over_is_refused() -> None:
    sentence = check(Dag("g", (Node("a", "x", over=tuple(range(10_001))),)))[0].sentence

    assert sentence == "node 'a': maps over 10,001 items; at most 10,000. Map over batches."


def test_a_chosen_node_must_not_start_before_the_choice() -> None:
    dag = Dag("g", (Node("a", "x"), Node("b", "x", cases={"1": ("c",)}), Node("c", "x", after=("a", "b"), rule=Rule.ANY_SUCCESS)))

    assert codes(dag) == ["choose"]


def test_of_very_many_problems_of_a_kind_some_are_shown_and_the_rest_is_counted() -> None:
    problems = check(Dag("g", tuple(Node(f"n{n}", "x", after=("gone",)) for n in range(30))))

    assert len(problems) == 11
    assert problems[-1].sentence == "…and 20 more like this (parent)."


def test_nodes_and_parts_without_edges_between_them_are_warned_of() -> None:
    alone, apart = check(of(a="", b="a", c="")), check(of(a="", b="a", c="", d="c"))

    assert [(p.warning, p.sentence) for p in alone] == [(True, "1 of 3 nodes have no edge: c.")]
    assert [(p.warning, p.sentence) for p in apart] == [(True, "the DAG has 2 parts with no edge between them.")]
    assert check(of(a="")) == []


def test_a_cycle_through_outputs_is_a_cycle() -> None:
    dag = Dag("g", (Node("a", "x", (Ref("b"),)), Node("b", "x", kwargs={"rows": [Ref("a", ("rows",))]})))

    assert "a → b → a" in check(dag)[0].sentence


def test_each_tangle_is_named_by_its_shortest_cycle_and_the_shortest_comes_first() -> None:
    graph = nx.DiGraph([("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("c", "a"), ("x", "y"), ("y", "x"), ("a", "x")])

    assert [str(cycle) for cycle in cycles(graph)] == ["x → y → x", "a → b → c → a"]
    assert [cycle.tangle for cycle in cycles(graph)] == [2, 4]


@settings(max_examples=150, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_no_cycle_is_shorter_than_the_one_that_is_named(pairs: set[tuple[int, int]]) -> None:
    graph = nx.DiGraph([(str(a), str(b)) for a, b in pairs if a != b])

    named = cycles(graph)

    shortest = min((len(cycle) for cycle in nx.simple_cycles(graph)), default=0)
    assert (len(named[0].nodes) if named else 0) == shortest
    for cycle in named:
        assert all(graph.has_edge(a, b) for a, b in zip(cycle.nodes, cycle.nodes[1:] + cycle.nodes[:1], strict=True))


@pytest.mark.skipif(not CYCLIC.exists(), reason=ABSENT)
def test_the_cyclic_package_graph_is_refused_with_a_shortest_cycle_named() -> None:
    with pytest.raises(GraphError) as refused:
        validated(read(load(CYCLIC)))

    assert "a shortest cycle: arc → libpressio → arc (9 nodes are tangled here)" in refused.value.problems[0]
    assert "and 9 more like this (cycle)" in refused.value.problems[-1]
