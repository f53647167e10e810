"""Working out what a DAG run's state ought to be, for repairs and reruns."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backbeat.core.dag import Dag, Node, Ref, Rule
from backbeat.core.dag_mend import Again, again, below, failed_nodes, mended, requeued, stuck
from backbeat.core.dag_state import outcome
from backbeat.core.dag_wire import CODES, Wire, counters, filled, outputs_in, read_graph, states_of
from backbeat.core.plan import plan
from backbeat.core.state import RunState
from tests.core.graphs import dags, of

DIAMOND = of(a="", b="a", c="a", d="b c")


def codes(dag: Dag, result: Any = lambda _: RunState.SUCCEEDED) -> str:
    return "".join(CODES[state] for state in outcome(dag, result).values())


def test_a_run_that_waits_for_something_is_left_alone() -> None:
    assert not stuck(DIAMOND, "q...")
    assert not stuck(DIAMOND, "sqq.")
    assert not stuck(DIAMOND, "ssss")


def test_a_pending_node_whose_parents_have_ended_and_one_whose_run_is_gone_are_stuck() -> None:
    assert stuck(DIAMOND, "s.q.")
    assert stuck(DIAMOND, "q...", gone=[0])
    assert requeued(DIAMOND, "sqq.", gone=frozenset({1})).codes == "s.q."
    assert requeued(DIAMOND, "sqq.", gone=frozenset({1})).steps == ("d:1",)


def test_counters_follow_from_the_states() -> None:
    sums = counters(DIAMOND, "sfk.")

    assert [int.from_bytes(sums[at : at + 2], "big") for at in range(24, 32, 2)] == [0, 1, 1, 0]
    assert [int.from_bytes(counters(DIAMOND)[at : at + 2], "big") for at in range(24, 32, 2)] == [0, 0, 0, 2]


def test_what_is_left_and_what_is_bad_is_counted_and_questions_are_asked_again() -> None:
    new = mended(DIAMOND, list("sfeh"))

    assert (new.left, new.bad) == (2, 1)
    assert new.questions == ("e:2", "c:3")


def test_nodes_that_failed_and_what_is_behind_them_run_again() -> None:
    ended = codes(DIAMOND, lambda node: RunState.FAILED if node == "b" else RunState.SUCCEEDED)
    assert ended == "sfsu"

    new = again(DIAMOND, ended, Again(below(DIAMOND, failed_nodes(ended))), {"1": 3}.get)

    assert new.codes == "s.s."
    assert new.steps == ("d:1",)
    assert new.attempts == {"1": 3, "3": 0}


def test_only_the_named_items_of_a_mapped_node_run_again() -> None:
    dag = Dag("g", (Node("m", "x", over=(1, 2, 3)), Node("end", "x", after=("m",))))

    new = again(dag, "fu", Again(frozenset({0, 1}), {0: [1, 2]}), {"0:2": 2}.get)

    assert new.codes == "q."
    assert new.steps == ("i:0:1", "i:0:2")
    assert new.attempts == {"0": 1, "1": 0, "0:1": 1, "0:2": 2}


@settings(max_examples=150, deadline=None)
@given(st.data(), dags(rules=tuple(Rule)))
def test_after_a_rerun_exactly_the_first_of_the_chosen_nodes_may_move(data: Any, dag: Dag) -> None:
    results = {node.id: data.draw(st.sampled_from([RunState.SUCCEEDED, RunState.FAILED])) for node in dag.nodes}
    ended = codes(dag, results.__getitem__)
    chosen = below(dag, data.draw(st.sets(st.sampled_from(range(len(dag.nodes))), min_size=1)))

    new = again(dag, ended, Again(chosen), lambda _: None)

    pending = {place for place, code in enumerate(new.codes) if code == "."}
    assert pending == chosen
    assert new.left == len(chosen)
    assert {place for place, code in enumerate(ended) if place not in chosen} == {
        place for place, code in enumerate(new.codes) if code == ended[place] and place not in chosen
    }
    assert new.steps, "something can always go on"
    for step in new.steps:
        assert all(
            new.codes[parent] != "." or dag.nodes[int(step[2:])].rule.startswith("any_")
            for parent in dag.shape.parents_of(int(step[2:]))
        )


@settings(max_examples=100, deadline=None)
@given(dags(rules=tuple(Rule)))
def test_the_stored_graph_has_the_same_shape_and_rules(dag: Dag) -> None:
    fields = list(Wire(plan(dag)).fields())

    stored = read_graph("g", dict(zip(fields[::2], fields[1::2], strict=True)))

    assert [(node.id, set(node.parents), node.rule) for node in stored.nodes] == [
        (node.id, set(node.parents), node.rule) for node in dag.nodes
    ]


def test_arguments_are_stored_with_the_places_of_the_outputs_they_need() -> None:
    dag = Dag(
        "g",
        (
            Node("m", "x", over=(1, 2)),
            Node("a", "x"),
            Node("b", "x", (Ref("a", ("rows", 0)),), {"all": [Ref("m"), {"$ref": "not one of ours"}]}),
        ),
    )
    fields = list(Wire(plan(dag)).fields())
    import json

    record = json.loads(dict(zip(fields[::2], fields[1::2], strict=True))["2"])
    arguments = json.loads(record["x"])

    assert {(output.place, output.mapped) for output in outputs_in(arguments)} == {(0, True), (1, False)}
    assert filled(arguments, {0: [10, 20], 1: {"rows": ["first"]}}, {}) == [
        ["first"],
        {"all": [[10, 20], {"$ref": "not one of ours"}]},
    ]


def test_letters_are_those_of_the_script() -> None:
    from importlib.resources import files

    script = files("backbeat.store").joinpath("lua", "dag.lua").read_text()
    for state, code in CODES.items():
        assert f"{state} = '{code}'" in script, f"lua/dag.lua must know {state} as {code!r}"
    assert states_of(".oeqh") == [RunState.PENDING, RunState.PENDING, RunState.PENDING, RunState.QUEUED, RunState.RUNNING]
