"""Whoever ends a node wins the next one by the same script, where that harms nobody; the others get theirs by message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backbeat.core.dag import Dag
from backbeat.core.limits import limits_text
from backbeat.core.state import RunState
from backbeat.store.ledger import Ended, Offer
from backbeat.store.store import Store
from tests.core.graphs import of
from tests.store.graph_runs import QUEUE, RUN, events, queued, start, states, take, work

ROW = of(a="", b="a", c="b")
WIDE = of(a="", **{f"b{number:02}": "a" for number in range(20)})
OK = RunState.SUCCEEDED
QUICK = "\n".join(node.job for node in (*ROW.nodes, *WIDE.nodes))
SENT = 4
"""Messages on their way while more nodes are ready (lua/dag.lua)."""


def end(store: Store, run_id: str, jobs: str = QUICK) -> Ended:
    """Claim a run by its message, end it, and offer to go on."""
    claim = store.ledger.claim(run_id, "w", 30, "w1", who="7.1")
    assert claim.won
    return store.ledger.finish_node(run_id, "w", claim.attempt, OK, {}, worker="w1", offer=Offer("7.1", 30, jobs))


def go_on(store: Store, ended: Ended) -> Ended:
    """End the run that was won, and offer again."""
    assert ended.following is not None
    run_id, claim = ended.following
    return store.ledger.finish_node(run_id, "w", claim.attempt, OK, {}, worker="w1", offer=Offer("7.2", 30, QUICK))


def ready(store: Store) -> int:
    return int(store.slots.client.llen(f"{store.slots.of(RUN).prefix}dag.q:{QUEUE}:{RUN}"))


def test_the_next_node_is_won_without_a_message(store: Store) -> None:
    start(store, ROW, alone=True)

    ended = end(store, take(store) or "")

    assert ended.won
    assert ended.following is not None
    run_id, claim = ended.following
    assert run_id == f"{RUN}/b"
    assert claim.won
    assert claim.attempt == 1
    run = store.ledger.get(run_id)
    assert (run["s"], run["h"], run["who"], run["w"]) == ("running", "w", "7.1", "w1")
    assert queued(store) == []
    last = go_on(store, go_on(store, ended))
    assert last.following is None
    assert set(states(store, ROW).values()) == {OK}


def test_a_message_that_comes_all_the_same_is_refused(store: Store) -> None:
    start(store, ROW, alone=True)
    end(store, take(store) or "")

    assert store.ledger.claim(f"{RUN}/b", "w", 30, "w1", who="8.1").verdict == "running"


def test_without_an_offer_every_node_has_its_message_or_waits_for_its_turn(store: Store) -> None:
    start(store, WIDE, alone=True)

    work(store, take(store) or "")

    assert len(queued(store)) == SENT
    assert ready(store) == 20 - SENT


def test_each_claim_sends_the_message_of_the_next_so_that_no_slot_stays_free(store: Store) -> None:
    start(store, WIDE, alone=True)
    work(store, take(store) or "")

    for _ in range(20):
        run_id = take(store)
        assert run_id, "a slot that is free finds a message as long as any node is ready"
        assert store.ledger.claim(run_id, "w", 30, "w1").won

    assert (queued(store), ready(store)) == ([], 0)


def test_those_who_go_on_and_those_who_get_messages_share_the_nodes(store: Store) -> None:
    start(store, WIDE, alone=True)
    ended, done = end(store, take(store) or ""), 0

    while ended.following or queued(store):
        if ended.following:
            ended = go_on(store, ended)
            done += 1
        if (message := take(store)) is not None:
            assert work(store, message)
            done += 1

    assert done == 20
    assert set(states(store, WIDE).values()) == {OK}


def test_lost_messages_are_made_up_for_by_whoever_looks_at_the_dag_run(store: Store) -> None:
    start(store, WIDE, alone=True)
    work(store, take(store) or "")
    store.slots.client.delete(QUEUE)

    store.dags.step(RUN)

    assert len(queued(store)) == 1


def of_pool(dag: Dag, **pools: str) -> Dag:
    """The same graph with nodes in other pools."""
    return replace(dag, nodes=tuple(node._replace(pool=pools.get(node.id)) for node in dag.nodes))


def a_job_that_is_not_quick(store: Store) -> str:
    return "another.job"


def test_a_queue_that_nobody_serves_holds_up_no_other(store: Store) -> None:
    wide = of_pool(WIDE, **{f"b{number:02}": "nobody" for number in range(19)})
    start(store, wide, alone=True)

    work(store, take(store) or "")

    assert queued(store) == [f"{RUN}/b19"]
    assert len(queued(store, "nobody")) == SENT


def something_more_urgent_waits(store: Store) -> str:
    store.slots.client.lpush("default.p6", "somebody's message")
    return QUICK


def a_limit_of_its_job(store: Store) -> str:
    store.slots.client.hset(store.slots.of(RUN).limits, "job.b", limits_text(5, "{what}", "", "", None))
    return QUICK


@pytest.mark.parametrize("hindrance", [a_job_that_is_not_quick, something_more_urgent_waits, a_limit_of_its_job])
def test_it_comes_by_message_where_going_on_would_harm(store: Store, hindrance: Any) -> None:
    start(store, ROW, alone=True)

    ended = end(store, take(store) or "", hindrance(store))

    assert (ended.won, ended.following) == (True, None)
    assert queued(store) == [f"{RUN}/b"]


def test_a_node_of_another_queue_is_left_to_that(store: Store) -> None:
    start(store, of_pool(ROW, b="elsewhere"), alone=True)

    ended = end(store, take(store) or "")

    assert ended.following is None
    assert queued(store, "elsewhere") == [f"{RUN}/b"]


def test_what_was_cancelled_is_not_gone_on_with(store: Store) -> None:
    start(store, WIDE, alone=True)
    ended = end(store, take(store) or "")

    store.dags.cancel(RUN, "enough")

    assert go_on(store, ended).following is None
    assert ready(store) == 0
    assert sum(state is RunState.CANCELLED for state in states(store, WIDE).values()) == 19


def test_one_event_tells_all_of_a_node_that_ends_at_once(store: Store) -> None:
    start(store, ROW, alone=True)
    ended = end(store, take(store) or "")

    go_on(store, ended)

    (event,) = events(store, f"{RUN}/b")
    assert {name: event[name] for name in ("k", "state", ".a", ".w", "fresh")} == {
        "k": "finished", "state": "succeeded", ".a": "1", ".w": "w1", "fresh": "1",
    }  # fmt: skip
    assert int(event["t"]) >= int(event[".st"]) > 0


def test_the_start_of_a_node_that_lasts_is_told_once_its_lease_is_renewed(store: Store) -> None:
    start(store, ROW, alone=True)
    ended = end(store, take(store) or "")
    assert events(store, f"{RUN}/b") == []

    for _ in range(2):
        assert store.ledger.renew("w", [f"{RUN}/b"], 30) == ({f"{RUN}/b"}, set())

    assert [event["k"] for event in events(store, f"{RUN}/b")] == ["started"]
    go_on(store, ended)
    assert [(event["k"], "fresh" in event) for event in events(store, f"{RUN}/b")] == [("started", False), ("finished", False)]


def test_a_process_that_is_gone_loses_what_it_had_won(store: Store) -> None:
    start(store, ROW, alone=True)
    ended = end(store, take(store) or "")
    assert ended.following is not None

    assert store.ledger.lose(ended.following[0], "w", 7, {})

    (seen,) = store.ledger.reap(10, 0)
    assert (seen.run_id, seen.fields["l"]) == (f"{RUN}/b", "1")
