"""What a node costs its worker: one script to end it and win the next, one to claim what came by message, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from backbeat import Backbeat, conf, dag, job
from backbeat.core.keys import RunId
from backbeat.store import scripts
from backbeat.store.store import open_store
from tests.support.eventually import eventually
from tests.support.in_thread import worker_in_thread

pytestmark = pytest.mark.redis


@job("hops.node")
def node() -> None:
    """Nothing."""


@dag("hops.row")
def row():
    first = node()
    for _ in range(9):
        first = node().after(first)


@dag("hops.fan")
def fan():
    first = node()
    node().after(*[node().after(first) for _ in range(8)])


@pytest.fixture(params=[0.0, 60.0], ids=["by message", "going on"])
def app(request: pytest.FixtureRequest, redis_url: str, redis_broker_url: str) -> Iterator[Backbeat]:
    with conf.override(redis_url=redis_url, broker_url=redis_broker_url, go_on=request.param):
        app = Backbeat("tests", config_source={"imports": ()})
        app.set_current()
        yield app
        app.close()


@pytest.mark.parametrize("graph", [row, fan], ids=["row", "fan"])
def test_a_hop_takes_two_scripts_at_most_and_nothing_else(app: Backbeat, monkeypatch: pytest.MonkeyPatch, graph: Any) -> None:
    client, asked, called = open_store().slots.client, Counter[str](), Counter[str]()
    ask, call = client.execute_command, scripts.Script.__call__
    monkeypatch.setattr(client, "execute_command", lambda *args, **more: (asked.update([args[0]]), ask(*args, **more))[1])
    monkeypatch.setattr(scripts.Script, "__call__", lambda one, *args: (called.update([one.name]), call(one, *args))[1])

    with worker_in_thread(app):
        _ended(graph.start(key="first"))
        asked.clear()
        called.clear()
        _ended(graph.start(key="second"))

    # Of a fan the first goes on with root and part, four more have messages, and the last of all ends with the join.
    claims = 10 if not conf.settings().go_on else 1 if graph is row else 5
    assert (called["claim"], called["finish"], called["dag_step"]) == (claims, 10, 0)
    # Besides, what starts the run, and the heartbeat.
    started = asked.total() - called.total() - asked["TIME"]
    assert started <= 15, asked


def _ended(run_id: RunId) -> None:
    store = open_store()
    eventually(lambda: (seen := store.dags.see(run_id)) and seen.facts.get("end") == "succeeded", within=60, every=0.2)
