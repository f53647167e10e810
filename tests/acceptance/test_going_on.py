"""Workers that go on with the next node by themselves: each is watched, recorded and shown as one that came by message."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import pytest
from celery import Celery

from backbeat.conf import kombu_url
from backbeat.core.dag import Dag, Engine, Node
from backbeat.core.job import JobSpec
from backbeat.core.retry import Retry
from tests.acceptance.conftest import QUICK, broker_url, ready
from tests.acceptance.test_dags import ended, submit, times
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.slow

JOBS = """
import os, time
from backbeat import current_run, job
from probe_jobs import effect

@job("on.step")
def step(first=""):
    effect("begin")
    if current_run().attempt == 1:
        if first == "die":
            os.kill(os.getpid(), 9)
        if first == "fail":
            raise RuntimeError("the first attempt fails")
        if first == "long":
            time.sleep(8)
        while first == "sleep":
            time.sleep(0.02)
    effect("end")
"""
ONCE = {node: [(1, "succeeded")] for node in "abcdef"}


PLACES = [
    pytest.param(("prefork", "redis"), marks=pytest.mark.redis, id="prefork, redis"),
    pytest.param(("prefork", "rabbitmq"), marks=pytest.mark.rabbitmq, id="prefork, rabbitmq"),
    pytest.param(("threads", "redis"), marks=pytest.mark.redis, id="threads, redis"),
]


@pytest.fixture(scope="module", params=PLACES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("goingon")
    kind, broker = request.param
    # Long enough for a row of nodes on a busy machine; with the default a slow one comes by message.
    made = Deployment(folder, redis_server.url, broker_url(request, broker), **QUICK, BACKBEAT_GO_ON="2s")
    (folder / "on_jobs.py").write_text(JOBS)
    made.includes("on_jobs")
    worker = made.worker("worker", "-P", kind, children=1)
    made.keeper()
    ready(worker)
    yield made
    made.stop()


def row(name: str, **first: str) -> Dag:
    """Six nodes in a row, some of which do something the first time."""
    names = "abcdef"
    above = [(), *((one,) for one in names)]
    return Dag(
        name,
        tuple(
            Node(one, "on.step", kwargs={"first": first.get(one, "")}, after=parents)
            for one, parents in zip(names, above, strict=False)
        ),
        engine=Engine.LEDGER,
    )


def received(site: Deployment, run_id: str) -> set[str]:
    """The nodes that came by a message."""
    log = site.processes["worker"].logs(1 << 22)
    return {node for node in "abcdef" if f"on.step[{run_id}/{node}] received" in log}


def numbers(site: Deployment, run_id: str) -> dict[str, list[tuple[int, str]]]:
    """Numbers and states of the attempts of each node, as history has them."""
    return {node: [(number, state) for number, state, _ in site.attempts(f"{run_id}/{node}")] for node in "abcdef"}


def test_a_row_of_quick_nodes_takes_one_message_and_each_node_is_recorded(site: Deployment) -> None:
    run_id = submit(site, row("quick"))

    assert ended(site, run_id) == "succeeded"
    eventually(lambda: numbers(site, run_id) == ONCE, 30, message=site.story)
    assert received(site, run_id) == {"a"}
    begin, end = times(site, "begin"), times(site, "end")
    assert all(end[f"{run_id}/{one}"] <= begin[f"{run_id}/{two}"] for one, two in zip("abcde", "bcdef", strict=True))


def test_flower_and_its_like_are_told_of_each_node(site: Deployment) -> None:
    seen, stop = defaultdict(list), threading.Event()
    app = Celery(broker=site.env.get("BROKER_URL") or kombu_url(site.env["REDIS_URL"]), set_as_current=False)

    def listen() -> None:
        with app.connection_for_read() as connection:
            note = lambda event: seen[event.get("uuid")].append(event["type"])  # noqa: E731 - a name for what is handed over
            receiver = app.events.Receiver(connection, handlers={"*": note})
            while not stop.is_set():
                with suppress(TimeoutError):
                    receiver.capture(limit=None, timeout=0.5, wakeup=False)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    eventually(lambda: seen, within=20, message="no worker is heard")

    run_id = submit(site, row("shown"))

    wanted = ["task-received", "task-started", "task-succeeded"]
    eventually(lambda: all(seen[f"{run_id}/{node}"] == wanted for node in "abcdef"), 20, message=lambda: str(dict(seen)))
    stop.set()
    thread.join(10)


# Threads share the worker's process, which would be gone.
@pytest.mark.parametrize("site", PLACES[:2], indirect=True)
def test_a_node_that_kills_its_process_is_lost_and_comes_again(site: Deployment) -> None:
    run_id = submit(site, row("deadly", c="die"))

    assert ended(site, run_id) == "succeeded"
    wanted = {**ONCE, "c": [(1, "lost"), (2, "succeeded")]}
    eventually(lambda: numbers(site, run_id) == wanted, 30, message=lambda: str(numbers(site, run_id)))
    assert received(site, run_id) == {"a", "c"}
    assert all(site.effects()[f"{run_id}/{node}"] == 1 for node in "abcdef")


def test_a_node_that_fails_comes_again_by_message(site: Deployment) -> None:
    dag = row("failing", b="fail")
    nodes = tuple(node._replace(retry=Retry(1, delay=0.1, jitter=False)) for node in dag.nodes)
    run_id = submit(site, Dag(dag.name, nodes, engine=dag.engine))

    assert ended(site, run_id) == "succeeded"
    wanted = {**ONCE, "b": [(1, "failed"), (2, "succeeded")]}
    eventually(lambda: numbers(site, run_id) == wanted, 30, message=lambda: str(numbers(site, run_id)))


def test_a_node_that_takes_longer_than_a_lease_keeps_it(site: Deployment) -> None:
    run_id = submit(site, row("long", d="long"))

    assert ended(site, run_id) == "succeeded"
    eventually(lambda: numbers(site, run_id) == ONCE, 30, message=site.story)
    assert "d" not in received(site, run_id)
    assert all(site.effects("begin")[f"{run_id}/{node}"] == 1 for node in "abcdef")


def test_a_node_that_was_gone_on_with_can_be_cancelled(site: Deployment) -> None:
    run_id = submit(site, row("stopped", c="sleep"))
    eventually(lambda: site.effects("begin")[f"{run_id}/c"], within=30, message=site.story)
    assert "c" not in received(site, run_id)

    site.store.ledger.cancel(run_id, "enough")

    assert ended(site, run_id, within=30) == "cancelled"
    eventually(lambda: site.state(f"{run_id}/c") == "cancelled", within=30, message=site.story)
    assert "does not stop" not in site.processes["worker"].logs(1 << 22), "its process ended at once, and that was noticed"


def test_revoking_a_node_without_a_message_cancels_it(site: Deployment) -> None:
    control = Celery(broker=site.env.get("BROKER_URL") or kombu_url(site.env["REDIS_URL"]), set_as_current=False).control
    run_id = submit(site, row("revoked", c="sleep"))
    eventually(lambda: site.effects("begin")[f"{run_id}/c"], within=30, message=site.story)
    assert "c" not in received(site, run_id)

    control.revoke(f"{run_id}/c", reply=True, timeout=5)
    assert site.store.ledger.states([f"{run_id}/c"]) == {f"{run_id}/c": "running"}, "only terminate stops what has begun"

    control.terminate(f"{run_id}/c", reply=True, timeout=5)
    assert ended(site, run_id, within=30) == "failed", "a graph that lacks a node"
    eventually(lambda: site.state(f"{run_id}/c") == "cancelled", within=30, message=site.story)


def test_revoking_a_run_that_waits_cancels_it(site: Deployment) -> None:
    control = Celery(broker=site.env.get("BROKER_URL") or kombu_url(site.env["REDIS_URL"]), set_as_current=False).control
    site.define(JobSpec("on.patient", "on.step", retry=Retry(3, delay=600)))
    run_id = site.submit("on.patient", "1", first="fail")
    eventually(lambda: site.store.ledger.states([run_id]) == {run_id: "retrying"}, within=30, message=site.story)

    control.revoke(run_id)

    eventually(lambda: site.state(run_id) == "cancelled", within=30, message=site.story)
