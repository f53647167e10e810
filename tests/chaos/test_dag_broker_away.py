"""RabbitMQ that goes away under a graph on canvas: a node ends, its child's message can't be sent; the run ends all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.core.dag import Dag
from tests.acceptance.test_dag_canvas import came, canvas_site, graph, in_order
from tests.acceptance.test_dags import ended, submit
from tests.chaos.test_dag_canvas_faults import GRAPH
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.fixtures import rabbit_node
from tests.support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.rabbitmq, pytest.mark.slow]


@pytest.fixture(scope="module")
def rabbit(server_folder: Path) -> Iterator[RabbitServer]:
    """A broker that may be stopped without harm to other tests."""
    with rabbit_node(server_folder, "away") as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, rabbit: RabbitServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder, leases = tmp_path_factory.mktemp("away"), {"BACKBEAT_RUN_LEASE": "3s", "BACKBEAT_REQUEUE_AFTER": "5s"}
    made = canvas_site(Deployment(folder, redis_server.url, rabbit.url, **leases))
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


def slow(name: str, **seconds: float) -> Dag:
    """The graph of chain, chord and chain, some of whose nodes take a while."""
    dag = graph(name, **GRAPH)
    nodes = (node._replace(kwargs={"seconds": seconds[node.id]}) if node.id in seconds else node for node in dag.nodes)
    return Dag(name, tuple(nodes), engine=dag.engine)


def test_the_broker_is_away_when_a_node_of_a_chain_and_the_last_part_of_a_chord_end(
    site: Deployment, rabbit: RabbitServer
) -> None:
    dag = slow("restarted", b=4.0, e=4.0)
    run_id = submit(site, dag)

    for node, child in (("b", "c"), ("e", "g")):
        eventually(lambda node=node: node in came(site, run_id, "begin"), within=90, message=site.story)
        rabbit.stop()
        eventually(lambda node=node: node in came(site, run_id, "end"), within=30, message=site.story)
        eventually(lambda node=node: not site.store.ledger.get(f"{run_id}/{node}"), within=10, message="its end is written down")
        assert child not in came(site, run_id, "begin")
        rabbit.start()

    assert ended(site, run_id, within=120) == "succeeded"
    in_order(site, dag, run_id, dag.nodes)


def test_connections_to_the_broker_that_break_again_and_again_run_no_node_twice(site: Deployment, rabbit: RabbitServer) -> None:
    dag = slow("cut", **dict.fromkeys("abcdefghi", 0.3))
    run_id = submit(site, dag)

    for count in (1, 3, 6):
        eventually(lambda count=count: len(came(site, run_id, "end")) >= count, within=90, message=site.story)
        rabbit.control("close_all_connections", "cut by a test")

    assert ended(site, run_id, within=120) == "succeeded"
    in_order(site, dag, run_id, dag.nodes)
