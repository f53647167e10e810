"""DAG runs in the ledger: every node once, in order, by its rule, whatever is lost, doubled or late."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbeat.core.dag import Dag, Node, Ref, Rule
from backbeat.core.dag_state import outcome
from backbeat.core.state import RunState
from backbeat.store.store import Store
from tests.core.graphs import dags, of
from tests.store.graph_runs import QUEUE, RUN, begin, events, lose_three_times, queued, run_all, start, states, submit, take, work

OK, FAILED, SKIPPED, UPSTREAM = RunState.SUCCEEDED, RunState.FAILED, RunState.SKIPPED, RunState.UPSTREAM_FAILED
CANCELLED = RunState.CANCELLED
DIAMOND = of(a="", b="a", c="a", d="b c")


def test_only_roots_are_queued_at_first_and_children_when_their_parents_are_done(store: Store) -> None:
    start(store, DIAMOND)
    assert queued(store) == ["g:1/a"]

    work(store, take(store) or "")
    assert queued(store) == ["g:1/b", "g:1/c"]

    work(store, take(store) or "")
    assert queued(store) == ["g:1/c"], "d waits for both"


def test_a_dag_run_is_a_run_that_ends_with_its_last_node(store: Store) -> None:
    start(store, DIAMOND)
    assert store.ledger.get(RUN)["s"] == "running"

    assert run_all(store) == ["a", "b", "c", "d"]

    assert store.ledger.get(RUN) == {}
    assert [event["k"] for event in events(store)] == ["started", "dag_started", "dag_finished", "finished"]
    assert events(store, kind="dag_finished")[0]["state"] == "succeeded"
    assert json.loads(events(store, kind="dag_finished")[0]["outcome"]) == {"summary": {"succeeded": 4}}


def test_a_failure_is_told_with_the_node_that_was_first(store: Store) -> None:
    start(store, DIAMOND)

    run_all(store, lambda node: FAILED if node == "b" else OK)

    assert states(store, DIAMOND) == {"a": OK, "b": FAILED, "c": OK, "d": UPSTREAM}
    assert events(store, kind="finished")[0]["reason"] == "2 of 4 nodes did not end well; first: b failed"
    never_ran = events(store, f"{RUN}/d")
    assert [(event["k"], event["state"], event["reason"]) for event in never_ran] == [("finished", "upstream_failed", "upstream")]


def test_a_start_that_is_repeated_starts_nothing_again(store: Store) -> None:
    start(store, DIAMOND)

    assert begin(store, DIAMOND).outcome == "running"
    assert queued(store) == ["g:1/a"]


def test_a_message_of_a_node_that_comes_twice_runs_it_once(store: Store) -> None:
    start(store, DIAMOND)
    message = store.slots.client.lrange(QUEUE, 0, -1)[0]
    store.slots.client.lpush(QUEUE, message, message)

    assert run_all(store) == ["a", "b", "c", "d"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), dags(most=14, rules=tuple(Rule)))
def test_random_graphs_end_as_the_oracle_says_in_whatever_order_their_nodes_run(store: Store, data: Any, dag: Dag) -> None:
    store.slots.client.flushall()
    results = {node.id: data.draw(st.sampled_from([OK, OK, OK, FAILED, RunState.TIMED_OUT])) for node in dag.nodes}
    start(store, dag)
    ended: list[str] = []

    while waiting := queued(store):
        run_id = data.draw(st.sampled_from(waiting))
        node = run_id.removeprefix(f"{RUN}/")
        if data.draw(st.booleans()):
            _take_away(store, run_id)
        early = dag.by_id[node].rule in (Rule.ANY_FAILED, Rule.ANY_SUCCESS)
        assert early or all(
            parent in ended or states(store, dag)[parent] in (SKIPPED, UPSTREAM) for parent in dag.by_id[node].parents
        )
        if work(store, run_id, results[node]):
            assert node not in ended
            ended.append(node)
        else:
            _take_away(store, run_id)

    expected = outcome(dag, results.__getitem__)
    assert states(store, dag) == expected
    assert sorted(ended) == sorted(node for node, state in expected.items() if state not in (SKIPPED, UPSTREAM))
    assert store.ledger.get(RUN) == {}


def _take_away(store: Store, run_id: str) -> None:
    for text in store.slots.client.lrange(QUEUE, 0, -1):
        if json.loads(text)["headers"]["id"] == run_id:
            store.slots.client.lrem(QUEUE, 1, text)


@pytest.mark.parametrize("width", [3000])
def test_a_wide_fan_goes_in_bounded_pieces_and_comes_whole(store: Store, width: int) -> None:
    leaves = {f"n{n}": "a" for n in range(width)}
    dag = of(a="", **leaves, end=" ".join(leaves))
    start(store, dag)

    work(store, take(store) or "")
    first_piece = store.slots.client.llen(QUEUE)

    assert 100 < first_piece < 1000, "one script must not queue them all"
    assert store.slots.client.zscore(store.slots.of(RUN).dags, RUN) <= store.slots.now_ms(), "a keeper looks at once"
    assert len(run_all(store)) == width + 1
    assert set(states(store, dag).values()) == {OK}


def test_a_failed_root_of_a_huge_graph_ends_all_of_it_in_pieces(store: Store) -> None:
    dag = of(a="", **{f"n{n}": "a" if n == 0 else f"n{n - 1}" for n in range(3000)})
    start(store, dag)

    assert run_all(store, lambda _: FAILED) == ["a"]
    assert events(store, kind="finished")[0]["reason"] == "3001 of 3001 nodes did not end well; first: a failed"


def test_a_mapped_node_runs_each_item_and_the_join_waits_for_all(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=("p", "q", "r")), Node("join", "x", (Ref("many"),))))
    start(store, dag)
    assert store.dags.step(RUN) == (False, ["e:0"])

    store.dags.put_items(RUN, 0, ['"p"', '"q"', '{"r": 1}'])
    store.dags.step(RUN, [("e", 0, 3)])
    arguments = [json.loads(store.ledger.get(run_id)["x"]) for run_id in queued(store)]

    assert queued(store) == ["g:1/many[0]", "g:1/many[1]", "g:1/many[2]"]
    assert arguments == [[["p"], {}], [["q"], {}], [[{"r": 1}], {}]]
    assert run_all(store) == ["many[0]", "many[1]", "many[2]", "join"]
    assert events(store, f"{RUN}/many")[0]["reason"] == "3 items"
    assert set(store.slots.client.hkeys(store.slots.of(RUN).dag(RUN, "o", 0))) == {"0", "1", "2"}


def test_a_map_over_nothing_succeeds_at_once_and_a_second_answer_changes_nothing(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=()), Node("join", "x", after=("many",))))
    start(store, dag)

    store.dags.step(RUN, [("e", 0, 0)])
    store.dags.step(RUN, [("e", 0, 5)])

    assert run_all(store) == ["join"]


def test_a_map_whose_items_cannot_be_known_fails_with_the_sentence(store: Store) -> None:
    dag = Dag("g", (Node("first", "x"), Node("many", "x", over=Ref("first")), Node("join", "x", after=("many",))))
    start(store, dag)

    run_all(store, answers={"e:1": ("x", 1, "expected a list to map over; got 'eu'.")})

    assert states(store, dag) == {"first": OK, "many": FAILED, "join": UPSTREAM}
    error = json.loads(events(store, f"{RUN}/many")[0]["outcome"])["error"]
    assert error["message"] == "expected a list to map over; got 'eu'."


def test_no_more_items_run_at_once_than_allowed(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=tuple(range(10)), max_parallel=2),))
    start(store, dag)
    store.dags.put_items(RUN, 0, [str(n) for n in range(10)])
    store.dags.step(RUN, [("e", 0, 10)])

    seen = []
    while run_id := take(store):
        seen.append(len(queued(store)) + 1)
        work(store, run_id, FAILED if run_id.endswith("[3]") else OK)

    assert seen == [2] * 9 + [1]
    assert states(store, dag) == {"many": FAILED}
    assert events(store, f"{RUN}/many")[0]["reason"] == "1 of 10 items ended badly"


def test_ten_thousand_items_are_created_in_pieces(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=()), Node("join", "x", after=("many",))))
    start(store, dag)
    store.dags.put_items(RUN, 0, ["0"] * 10_000)
    store.dags.step(RUN, [("e", 0, 10_000)])
    assert store.slots.client.llen(QUEUE) < 1000

    while store.dags.step(RUN)[0]:
        pass

    assert store.slots.client.llen(QUEUE) == 10_000
    assert store.ledger.get(f"{RUN}/many[9999]")["s"] == "queued"


def test_a_choice_leaves_out_the_other_children(store: Store) -> None:
    dag = Dag(
        "g",
        (
            Node("size", "x", cases={"small": ("quick",), "large": ("slow",)}),
            Node("quick", "x", after=("size",)),
            Node("slow", "x", after=("size",)),
            Node("join", "x", after=("quick", "slow"), rule=Rule.NONE_FAILED),
        ),
    )
    start(store, dag)

    assert run_all(store, answers={"c:0": ("c", 0, [2])}) == ["size", "quick", "join"]
    assert states(store, dag) == {"size": OK, "quick": OK, "slow": SKIPPED, "join": OK}


def test_a_cancelled_run_starts_nothing_more_and_asks_what_runs_to_stop(store: Store) -> None:
    start(store, DIAMOND)
    work(store, take(store) or "")
    running = take(store) or ""
    store.ledger.claim(running, "w", 30, "w1")

    store.dags.cancel(RUN, "not needed")
    store.dags.step(RUN)

    assert store.ledger.get(running)["cancel"] == "not needed"
    assert not work(store, take(store) or ""), "c was cancelled in the queue"
    assert store.ledger.get(RUN)["s"] == "running", "b has not stopped yet"
    store.ledger.finish(running, "w", 1, CANCELLED, {})
    assert states(store, DIAMOND) == {"a": OK, "b": CANCELLED, "c": CANCELLED, "d": CANCELLED}
    assert events(store, kind="finished")[0]["state"] == "cancelled"


def test_cancelling_a_map_ends_items_that_wait_and_stops_those_that_run(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=(1, 2, 3, 4), max_parallel=2), Node("join", "x", after=("many",))))
    start(store, dag)
    store.dags.put_items(RUN, 0, ["1", "2", "3", "4"])
    store.dags.step(RUN, [("e", 0, 4)])
    store.ledger.claim(take(store) or "", "w", 30, "w1")

    store.dags.cancel(RUN, "stop")
    store.dags.step(RUN)
    store.ledger.finish(f"{RUN}/many[0]", "w", 1, CANCELLED, {})

    assert states(store, dag) == {"many": CANCELLED, "join": CANCELLED}
    assert events(store, kind="finished")[0]["state"] == "cancelled"


def test_a_run_that_took_too_long_ends_as_timed_out(store: Store) -> None:
    start(store, DIAMOND, deadline=0.001)
    looked = []
    while not looked:
        looked = [look for look in store.dags.due(10, 0.01) if look.deadline and look.deadline < look.now]

    store.dags.cancel(looked[0].run_id, "timed_out")
    store.dags.step(RUN)

    assert events(store, kind="finished")[0]["state"] == "timed_out"


def test_a_held_run_starts_nothing_until_it_may_go_on(store: Store) -> None:
    start(store, DIAMOND)
    assert store.dags.hold(RUN, on=True)
    assert not store.dags.hold(RUN, on=True)

    work(store, take(store) or "")
    assert queued(store) == []

    store.dags.hold(RUN, on=False)
    assert run_all(store) == ["b", "c", "d"]


def test_a_dag_runs_no_more_often_at_once_than_allowed_and_the_next_follows_by_itself(store: Store) -> None:
    start(store, DIAMOND, max_active=1)
    waiting = start(store, DIAMOND, "g:2", max_active=1, message="start g:2")
    assert waiting.outcome == "waits"
    assert store.ledger.get("g:2")["s"] == "pending"

    run_all(store)

    assert store.ledger.get("g:2")["s"] == "queued"
    assert store.slots.client.lrange("starts", 0, -1)[0] == "start g:2"
    assert begin(store, DIAMOND, "g:2", max_active=1).outcome == "started"
    run_all(store, run_id="g:2")


def test_a_quarantined_node_does_not_hang_the_run(store: Store) -> None:
    start(store, DIAMOND)
    lose_three_times(store, f"{RUN}/a")

    assert states(store, DIAMOND) == {"a": RunState.QUARANTINED, "b": UPSTREAM, "c": UPSTREAM, "d": UPSTREAM}
    assert events(store, kind="finished")[0]["state"] == "failed"


def test_nothing_stays_in_redis_after_the_retention(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=(1, 2)), Node("join", "x", (Ref("many"),))))
    start(store, dag)
    store.dags.put_items(RUN, 0, ["1", "2"])
    store.dags.step(RUN, [("e", 0, 2)])
    run_all(store)

    client, keys = store.slots.client, store.slots.of(RUN)
    for key in client.keys(f"{keys.prefix}*"):
        if key not in (keys.events, keys.templates):
            assert client.pttl(key) > 0, f"{key} would stay for ever"


def test_a_graph_is_kept_while_some_run_uses_it(store: Store) -> None:
    start(store, DIAMOND)
    start(store, DIAMOND, "g:2")
    graph = next(iter(store.slots.client.keys("*graph:*")))

    for node in "abcd":
        work(store, f"{RUN}/{node}")
    assert store.slots.client.pttl(graph) == -1

    run_all(store, run_id="g:2")
    assert store.slots.client.pttl(graph) > 0


def test_a_start_without_its_run_or_its_graph_changes_nothing(store: Store) -> None:
    assert begin(store, DIAMOND).outcome == "gone"
    submit(store)
    assert store.dags.start(RUN, "unknown", 4, {"e": RUN}, ["{}"], b"", {}).outcome == "unknown"
    assert store.ledger.get(RUN)["s"] == "queued"
