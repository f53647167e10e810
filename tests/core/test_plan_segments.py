"""What becomes a chain or a chord, and why the rest is released by the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from backbeat.core.dag import Dag, Engine, Node, Rule
from backbeat.core.plan import plan
from backbeat.core.plan_segments import WORTHWHILE, Kind, Segment, Why
from backbeat.core.plan_text import dot, ledger_edges, mermaid, text
from backbeat.core.retry import Retry
from tests.core.graphs import dags, of


def canvas(dag: Dag) -> Dag:
    return replace(dag, engine=Engine.CANVAS)


def segments(dag: Dag, longest: int = 20) -> list[str]:
    return [f"{segment.kind}: {' '.join(segment.nodes)}" for segment in plan(canvas(dag), longest=longest).segments]


def reasons(dag: Dag) -> dict[str, Why]:
    return {f"{parent} {child}": why for parent, child, why in ledger_edges(plan(canvas(dag)))}


def test_a_row_of_nodes_is_a_chain() -> None:
    assert segments(of(a="", b="a", c="b")) == ["chain: a b c"]


def test_a_fan_that_starts_together_and_joins_is_a_chord() -> None:
    assert segments(of(a="", b="a", c="a", d="b c")) == ["chord: b c d"]
    assert segments(of(b="", c="", d="b c")) == ["chord: b c d"]


def test_a_chord_is_never_part_of_a_chord_and_no_node_travels_twice() -> None:
    dag = of(a="", b="a", c="a", d="b c", e="a", f="d e", g="f", h="g")

    assert segments(dag) == ["chord: b c d", "chain: f g h"]


def test_a_join_whose_parents_start_at_different_times_is_left_to_the_ledger() -> None:
    dag = of(a="", b="a", c="", d="b c")

    assert segments(dag) == ["chain: a b"]
    assert reasons(dag) == {"b d": Why.JOIN, "c d": Why.JOIN}


def test_a_long_chain_is_cut_and_its_odd_last_node_goes_alone() -> None:
    dag = of(a="", b="a", c="b", d="c", e="d")

    assert segments(dag, longest=2) == ["chain: a b", "chain: c d"]
    assert segments(dag, longest=3) == ["chain: a b c", "chain: d e"]


def test_a_fan_wider_than_a_chord_may_be_is_left_to_the_ledger() -> None:
    wide = {f"n{n}": "a" for n in range(20)}
    dag = of(a="", **wide, end=" ".join(wide))

    assert segments(dag) == []
    assert set(reasons(dag).values()) == {Why.FORK, Why.WIDE}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"over": (1, 2)}, Why.MAPPED),
        ({"cases": {"x": ()}}, Why.CHOICE),
        ({"rule": Rule.ALL_DONE}, Why.RULE),
        ({"retry": Retry(3)}, Why.POLICY),
        ({"pool": "big"}, Why.POLICY),
        ({"timeout": 3.0}, Why.POLICY),
    ],
)
def test_only_plain_nodes_of_one_policy_go_together(change: dict[str, object], why: Why) -> None:
    dag = Dag("g", (Node("a", "x"), Node("b", "x", after=("a",))._replace(**change)))

    assert segments(dag) == []
    assert reasons(dag) == {"a b": why}


def test_a_chosen_node_opens_no_canvas_before_the_choice() -> None:
    dag = Dag("g", (Node("a", "x", cases={"x": ("b",)}), Node("b", "x", after=("a",)), Node("c", "x", after=("b",))))

    assert segments(dag) == []
    assert reasons(dag)["a b"] is Why.CHOICE


@settings(max_examples=200, deadline=None)
@given(dags(most=14, rules=(Rule.ALL_SUCCESS, Rule.ALL_SUCCESS, Rule.ALL_DONE)))
def test_canvas_adds_no_wait_that_the_graph_does_not_have(dag: Dag) -> None:
    planned = plan(canvas(dag), longest=4)

    seen: set[str] = set()
    for segment in planned.segments:
        assert not seen & set(segment.nodes)
        assert 2 <= len(segment.nodes) <= 4
        seen.update(segment.nodes)
        _sound(dag, segment)
    inside = sum(len(segment.nodes) - 1 for segment in planned.segments)
    assert inside + len(list(ledger_edges(planned))) == len(planned.shape.parents)


def _sound(dag: Dag, segment: Segment) -> None:
    if segment.kind is Kind.CHAIN:
        for above, below in zip(segment.nodes, segment.nodes[1:], strict=False):
            assert dag.by_id[below].parents == (above,)
    else:
        *header, join = segment.nodes
        assert set(dag.by_id[join].parents) == set(header)
        assert len({frozenset(dag.by_id[node].parents) for node in header}) == 1


def test_the_plan_in_words_names_every_segment_and_why_each_other_edge_is_not_in_one() -> None:
    page = text(plan(canvas(of(a="", b="a", c="a", d="b c", e="d", f="d"))))

    assert "6 nodes, 6 edges, 4 levels, 2 side by side at most" in page
    assert "critical path 4s: a → b → d → e" in page
    assert "chord 1: b, c → d  (2 nodes start together and end in 'd' alone, all of one policy)" in page
    assert "  4 because the parent has other children that don't end in the same join" in page
    assert "  d → f  the parent has other children" in page


@pytest.mark.parametrize(
    ("engine", "direct", "alone", "travels", "why"),
    [
        (Engine.CANVAS, True, True, {Kind.CHAIN, Kind.CHORD}, set()),
        (Engine.LEDGER, False, False, set(), {Why.TOLD}),
        (Engine.AUTO, True, False, set(), {Why.DIRECT}),
        (Engine.AUTO, False, False, {Kind.CHAIN}, {Why.SHORT, Why.SLOWER}),
        (Engine.AUTO, False, True, set(), {Why.SHORT, Why.SLOWER, Why.ALONE}),
    ],
)
def test_what_could_travel_as_canvas_and_does_not_is_said_with_the_reason(
    engine: Engine, direct: bool, alone: bool, travels: set[Kind], why: set[Why]
) -> None:
    row = {f"n{n}": f"n{n - 1}" if n else "" for n in range(WORTHWHILE)}
    dag = replace(of(a="", b="a", c="", d="", e="c d", **row), engine=engine)
    planned = plan(dag, direct=direct, goes_on=lambda node: alone and node.id == "n2")

    assert {segment.kind for segment in planned.segments} == travels
    assert {why for *_, why in ledger_edges(planned)} == why
    assert len(planned.segments) + len(planned.spared) == 3


def test_a_long_plan_is_cut_and_says_so() -> None:
    page = text(plan(of(a="", **{f"n{n}": "a" for n in range(30)})), rows=10)

    assert "… and 21 more nodes" in page
    assert "… and 20 more edges" in page


def test_drawings_leave_out_edges_that_follow_from_others_and_quote_names() -> None:
    dag = Dag("g", (Node("a", 'x."q"'), Node("b", "x.b", over=(1,), after=("a",)), Node("c", "x.c", after=("a", "b"))))

    assert (
        mermaid(plan(dag))
        == 'flowchart LR\n  n0["a<br>x.&quot;q&quot;"]\n  n1[["b [map]"]]\n  n2["c"]\n  n0 ==> n1\n  n1 ==> n2\n'
    )
    assert dot(plan(dag)).count("->") == 2
    assert r'label="a\nx.\"q\""' in dot(plan(dag))
