"""The same graph on both brokers: on RabbitMQ the nodes' messages go through the outbox."""

from __future__ import annotations

import pytest

from backbeat.core.dag import Dag, Node, Rule
from backbeat.core.job import JobSpec
from tests.acceptance.test_dags import ended, submit
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
def test_a_graph_runs_alike_on_redis_and_rabbitmq(running: Deployment) -> None:
    running.define(JobSpec(WORK, WORK))

    run_id = submit(running, GRAPH)

    assert ended(running, run_id) == "succeeded"
    effects = {name.removeprefix(f"{run_id}/"): count for name, count in running.effects().items() if name.startswith(run_id)}
    assert effects == {"a": 1, "b[0]": 1, "b[1]": 1, "b[2]": 1, "c": 1, "d": 1}
    row = lambda: running.rows(f"select state from backbeat_dagrun where dag_run_id = '{run_id}'")  # noqa: E731
    eventually(lambda: row() == [("succeeded",)], within=20, message=lambda: str(row()))
