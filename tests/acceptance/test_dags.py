"""Graphs on real workers: every node once, in order, by its rule, and results handed on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backbeat.core.dag import Dag, Node, Param, Ref, Rule
from backbeat.core.dag_state import outcome
from backbeat.core.dag_wire import states_of
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.state import RunState
from backbeat.core.when import Every
from backbeat.runtime.binding import DAG_TASK
from backbeat.runtime.dag_mend import rerun
from tests.core.graphs import of
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

OK, FAILED, SKIPPED, UPSTREAM = RunState.SUCCEEDED, RunState.FAILED, RunState.SKIPPED, RunState.UPSTREAM_FAILED

NODES = '''
"""Jobs for graphs, and a graph that code defines."""
import os, time
from pathlib import Path
from backbeat import current_run, dag, job
from probe_jobs import effect

@job("node.work")
def work(seconds: float = 0.0, fail: str = "") -> str:
    effect("begin")
    time.sleep(seconds)
    if fail and Path(fail).exists():
        raise RuntimeError("told to fail")
    effect("end")
    return current_run().id

@job("node.numbers")
def numbers(count: int) -> list:
    return list(range(count))

@job("node.double")
def double(number: int, plus: int = 0, fail: str = "") -> int:
    effect("begin")
    if fail and number == 3 and Path(fail).exists():
        raise RuntimeError("told to fail")
    effect("end")
    return 2 * number + plus

@job("node.total")
def total(numbers: list, extra: int = 0) -> dict:
    effect("end")
    return {"sum": sum(n or 0 for n in numbers) + extra}

@job("node.keep")
def keep(**values) -> None:
    import json
    Path(os.environ["EFFECTS"] + "." + current_run().id.replace("/", "_")).write_text(json.dumps(values))

@job("node.huge")
def huge(size: int) -> str:
    return "x" * size

@job("node.odd")
def odd() -> object:
    return object()

@dag("coded", max_active=2)
def coded(count: int, plus: int = 1):
    doubled = double.map(numbers(count), plus=plus, max_parallel=4)
    keep(result=total(doubled, extra=plus)["sum"], count=count)
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("dags"), redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s")
    (made.folder / "probe_nodes.py").write_text(NODES)
    (made.folder / "celeryconfig.py").write_text('imports = ("probe_nodes",)\n')
    sync(made)
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


def sync(made: Deployment) -> None:
    """Bring the definitions of the code into the database and the index, as a deploy does."""
    script = "import django; django.setup(); import probe_app; probe_app.app.loader.import_default_modules(); "
    made.command(sys.executable, "-c", script + "from backbeat.admin.definitions import sync_from_code; sync_from_code()")


def submit(site: Deployment, dag: Dag, key: str = "1", **params: Any) -> str:
    """Publish a graph that no code defines, and ask for a run of it."""
    site.store.dags.publish(dag)
    site.store.index.put(JobSpec(dag.name, DAG_TASK))
    return site.submit(dag.name, key, **params)


def ended(site: Deployment, run_id: str, within: float = 60) -> str:
    """The state in which a DAG run ended."""

    def fact() -> str | None:
        seen = site.store.dags.see(run_id)
        return seen.facts.get("end") if seen is not None else None

    return eventually(fact, within=within, message=site.story)


def states(site: Deployment, dag: Dag, run_id: str) -> dict[str, RunState]:
    seen = site.store.dags.see(run_id)
    assert seen is not None
    return dict(zip(dag.by_id, states_of(seen.codes), strict=True))


def times(site: Deployment, word: str) -> dict[str, float]:
    lines = [line.split() for line in site.effects_file.read_text().splitlines()]
    return {run_id: float(at) for kind, run_id, _, at in lines if kind == word}


def nodes(name: str, **parents: str) -> Dag:
    return Dag(name, tuple(node._replace(job="node.work") for node in of(**parents).nodes))


def test_a_graph_runs_in_order_and_every_node_once(site: Deployment) -> None:
    dag = nodes("ordered", a="", b="a", c="a", d="b c", e="c", f="d e")

    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    begin, end = times(site, "begin"), times(site, "end")
    for node in dag.nodes:
        assert site.effects()[f"{run_id}/{node.id}"] == 1
        assert all(begin[f"{run_id}/{node.id}"] >= end[f"{run_id}/{parent}"] for parent in node.parents)


def test_a_graph_of_code_passes_outputs_parameters_and_mapped_lists(site: Deployment) -> None:
    run_id = site.submit("coded", "1", count=7, plus=5)

    assert ended(site, run_id) == "succeeded"
    kept = json.loads(Path(f"{site.effects_file}.{run_id}_keep").read_text())
    assert kept == {"result": sum(2 * n + 5 for n in range(7)) + 5, "count": 7}
    assert site.effects()[f"{run_id}/double[6]"] == 1


def test_a_failure_ends_what_needs_it_and_an_alert_runs(site: Deployment) -> None:
    flag = site.folder / "fail"
    flag.touch()
    work = "node.work"
    dag = Dag(
        "failing",
        (
            Node("a", work), Node("b", work, kwargs={"fail": str(flag)}, after=("a",)), Node("c", work, after=("b",)),
            Node("d", work, after=("a",)), Node("alert", work, after=("c", "d"), rule=Rule.ANY_FAILED),
            Node("clean", work, after=("c", "d"), rule=Rule.ALL_DONE),
        ),
    )  # fmt: skip

    run_id = submit(site, dag)

    assert ended(site, run_id) == "failed"
    assert states(site, dag, run_id) == outcome(dag, lambda node: FAILED if node == "b" else OK)
    recorded = lambda: dict(site.rows(f"select node, state from backbeat_run where dag_run = '{run_id}'"))  # noqa: E731
    eventually(
        lambda: recorded() == {k: str(v) for k, v in states(site, dag, run_id).items()}, within=20, message=str(recorded())
    )

    flag.unlink()
    assert rerun(site.store, run_id) == 4
    assert ended(site, run_id) == "succeeded"
    assert site.effects()[f"{run_id}/a"] == 1, "what was good is kept"
    assert states(site, dag, run_id)["alert"] is SKIPPED
    assert eventually(
        lambda: recorded()["b"] == "succeeded" and recorded()["alert"] == "skipped", within=20, message=str(recorded())
    )


def test_one_bad_item_runs_again_and_the_good_ones_are_kept(site: Deployment) -> None:
    flag = site.folder / "fail3"
    flag.touch()
    dag = Dag(
        "items",
        (
            Node("list", "node.numbers", (6,)),
            Node("each", "node.double", kwargs={"fail": str(flag)}, over=Ref("list"), max_parallel=2),
            Node("sum", "node.total", (Ref("each"),)),
            Node("keep", "node.keep", kwargs={"sum": Ref("sum", ("sum",))}),
        ),
    )
    run_id = submit(site, dag)
    assert ended(site, run_id) == "failed"

    flag.unlink()
    assert rerun(site.store, run_id) == 3

    assert ended(site, run_id) == "succeeded"
    assert [site.effects()[f"{run_id}/each[{n}]"] for n in range(6)] == [1] * 6
    assert json.loads(Path(f"{site.effects_file}.{run_id}_keep").read_text()) == {"sum": 30}


def test_a_large_output_travels_by_reference_and_a_value_that_is_no_json_fails_with_a_sentence(site: Deployment) -> None:
    dag = Dag("large", (Node("huge", "node.huge", (300_000,)), Node("keep", "node.keep", kwargs={"text": Ref("huge")})))
    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    assert len(json.loads(Path(f"{site.effects_file}.{run_id}_keep").read_text())["text"]) == 300_000
    assert site.client.hget(site.store.slots.of(run_id).dag(run_id, "o"), "0").startswith("@")

    odd = Dag("odd", (Node("odd", "node.odd"), Node("keep", "node.keep", kwargs={"text": Ref("odd")})))
    assert ended(site, submit(site, odd)) == "failed"
    told = "select error_message from backbeat_run where run_id = 'odd:1/odd' and state = 'failed'"
    ((message,),) = eventually(lambda: site.rows(told), within=10)
    assert "expected an output that JSON can hold, because other nodes need it; got object" in message


@pytest.mark.parametrize(
    ("over", "sentence"),
    [("not a list", "expected a list to map over; got 'not a list'."), (list(range(10_001)), "expected at most 10,000 items")],
)
def test_a_map_over_what_cannot_be_mapped_ends_with_a_sentence(site: Deployment, over: Any, sentence: str) -> None:
    dag = Dag(f"map-{type(over).__name__}", (Node("each", "node.double", over=Param("over")),), required=("over",))

    run_id = submit(site, dag, over=over)

    assert ended(site, run_id) == "failed"
    told = lambda: site.rows(f"select error_message from backbeat_run where run_id = '{run_id}/each'")  # noqa: E731
    ((message,),) = eventually(told, within=10)
    assert sentence in message


def test_a_slow_sibling_does_not_delay_an_unrelated_child(site: Deployment) -> None:
    slow = Node("slow", "node.work", kwargs={"seconds": 3.0})
    dag = Dag(
        "barrier",
        (
            slow,
            Node("quick", "node.work"),
            Node("child", "node.work", after=("quick",)),
            Node("join", "node.work", after=("slow", "child")),
        ),
    )

    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    end = times(site, "end")
    assert end[f"{run_id}/child"] < end[f"{run_id}/slow"] - 1


def test_a_cancelled_run_stops_its_running_nodes(site: Deployment) -> None:
    dag = Dag("cancelled", (Node("long", "node.work", kwargs={"seconds": 60.0}), Node("after", "node.work", after=("long",))))
    run_id = submit(site, dag)
    eventually(lambda: site.effects("begin")[f"{run_id}/long"], within=20, message=site.story)

    site.store.ledger.cancel(run_id, "enough")

    assert ended(site, run_id) == "cancelled"
    assert set(states(site, dag, run_id).values()) == {RunState.CANCELLED}


def test_parameters_that_do_not_fit_end_the_run_with_a_sentence(site: Deployment) -> None:
    run_id = submit(site, Dag("strict", (Node("a", "node.work"),), required=("day",)), dya="mon")

    told = lambda: site.rows(f"select error_message from backbeat_run where run_id = '{run_id}' and state = 'failed'")  # noqa: E731
    ((message,),) = eventually(told, within=20)
    assert "no parameter 'dya'. Did you mean 'day'?" in message


def test_a_schedule_starts_a_dag_run_an_occurrence_and_skips_while_one_is_under_way(site: Deployment) -> None:
    dag = Dag("ticking", (Node("a", "node.work", kwargs={"seconds": 1.5}), Node("b", "node.work", after=("a",))))
    site.store.dags.publish(dag)
    beat = site.beat()
    site.define(JobSpec("ticking", DAG_TASK, schedules=(Schedule(Every("1s")),), overlap=Overlap.SKIP))

    done = lambda: site.rows("select dag_run_id, nominal from backbeat_dagrun where dag = 'ticking' and state = 'succeeded'")  # noqa: E731
    runs = eventually(lambda: done() if len(done()) >= 2 else [], within=60, message=site.story)
    skipped = site.rows("select reason from backbeat_omission where job = 'ticking'")
    beat.stop()

    assert {run_id.partition("@")[0] for run_id, _ in runs} == {"ticking"}
    assert all(nominal for _, nominal in runs)
    assert {reason for (reason,) in skipped} >= {"overlap"}, "a DAG run holds its place until its last node has ended"
    for run_id, _ in runs:
        assert site.effects()[f"{run_id}/b"] == 1
