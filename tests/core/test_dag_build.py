"""Drawing a DAG by calling jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from backbeat.core.dag import Dag, Node, Param, Ref, Rule
from backbeat.core.dag_build import Builder, current, drawing
from backbeat.core.dag_handles import NodeHandle
from backbeat.core.retry import Retry
from backbeat.errors import GraphError


def drawn(draw: Callable[[Builder], object]) -> Dag:
    builder = Builder("etl")
    with drawing(builder):
        draw(builder)
    return Dag("etl", builder.finish(), {"day": None})


def test_a_call_makes_a_node_whose_handle_is_an_edge_when_it_is_handed_on() -> None:
    def draw(b: Builder) -> None:
        rows = b.add("etl.extract", ("eu",))
        b.add("etl.load", (rows,), {"limit": 10})

    assert drawn(draw).nodes == (
        Node("extract", "etl.extract", ("eu",)),
        Node("load", "etl.load", (Ref("extract"),), {"limit": 10}),
    )


def test_handles_inside_lists_and_dicts_are_edges_too() -> None:
    def draw(b: Builder) -> None:
        parts = [b.add("etl.extract", (region,)) for region in ("eu", "us")]
        b.add("etl.load", kwargs={"parts": parts, "by": {"first": parts[0]["rows"][2]}})

    dag = drawn(draw)

    assert dag.by_id["load"].parents == ("extract", "extract-2")
    assert dag.by_id["load"].kwargs["by"] == {"first": Ref("extract", ("rows", 2))}


def test_order_edges_carry_no_data_and_every_spelling_says_the_same() -> None:
    def spell(how: Callable[[NodeHandle, NodeHandle], object]) -> tuple[str, ...]:
        return drawn(lambda b: how(b.add("a"), b.add("b"))).by_id["b"].after

    assert spell(lambda a, b: b.after(a)) == ("a",)
    assert spell(lambda a, b: a >> b) == ("a",)
    assert spell(lambda a, b: b << a) == ("a",)
    assert spell(lambda a, b: [a] >> b) == ("a",)
    assert spell(lambda a, b: [b] << a) == ("a",)


def test_arrows_chain_and_fan() -> None:
    dag = drawn(lambda b: b.add("a") >> [b.add("b"), b.add("c")] >> b.add("d") >> b.add("e"))

    assert {node.id: node.parents for node in dag.nodes} == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ("d",)}


def test_a_job_called_twice_makes_two_readable_ids_and_a_node_can_be_named() -> None:
    dag = drawn(lambda b: [b.add("etl.load"), b.add("etl.load"), b.add("etl.load").set(id="last")])

    assert [node.id for node in dag.nodes] == ["load", "load-2", "last"]


def test_a_map_is_one_node_over_a_list_a_parameter_or_an_output() -> None:
    def draw(b: Builder) -> None:
        regions = b.add("etl.regions")
        b.add_map("etl.a", ["eu", "us"], {"day": Param("day")}, max_parallel=2)
        b.add_map("etl.b", Param("day"))
        b.add_map("etl.c", regions["names"])

    dag = drawn(draw)

    assert dag.by_id["a"].over == ("eu", "us")
    assert dag.by_id["a"].max_parallel == 2
    assert dag.by_id["b"].over == Param("day")
    assert dag.by_id["c"].parents == ("regions",)


def test_when_among_the_arguments_names_a_trigger_rule() -> None:
    dag = drawn(lambda b: b.add("alert", (b.add("load"),), {"when": "any_failed"}))

    assert dag.by_id["alert"].rule is Rule.ANY_FAILED
    assert dag.by_id["alert"].kwargs == {}


def test_a_word_that_is_no_rule_stays_an_argument_of_the_job() -> None:
    assert drawn(lambda b: b.add("mail", (), {"when": "tomorrow"})).by_id["mail"].kwargs == {"when": "tomorrow"}


def test_a_choice_makes_edges_to_the_first_nodes_of_each_case() -> None:
    def draw(b: Builder) -> None:
        quick, slow = b.add("quick"), b.add("slow")
        after_slow = b.add("check").after(slow)
        b.add("size").choose({"small": quick, True: [slow, after_slow], "*": []})

    dag = drawn(draw)

    assert dag.by_id["size"].cases == {"small": ("quick",), "true": ("slow",), "*": ()}
    assert dag.by_id["slow"].parents == ("size",)
    assert dag.by_id["check"].parents == ("slow",)


def test_groups_nest_and_a_stage_waits_as_a_whole() -> None:
    def draw(b: Builder) -> None:
        with b.group("load") as stage:
            b.add("a") >> b.add("b")
            with b.group("deep", prefix=True):
                b.add("c")
        stage.after(b.add("first"))
        b.add("last").after(stage)

    dag = drawn(draw)

    assert [node.group for node in dag.nodes] == ["load", "load", "load.deep", "", ""]
    assert dag.by_id["deep.c"].parents == ("first",)
    assert dag.by_id["b"].parents == ("a",)
    assert dag.by_id["last"].parents == ("b", "deep.c")


def test_options_of_one_node_override_its_jobs() -> None:
    dag = drawn(lambda b: b.add("a").set(pool="big", priority="high", retry=3, timeout="20m", estimate=4))

    assert dag.nodes[0] == Node("a", "a", pool="big", priority=8, retry=Retry(3), timeout=1200.0, estimate=4.0)


def test_dates_become_text_and_what_json_cannot_carry_is_told_with_everything_else_that_is_wrong() -> None:
    def draw(b: Builder) -> None:
        b.add("a", (date(2026, 11, 23), object()), {"x": float("nan")})
        b.add("b").set(pool="BIG", prio=3)
        b.add("c").set(priority=12).set(when="all_god")

    with pytest.raises(GraphError) as refused:
        drawn(draw)

    told = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 6
    assert "argument 2 of node 'a': expected something that JSON can carry; got object" in told
    assert "argument 'x' of node 'a'" in told
    assert "node 'b': expected lower-case letters" in told
    assert "node 'b': a node has no option 'prio'; it has id, pool, priority" in told
    assert "node 'c': expected 0 to 9" in told
    assert "Did you mean 'all_done'?" in told


@pytest.mark.parametrize("ask", [bool, list, lambda value: [*value]])
def test_a_value_that_exists_only_at_run_time_cannot_be_tested_or_walked(ask: Callable[[object], object]) -> None:
    with pytest.raises(GraphError, match=r"known only when the DAG runs.*(choose|map)"):
        drawn(lambda b: ask(b.add("a")))
    with pytest.raises(GraphError, match=r"the parameter 'day' is known only when the DAG runs"):
        ask(Param("day"))


def test_mapping_over_a_text_is_refused() -> None:
    with pytest.raises(GraphError, match="expected a list to map over; got 'eu'"):
        drawn(lambda b: b.add_map("a", "eu"))


def test_outside_a_drawing_there_is_no_current_builder() -> None:
    assert current() is None
    drawn(lambda b: pytest.fail("not the current builder") if current() is not b else None)
    assert current() is None
