"""Trigger rules and how skips and failures spread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbeat.core.dag import Dag, Node, Rule
from backbeat.core.dag_state import End, Verdict, dag_end, end_of, outcome, ready, settle, verdict, verdict_of
from backbeat.core.state import TERMINAL, RunState
from tests.core.graphs import dags, of

OK, FAILED, SKIPPED, UPSTREAM = RunState.SUCCEEDED, RunState.FAILED, RunState.SKIPPED, RunState.UPSTREAM_FAILED
PENDING = RunState.PENDING
W, R, S, U = Verdict.WAIT, Verdict.RUN, Verdict.SKIP, Verdict.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("rule", "verdicts"),
    [
        (Rule.ALL_SUCCESS, [W, R, U, W, W, S, S]),
        (Rule.ALL_DONE, [W, R, R, W, W, R, R]),
        (Rule.ANY_FAILED, [W, S, R, R, W, S, S]),
        (Rule.NONE_FAILED, [W, R, U, W, W, R, R]),
        (Rule.ANY_SUCCESS, [W, R, R, W, R, R, S]),
    ],
)
def test_what_a_node_with_two_parents_does(rule: Rule, verdicts: list[Verdict]) -> None:
    neither, both_good, one_bad, bad_so_far, good_so_far = (0, 0, 0), (2, 0, 0), (1, 1, 0), (0, 1, 0), (1, 0, 0)
    one_skipped, both_skipped = (1, 0, 1), (0, 0, 2)
    ends = [neither, both_good, one_bad, bad_so_far, good_so_far, one_skipped, both_skipped]

    assert [verdict(rule, 2, *counts) for counts in ends] == verdicts


def test_every_state_means_something_to_children_and_only_final_ones_end_a_parent() -> None:
    for state in RunState:
        assert (end_of(state) is End.NOT_YET) == (state not in TERMINAL and state is not RunState.QUARANTINED)


def test_a_failure_spreads_to_what_needs_it_and_to_nothing_else() -> None:
    dag = of(a="", b="a", c="b", d="a", e="c d")

    assert outcome(dag, lambda node: FAILED if node == "b" else OK) == {
        "a": OK,
        "b": FAILED,
        "c": UPSTREAM,
        "d": OK,
        "e": UPSTREAM,
    }


def test_an_alert_runs_only_when_something_failed() -> None:
    dag = Dag("g", (Node("a", "x"), Node("b", "x", after=("a",)), Node("alert", "x", after=("b",), rule=Rule.ANY_FAILED)))

    assert outcome(dag)["alert"] is SKIPPED
    assert outcome(dag, lambda node: FAILED if node == "a" else OK) == {"a": FAILED, "b": UPSTREAM, "alert": OK}


def test_a_choice_skips_the_other_branch_and_a_join_that_forbids_only_failures_runs() -> None:
    dag = Dag(
        "g",
        (
            Node("size", "x", cases={"small": ("quick",), "large": ("slow",)}),
            Node("quick", "x", after=("size",)),
            Node("slow", "x", after=("size",)),
            Node("check", "x", after=("slow",)),
            Node("join", "x", after=("quick", "check"), rule=Rule.NONE_FAILED),
        ),
    )

    ends = outcome(dag, leaves_out=lambda node: ["slow"] if node == "size" else [])

    assert ends == {"size": OK, "quick": OK, "slow": SKIPPED, "check": SKIPPED, "join": OK}
    assert dag_end(ends.values()) is OK


def test_a_dag_is_green_only_when_nothing_in_it_went_wrong() -> None:
    assert dag_end([OK, SKIPPED]) is OK
    assert dag_end([OK, UPSTREAM]) is FAILED
    assert dag_end([OK, RunState.CANCELLED]) is FAILED
    assert dag_end([FAILED, RunState.RUNNING]) is RunState.RUNNING


@settings(max_examples=200, deadline=None)
@given(st.data(), dags(rules=tuple(Rule)))
def test_whatever_order_nodes_end_in_the_run_ends_as_the_oracle_says(data: Any, dag: Dag) -> None:
    results = {node.id: data.draw(st.sampled_from([OK, OK, FAILED, RunState.TIMED_OUT])) for node in dag.nodes}
    states = settle(dag, dict.fromkeys(dag.by_id, PENDING))
    started = []

    while queued := ready(dag, states):
        node = data.draw(st.sampled_from(queued))
        started.append(node)
        states[node] = results[node]
        states = settle(dag, states)

    assert states == outcome(dag, results.__getitem__)
    assert len(started) == len(set(started))
    assert PENDING not in states.values()


def test_a_left_out_node_waits_for_its_other_parents_and_is_then_skipped() -> None:
    node = Node("c", "x", after=("a", "b"), rule=Rule.ALL_DONE)

    assert verdict_of(node, {"a": OK, "b": RunState.RUNNING}, {"c"}) is Verdict.WAIT
    assert verdict_of(node, {"a": OK, "b": FAILED}, {"c"}) is Verdict.SKIP
