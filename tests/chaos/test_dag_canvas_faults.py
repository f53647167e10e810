"""Canvas that loses, doubles and delays messages and chord parts, and processes that die beside it: delay, never harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backbeat.core.dag import Dag
from tests.acceptance.test_dag_canvas import came, canvas_site, graph, in_order
from tests.acceptance.test_dags import ended, submit
from tests.chaos.test_crash_points import children_died
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

FAULTS = '''
"""What happens to the canvas of a graph is told by the graph's name: message-lost, part-doubled and so on."""
import threading
from celery.backends.redis import RedisBackend
from backbeat.runtime import task

LATE = 7.0  # by then the ledger has sent the node itself

def faulty(what, call, run_id_of):
    def instead(*args, **options):
        run_id = run_id_of(*args)
        graph, node = run_id.partition(":")[0], run_id.rpartition("/")[2]
        fault = graph.removeprefix(what + "-") if graph.startswith(what) and node in "bdg" else ""
        if fault == "late":
            threading.Timer(LATE, call, args, options).start()
        elif fault != "lost":
            call(*args, **options)
        if fault == "doubled":
            call(*args, **options)
    return instead

task.hand_over = faulty("message", task.hand_over, lambda app, name, run_id, options: run_id)
RedisBackend.on_chord_part_return = faulty("part", RedisBackend.on_chord_part_return, lambda self, request, *rest: request.id)
'''
GRAPH = {"a": "", "b": "a", "c": "b", "d": "c", "e": "c", "f": "c", "g": "d e f", "h": "g", "i": "h"}
"""A chain a b c, a chord of d e f with the join g, a chain h i: the faults hit what brings b, d and g."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = canvas_site(
        Deployment(tmp_path_factory.mktemp("faults"), redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s"),
        canvas_faults=FAULTS,
    )
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


def test_messages_and_chord_parts_may_be_lost_doubled_or_late(site: Deployment) -> None:
    names = [f"{what}-{fault}" for what in ("message", "part") for fault in ("lost", "doubled", "late")]
    graphs = {name: graph(name, **GRAPH) for name in names}
    runs = {name: submit(site, dag) for name, dag in graphs.items()}
    eventually(lambda: came(site, runs["message-lost"], "end"), within=30, message=site.story)
    site.processes["keeper"].kill()
    site.keeper("another keeper")

    for name, run_id in runs.items():
        assert ended(site, run_id, within=60) == "succeeded"
        in_order(site, graphs[name], run_id, graphs[name].nodes)
    assert came(site, runs["message-lost"], "ledger") >= {"b", "d"}
    # What is late comes at last, and finds that all is done.
    eventually(lambda: site.processes["worker"].logs(1 << 20).count("message dropped") >= 4, within=20, message=site.story)
    for name, run_id in runs.items():
        in_order(site, graphs[name], run_id, graphs[name].nodes)


def test_a_chord_whose_results_expired_is_joined_by_the_ledger(site: Deployment) -> None:
    dag = graph("expired", a="", b="", c="a b")
    slow = dag.nodes[1]._replace(kwargs={"seconds": 2.0})
    run_id = submit(site, Dag(dag.name, (dag.nodes[0], slow, dag.nodes[2]), engine=dag.engine))
    eventually(lambda: came(site, run_id, "end") == {"a"}, within=20, message=site.story)

    counted = eventually(lambda: list(site.client.scan_iter("celery-taskset-meta-*")), within=5)
    site.client.delete(*counted)

    assert ended(site, run_id) == "succeeded"
    in_order(site, dag, run_id, dag.nodes)
    assert came(site, run_id, "ledger") == {"c"}


def test_connections_to_redis_that_break_again_and_again_run_no_node_twice(site: Deployment) -> None:
    dag = graph("cut", **GRAPH)
    nodes = tuple(node._replace(kwargs={"seconds": 0.2}) for node in dag.nodes)
    run_id = submit(site, Dag(dag.name, nodes, engine=dag.engine))

    for count in (1, 3, 6):
        eventually(lambda count=count: len(came(site, run_id, "end")) >= count, within=60, message=site.story)
        site.client.client_kill_filter(_type="normal", skipme=True)

    assert ended(site, run_id, within=90) == "succeeded"
    in_order(site, dag, run_id, dag.nodes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        "finish:after:2",
        "dag_step:after:1",
        *(pytest.param(point, marks=pytest.mark.long) for point in ("finish:after:6", "claim:before:7", "dag_step:before:2")),
    ],
)
def test_a_worker_that_dies_between_the_end_of_a_node_and_the_next_message(site: Deployment, point: str) -> None:
    site.processes["worker"].stop()
    dag = graph("dies-" + point.replace(":", "-"), **GRAPH)
    doomed = site.crashing(site.worker, "doomed", point)
    run_id = submit(site, dag)
    eventually(lambda: not doomed.alive or children_died(doomed), within=40, message=site.story)
    doomed.stop()

    site.worker(children=2)

    assert ended(site, run_id, within=60) == "succeeded"
    assert all(site.effects()[f"{run_id}/{node.id}"] == 1 for node in dag.nodes)
