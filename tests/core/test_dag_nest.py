"""Graphs inside graphs: the nodes of the inner one stand where its name stood."""

from __future__ import annotations

from typing import Any

import pytest

from backbeat.core.dag import Dag, Node, Param, Ref, Rule, bound
from backbeat.core.dag_check import errors
from backbeat.core.dag_data import from_data, to_data
from backbeat.core.dag_nest import unfolded
from backbeat.core.retry import Retry
from backbeat.errors import BadArguments, GraphError

INNER = Dag(
    "load",
    (
        Node("fetch", "http.get", (Param("url"),)),
        Node("rows", "parse", (Ref("fetch", ("body",)),), group="parsing"),
        Node("count", "count", kwargs={"of": Ref("rows"), "limit": Param("limit")}, pool="own"),
    ),
    params={"limit": 10},
    required=("url",),
    pool="etl",
    retry=Retry(2),
)


def nested(*nodes: Node, inner: Dag = INNER, **options: Any) -> Dag:
    graphs = {inner.name: inner, "deep": Dag("deep", (Node("in", inner.name, ("u",)),))}
    return unfolded(Dag("outer", nodes, **options), graphs.get)


def told(*nodes: Node, inner: Dag = INNER) -> str:
    with pytest.raises(GraphError) as refused:
        nested(*nodes, inner=inner)
    return "\n".join(refused.value.problems)


def test_nodes_are_named_after_the_node_and_wait_for_what_it_waits_for() -> None:
    dag = nested(Node("a", "j"), Node("x", "load", ("u",), after=("a",)), Node("z", "j", (Ref("x", ("n",)),), after=("x",)))

    assert [(node.id, node.parents) for node in dag.nodes] == [
        ("a", ()),
        ("x.fetch", ("a",)),
        ("x.rows", ("x.fetch",)),
        ("x.count", ("x.rows",)),
        ("z", ("x.count",)),
    ]
    assert dag.by_id["z"].args == (Ref("x.count", ("n",)),)
    assert not errors(dag)


def test_its_arguments_are_the_parameters_whatever_they_are() -> None:
    dag = nested(
        Node("a", "j"),
        Node("x", "load", (Ref("a", ("url",)),), {"limit": Param("most")}),
        Node("y", "load", kwargs={"url": "u"}),
        required=("most",),
    )

    assert dag.by_id["x.fetch"].args == (Ref("a", ("url",)),)
    assert dag.by_id["x.fetch"].parents == ("a",)
    assert dag.by_id["x.count"].kwargs == {"of": Ref("x.rows"), "limit": Param("most")}
    assert dag.by_id["y.count"].kwargs["limit"] == 10
    assert not errors(dag)


def test_policies_come_from_the_node_else_from_who_names_it_else_from_the_inner_graph() -> None:
    dag = nested(Node("x", "load", ("u",), priority=7, group="g"), Node("y", "load", ("u",), pool="mine"))

    assert [(node.pool, node.priority, node.retry) for node in dag.nodes[:3]] == [
        ("etl", 7, Retry(2)),
        ("etl", 7, Retry(2)),
        ("own", 7, Retry(2)),
    ]
    assert [node.group for node in dag.nodes[:2]] == ["g.x", "g.x.parsing"]
    assert [node.pool for node in dag.nodes[3:]] == ["mine", "mine", "own"]


def test_rules_and_choices_hold_for_the_first_nodes() -> None:
    dag = nested(
        Node("a", "j", cases={"yes": ("x",), "no": ("b",)}),
        Node("b", "j", after=("a",)),
        Node("x", "load", ("u",), after=("a",), rule=Rule.ALL_DONE),
    )

    assert dag.by_id["a"].cases == {"yes": ("x.fetch",), "no": ("b",)}
    assert [node.rule for node in dag.nodes[2:]] == [Rule.ALL_DONE, Rule.ALL_SUCCESS, Rule.ALL_SUCCESS]
    assert not errors(dag)


def test_graphs_stand_in_graphs_in_graphs_and_beside_each_other() -> None:
    dag = nested(Node("x", "deep"), Node("y", "deep", after=("x",)))

    assert [node.id for node in dag.nodes][2:4] == ["x.in.count", "y.in.fetch"]
    assert dag.by_id["y.in.fetch"].parents == ("x.in.count",)
    assert not errors(dag)


def test_a_graph_without_inner_ones_is_itself() -> None:
    dag = Dag("plain", (Node("a", "j"),))

    assert unfolded(dag, {}.get) is dag


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (Node("x", "load"), "node 'x': DAG 'load' takes url, limit: 'url' is missing."),
        (Node("x", "load", ("u",), {"limt": 1}), "Did you mean 'limit'?"),
        (Node("x", "load", ("u",), over=(1,)), "node 'x': 'map' is for jobs; set it on nodes of DAG 'load'."),
        (Node("x", "load", ("u",), timeout=3.0), "'timeout' is for jobs"),
        (Node("x", "load", ("u",), cases={"a": ()}), "'choose' is for jobs"),
    ],
)
def test_what_does_not_fit_is_told(node: Node, sentence: str) -> None:
    assert sentence in told(node)


def test_a_graph_that_holds_itself_and_an_output_of_many_are_told() -> None:
    circle = Dag("load", (Node("x", "load"),))
    assert "DAG 'load' would hold itself: outer → load → load" in told(Node("y", "load"), inner=circle)
    wide = Dag("load", (Node("a", "j"), Node("b", "j")))
    assert "ends in 2 nodes, so 'y' has no one output. Name one of them: y.a, y.b." in told(
        Node("y", "load"), Node("z", "j", (Ref("y"),)), inner=wide
    )


def test_a_mapped_node_gets_its_list_from_outside_or_says_what_it_got() -> None:
    inner = Dag("load", (Node("each", "j", over=Param("items")),), required=("items",))

    assert nested(Node("y", "load", ([1, 2],)), inner=inner).nodes[0].over == (1, 2)
    assert "node 'each' maps over a list; got 5." in told(Node("y", "load", (5,)), inner=inner)


TYPED = Dag("t", (Node("a", "j"),), params={"day": "mon", "rows": None}, required=("n",), types={"n": "integer", "rows": "array"})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"n": "5"}, "expected 'n' to be a whole number; got \"5\"."),
        ({"n": True}, "expected 'n' to be a whole number; got true."),
        ({"n": None}, "expected 'n' to be a whole number; got null."),
        ({"n": 1, "rows": {"a": 1}}, "expected 'rows' to be a list; got {\"a\": 1}."),
    ],
)
def test_parameters_of_another_type_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadArguments) as refused:
        bound(TYPED, (), given)

    assert sentence in refused.value.sentence


def test_what_fits_its_type_is_taken_and_types_come_back_from_data() -> None:
    assert bound(TYPED, (), {"n": 5, "rows": [1]}) == {"day": "mon", "rows": [1], "n": 5}
    assert bound(TYPED, (), {"n": 5, "rows": None})["rows"] is None
    assert from_data(to_data(TYPED)) == TYPED


def test_types_themselves_are_checked() -> None:
    dag = Dag("t", (Node("a", "j"),), params={"day": 5}, types={"day": "string", "dya": "string", "n": "int"})

    sentences = " ".join(problem.sentence for problem in errors(dag))

    assert "expected 'day' to be text; got 5." in sentences
    assert "no parameter 'dya'. Did you mean 'day'?" in sentences
    assert "to be one of string, integer, number, boolean, array, object; got 'int'. Did you mean 'integer'?" in sentences
