"""Segments of a graph as Celery's canvas: small messages, sent once, and no error that reaches the node before them."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from backbeat import Backbeat, conf
from backbeat.core.dag import Dag, Engine
from backbeat.core.plan_cost import MESSAGE_BYTES, TAIL_BYTES
from backbeat.runtime import canvas
from backbeat.runtime.dag_advance import advance
from backbeat.store.store import Store, open_store
from tests.core.graphs import of
from tests.store.graph_runs import QUEUE, RUN, begin, queued, run_all, start, states, submit, take, work

pytestmark = pytest.mark.redis
ROW = {"n0": "", **{f"n{number}": f"n{number - 1}" for number in range(1, 100)}}


@pytest.fixture
def app(redis_url: str, redis_broker_url: str) -> Iterator[Backbeat]:
    with conf.override(redis_url=redis_url, broker_url=redis_broker_url):
        app = Backbeat("tests", config_source={"imports": ()})
        app.set_current()
        yield app
        app.close()


@pytest.fixture
def store(app: Backbeat) -> Store:
    return open_store()


def by_canvas(**parents: str) -> Dag:
    return replace(of(**parents), engine=Engine.CANVAS)


def letters(store: Store) -> list[dict[str, Any]]:
    """The messages that wait, oldest first, with what their bodies say."""
    found = [json.loads(text) for text in store.slots.client.lrange(QUEUE, 0, -1)][::-1]
    return [{**one, "embed": json.loads(b64decode(one["body"]))[2]} for one in found]


def test_a_message_of_a_chain_stays_small_however_long_the_row_of_nodes_is(store: Store) -> None:
    start(store, by_canvas(**ROW))
    advance(store, RUN)

    (letter,) = letters(store)
    size = len(store.slots.client.lrange(QUEUE, 0, 0)[0].encode())

    assert [part["options"]["task_id"] for part in letter["embed"]["chain"][::-1]] == [f"{RUN}/n{n}" for n in range(1, 20)]
    assert size < (MESSAGE_BYTES + 19 * TAIL_BYTES) * 4 / 3 < 10_000


def test_the_parts_of_a_chord_know_their_join_and_nothing_more(store: Store) -> None:
    start(store, by_canvas(**{f"n{n}": "" for n in range(10)}, join=" ".join(f"n{n}" for n in range(10))))
    advance(store, RUN)

    found = letters(store)

    assert [letter["headers"]["id"] for letter in found] == [f"{RUN}/n{n}" for n in range(10)]
    assert {letter["embed"]["chord"]["options"]["task_id"] for letter in found} == {f"{RUN}/join"}
    assert max(len(text) for text in store.slots.client.lrange(QUEUE, 0, -1)) < (MESSAGE_BYTES + 2 * TAIL_BYTES) * 4 / 3


def test_a_segment_is_sent_once_and_the_ledger_sends_what_canvas_lost(store: Store) -> None:
    dag = by_canvas(a="", b="a", c="b")
    start(store, dag)
    advance(store, RUN)
    advance(store, RUN)
    assert queued(store) == [f"{RUN}/a"], "sent once"

    assert work(store, take(store) or "", canvas=canvas.CARRIES)
    assert queued(store) == [], "b's message is canvas's to bring"
    timer = store.slots.client.zscore(store.slots.of(RUN).timers, f"{RUN}/b")

    assert 0 < timer - store.slots.now_ms() <= 5_000
    assert work(store, f"{RUN}/b"), "its own message does as well"
    assert queued(store) == [f"{RUN}/c"], "and brought nothing, so the ledger goes on"
    assert run_all(store) == ["c"]


def test_a_join_whose_parts_did_not_all_go_by_canvas_is_sent_by_the_ledger(store: Store) -> None:
    dag = by_canvas(a="", b="", c="a b")
    start(store, dag)
    advance(store, RUN)

    assert work(store, f"{RUN}/a")
    assert work(store, f"{RUN}/b", canvas=canvas.CARRIES)

    assert queued(store)[-1] == f"{RUN}/c"


def test_an_end_that_comes_while_the_run_is_held_lets_nothing_go(store: Store) -> None:
    dag = by_canvas(a="", b="a")
    start(store, dag)
    advance(store, RUN)
    store.dags.hold(RUN, on=True)
    assert work(store, take(store) or "", canvas=canvas.CARRIES)
    assert not work(store, f"{RUN}/b"), "canvas brings its message, and there is no run for it"

    store.dags.hold(RUN, on=False)

    assert run_all(store) == ["b"]
    assert {str(state) for state in states(store, dag).values()} == {"succeeded"}


def test_what_cannot_be_sent_is_left_to_the_ledger_without_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    submit(store)
    begin(store, by_canvas(a="", b="a"))
    monkeypatch.setattr(store.index, "template", lambda slot, name: None)

    advance(store, RUN)

    assert "a chain of 2 nodes was not sent, the ledger will: the policies of node 'a' are gone" in caplog.text
    assert queued(store) == []


def test_a_broker_that_is_away_breaks_no_node(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with conf.override(redis_url=redis_url, broker_url="amqp://guest@127.0.0.1:1//"):
        quick = {"imports": (), "broker_transport_options": {"max_retries": 1}}
        app = Backbeat("away", set_as_current=False, config_source=quick)
        canvas.hand_over(app, "any", f"{RUN}/b", {"queue": QUEUE, "headers": {"backbeat": {"slot": 0, "node": 1}}})
        app.close()

    assert f"run {RUN}/b: not sent by canvas, the ledger will" in caplog.text


def test_a_failure_is_kept_from_canvas() -> None:
    request = SimpleNamespace(chain=[{"task": "next"}], chord={"task": "join"}, group="g")

    canvas.let_go(request)

    assert (request.chain, request.chord, request.group) == (None, None, None)
