"""`@dag` makes a graph of a function that calls jobs; a plain call runs the graph."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field

from backbeat import Cron, Retry, current_run, dag, job
from backbeat.core.dag import Node, Param, Ref, Rule
from backbeat.errors import BadArguments, DefinitionError, DuplicateJob, GraphError, UnknownOption
from backbeat.runtime import registry
from backbeat.runtime.dag_inline import DagFailed
from tests.support.jobs import no_jobs

__all__ = ["no_jobs"]
pytestmark = pytest.mark.usefixtures("no_jobs")


def numbers(count: int) -> list[int]:
    return list(range(count))


def double(number: int, plus: int = 0) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return 2 * number + plus


def total(values: list[Any], name: str = "") -> dict[str, Any]:
    return {"sum": sum(value for value in values if isinstance(value, int)), "name": name}


def made() -> tuple[Any, Any, Any]:
    return job("t.numbers")(numbers), job("t.double")(double), job("t.total")(total)


class Day(BaseModel):
    day: date
    limit: int = Field(default=3, ge=1)


def test_a_dag_is_drawn_once_when_it_is_defined_and_registered_as_a_job() -> None:
    numbers, double, total = made()

    @dag("etl.daily", schedule=Cron("0 4 * * *"), owner="team-x", max_active=1, timeout="1h", retry=2, labels={"tier": "1"})
    def daily(count: int = 4, plus: int = 1) -> None:
        """Load the day."""
        doubled = double.map(numbers(count), plus=plus, max_parallel=2)
        total(doubled, name="x").set(priority="high")

    assert registry.jobs["etl.daily"].dag is daily.graph
    assert registry.jobs["etl.daily"].spec.schedules[0].when == Cron("0 4 * * *")
    assert (daily.graph.max_active, daily.graph.timeout, daily.graph.retry) == (1, 3600.0, Retry(2))
    assert daily.graph.params == {"count": 4, "plus": 1}
    assert daily.graph.description == "Load the day."
    assert daily.graph.nodes == (
        Node("numbers", "t.numbers", (Param("count"),)),
        Node("double", "t.double", kwargs={"plus": Param("plus")}, over=Ref("numbers"), max_parallel=2),
        Node("total", "t.total", (Ref("double"),), {"name": "x"}, priority=8),
    )


def test_a_dag_without_a_name_is_called_after_its_module_and_function() -> None:
    numbers, _, _ = made()

    @dag
    def nightly() -> None:
        numbers(3)

    assert nightly.name == f"{__name__}.nightly"


def test_a_plain_call_runs_the_whole_graph_here() -> None:
    numbers, double, total = made()

    @dag("t.inline")
    def inline(count: int, plus: int = 1) -> None:
        total(double.map(numbers(count), plus=plus))

    assert inline(3) == {"numbers": [0, 1, 2], "double": [1, 3, 5], "total": {"sum": 9, "name": ""}}
    assert inline(count=0)["total"] == {"sum": 0, "name": ""}
    with pytest.raises(BadArguments):
        inline("many")


def test_inline_failures_follow_the_same_rules_and_are_told_together() -> None:
    _, double, total = made()

    @dag("t.fails")
    def fails() -> None:
        bad, good = double(-1), double(1)
        total([bad, good])
        total([bad, good], when="any_failed")
        total([good])

    with pytest.raises(DagFailed, match=r"DAG 't.fails' failed. double: ValueError: -1 is negative") as failed:
        fails()

    states = {node: str(state) for node, state in failed.value.states.items()}
    assert states == {
        "double": "failed", "double-2": "succeeded", "total": "upstream_failed", "total-2": "succeeded", "total-3": "succeeded",
    }  # fmt: skip


def test_a_choice_runs_one_branch_and_skips_the_other() -> None:
    _, double, total = made()

    @dag("t.branches")
    def branches(count: int) -> None:
        size = double(count)
        few, many = total([1]), total([2])
        dag.choose(size, {2: few, "*": many})
        total([few, many], when="none_failed")

    assert set(branches(1)) == {"double", "total", "total-3"}
    assert set(branches(5)) == {"double", "total-2", "total-3"}


def test_a_dag_inside_a_dag_is_drawn_into_it() -> None:
    numbers, double, total = made()

    @dag("etl.part")
    def part(count: int = 2) -> Any:
        return double.map(numbers(count))

    @dag("etl.whole")
    def whole(count: int) -> None:
        first = part(count)
        second = part(3)
        total(first).after(second)

    assert [node.id for node in whole.graph.nodes] == ["part.numbers", "part.double", "part.numbers-2", "part.double-2", "total"]
    assert whole.graph.by_id["total"].parents == ("part.double", "part.double-2")
    assert whole.graph.by_id["part.numbers"].args == (Param("count"),)
    assert whole(4)["total"]["sum"] == 12


def test_groups_are_drawn_with_a_with_statement() -> None:
    numbers, double, _ = made()

    @dag("t.groups")
    def groups() -> None:
        with dag.group("load") as load:
            numbers(1), numbers(2)
        double(1).after(load)

    assert groups.graph.by_id["double"].after == ("numbers", "numbers-2")
    assert groups.graph.by_id["numbers"].group == "load"


def test_the_fields_of_a_model_are_parameters() -> None:
    numbers, _, _ = made()

    @dag("t.model", params=Day)
    def modelled(p: Day) -> None:
        numbers(p.limit)

    assert modelled.graph.required == ("day",)
    assert modelled.graph.params == {"limit": 3}
    assert modelled.graph.nodes[0].args == (Param("limit"),)
    with pytest.raises(AttributeError, match=r"Day has no field 'limt'. Did you mean 'limit'\?"):

        @dag("t.misspelt", params=Day)
        def misspelt(p: Any) -> None:
            numbers(p.limt)


def test_rules_are_words_and_a_wrong_one_is_told_with_the_nearest() -> None:
    numbers, _, total = made()

    @dag("t.rule")
    def rule() -> None:
        total([numbers(1)], when="all_done")

    assert rule.graph.by_id["total"].rule is Rule.ALL_DONE


def test_everything_wrong_with_a_graph_is_told_at_its_definition() -> None:
    numbers, double, _ = made()

    with pytest.raises(GraphError) as refused:

        @dag("t.wrong")
        def wrong() -> None:
            numbers(1, 2, 3)
            double(1, times=3)

    assert refused.value.problems == (
        "node 'numbers': job 't.numbers' can't be called so: too many positional arguments.",
        "node 'double': job 't.double' can't be called so: got an unexpected keyword argument 'times'.",
    )
    assert "t.wrong" not in registry.jobs


def test_a_dag_without_nodes_and_a_circle_are_refused() -> None:
    numbers, _, _ = made()

    with pytest.raises(GraphError, match="the DAG has no nodes"):
        dag("t.empty")(_empty)
    with pytest.raises(GraphError, match="numbers → numbers-2 → numbers"):

        @dag("t.circle")
        def circle() -> None:
            a, b = numbers(1), numbers(2)
            a >> b >> a


def _empty() -> None:
    """Calls nothing."""


def test_unknown_options_and_unfit_parameters_are_refused() -> None:
    with pytest.raises(UnknownOption, match=r"DAG 't.x' has no such option. Did you mean 'max_active'\?"):
        dag("t.x", max_activ=3)(_empty)
    with pytest.raises(DefinitionError, match="takes any parameter by"):

        @dag("t.stars")
        def stars(**anything: Any) -> None: ...

    numbers, _, _ = made()
    with pytest.raises(DefinitionError, match="is a job already"):
        dag("t.job")(numbers)
    with pytest.raises(DuplicateJob):

        @dag("t.numbers")
        def same() -> None:
            numbers(1)


def test_a_node_knows_its_run_inline_too() -> None:
    seen = []

    @job("t.who")
    def who() -> None:
        seen.append(current_run().id)

    @dag("t.ids")
    def ids() -> None:
        who()

    ids()

    assert seen[0].endswith("/who")
