"""The same graph on both brokers: on RabbitMQ the nodes' messages go through the outbox."""

from __future__ import annotations

import pytest

from backbeat.core.dag import Dag, Node, Rule
from backbeat.core.job import JobSpec
from backbeat.core.plan import plan
from tests.acceptance.test_dags import ended, submit, times
from tests.support.deployment import Deployment
from tests.support.eventually import eventually

WORK = "probe.work"
GRAPH = Dag(
    "both",
    (
        Node("a", WORK),
        Node("b", WORK, over=(0.0, 0.1, 0.2), max_parallel=2, after=("a",)),
        Node("c", WORK, after=("a",)),
        Node("d", WORK, after=("b", "c")),
        Node("alert", WORK, after=("d",), rule=Rule.ANY_FAILED),
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [60.0, None], ids=["limited", "quick"])
def test_a_row_of_nodes_travels_as_a_chain_only_where_it_needs_messages_to_another_broker(
    running: Deployment, timeout: float | None
) -> None:
    running.define(JobSpec(WORK, WORK))
    first = Node("a", WORK, kwargs={"seconds": 1.0}, timeout=timeout)
    rest = (Node(name, WORK, after=(above,), timeout=timeout) for name, above in zip("bcde", "abcd", strict=True))
    dag = Dag(f"row{timeout}", (first, *rest))
    direct = running.store.slots.direct
    planned = plan(dag, direct=direct, goes_on=lambda node: node.timeout is None).segments

    run_id = submit(running, dag)
    eventually(lambda: running.effects("begin")[f"{run_id}/a"], within=30, message=running.story)
    carries = "cv" in running.store.ledger.get(f"{run_id}/a")

    assert carries == bool(planned) == (timeout is not None and not direct)
    assert ended(running, run_id) == "succeeded"
    assert [running.effects("begin")[f"{run_id}/{node}"] for node in dag.by_id] == [1] * 5
    begin = times(running, "begin")
    assert begin[f"{run_id}/c"] - times(running, "end")[f"{run_id}/a"] < 5, "canvas brought them, not the ledger's timer"


@pytest.mark.slow
def test_a_graph_runs_alike_on_redis_and_rabbitmq(running: Deployment) -> None:
    running.define(JobSpec(WORK, WORK))

    run_id = submit(running, GRAPH)

    assert ended(running, run_id) == "succeeded"
    effects = {name.removeprefix(f"{run_id}/"): count for name, count in running.effects().items() if name.startswith(run_id)}
    assert effects == {"a": 1, "b[0]": 1, "b[1]": 1, "b[2]": 1, "c": 1, "d": 1}
    row = lambda: running.rows(f"select state from backbeat_dagrun where dag_run_id = '{run_id}'")  # noqa: E731
    eventually(lambda: row() == [("succeeded",)], within=20, message=lambda: str(row()))
