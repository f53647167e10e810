"""DAG runs without workers: the test takes messages from the queue and ends their runs by the ledger's own scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backbeat.core.dag import Dag
from backbeat.core.dag_wire import Wire, counters, states_of
from backbeat.core.message import dumps, envelope
from backbeat.core.plan import plan
from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.store.dag_ledger import Started
from backbeat.store.store import Store

RUN = "g:1"
QUEUE = "default.p5"


def submit(store: Store, run_id: str = RUN) -> None:
    """The run that is to become a DAG run, as a schedule or a caller makes it."""
    template = Template("g")
    store.index.keep_template(run_id, template, template.task)
    fields = {"j": "g", "n": "", "q": "starts", "tid": template.id, "x": "[[],\t{}]"}
    store.ledger.submit(run_id, fields, "start me")


def start(store: Store, dag: Dag, run_id: str = RUN, **options: Any) -> Started:
    """Submit and start a DAG run; stores the graph when it is unknown, as the runtime does."""
    submit(store, run_id)
    return begin(store, dag, run_id, **options)


def begin(store: Store, dag: Dag, run_id: str = RUN, *, alone: bool = False, **options: Any) -> Started:
    """Start a run that was submitted. `alone`: workers may go on with its nodes without messages."""
    wire, template = Wire(plan(dag, direct=True)), Template("any")
    store.index.keep_template(run_id, template, template.task)
    message = envelope(template.outline, "~run~", "[[],\t{}]", slot=store.slots.of(run_id).slot)
    more = {"on": 1} if alone else {}
    kinds = [dumps({"j": kind.job, "q": kind.pool or QUEUE, "t": template.id, "m": message, **more}) for kind in wire.kinds]
    facts = {"e": dumps(run_id)[1:-1], "nominal": "", "params": "{}"}
    for _ in range(2):
        argv = (wire.version, len(dag.nodes), facts, kinds, counters(dag), {"version": wire.version})
        begun = store.dags.start(run_id, *argv, **options)
        if begun.outcome != "unknown":
            break
        store.dags.put_graph(run_id, wire.version, wire.fields())
    return begun


def queued(store: Store, queue: str = QUEUE) -> list[str]:
    """The run ids whose messages wait, oldest first."""
    return [json.loads(text)["headers"]["id"] for text in store.slots.client.lrange(queue, 0, -1)][::-1]


def take(store: Store) -> str | None:
    """The id of the oldest message, which leaves the queue."""
    text = store.slots.client.rpop(QUEUE)
    return None if text is None else str(json.loads(text)["headers"]["id"])


def work(
    store: Store,
    run_id: str,
    state: RunState = RunState.SUCCEEDED,
    output: Any = None,
    canvas: str = "",
) -> bool:
    """Claim and end one run as a worker does; False when the message was a duplicate."""
    claim = store.ledger.claim(run_id, "w", 30, "w1", canvas=canvas)
    if not claim.won:
        return False
    text = dumps(output) if claim.fields.get("ko") else ""
    ended = store.ledger.finish_node(run_id, "w", claim.attempt, state, {}, output=text)
    return ended.won


def run_all(
    store: Store,
    result: Callable[[str], RunState] = lambda _: RunState.SUCCEEDED,
    answers: Mapping[str, Sequence[Any]] | None = None,
    run_id: str = RUN,
) -> list[str]:
    """Work until nothing is left; returns the nodes in the order in which they ran. `answers` says what questions get."""
    ran: list[str] = []
    for _ in range(100_000):
        taken = take(store)
        if taken is not None:
            node = taken.removeprefix(f"{run_id}/")
            if work(store, taken, result(node)):
                ran.append(node)
            continue
        more, questions = store.dags.step(run_id, [])
        if questions:
            more, questions = store.dags.step(run_id, [(answers or {})[question] for question in questions])
        if not more and not store.slots.client.llen(QUEUE):
            return ran
    raise AssertionError("the DAG run never comes to rest")


def states(store: Store, dag: Dag, run_id: str = RUN) -> dict[str, RunState]:
    """How every node stands."""
    seen = store.dags.see(run_id)
    assert seen is not None
    return dict(zip(dag.by_id, states_of(seen.codes), strict=True))


def events(store: Store, run_id: str = RUN, kind: str = "") -> list[dict[str, str]]:
    """What history is told of a run."""
    found = store.slots.client.xrange(store.slots.of(run_id).events)
    return [fields for _, fields in found if fields["r"] == run_id and kind in ("", fields["k"])]


def lose_three_times(store: Store, run_id: str) -> None:
    """A node whose process dies each time: its lease ends, it is queued again, until it is quarantined."""
    for _ in range(3):
        store.ledger.claim(run_id, "dead", 0.001, "w1")
        while store.ledger.get(run_id)["s"] == "running":
            for seen in [one for one in store.ledger.reap(10, 0) if one.run_id == run_id]:
                store.ledger.queue(seen, "again")
    store.slots.client.lrem(QUEUE, 0, "again")
