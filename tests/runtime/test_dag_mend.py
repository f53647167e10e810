"""A keeper sees to DAG runs: broken off scripts, lost runs, deadlines, cancelled ones; and people run parts again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from backbeat.core.dag import Dag, Node
from backbeat.core.dag_mend import mended
from backbeat.core.state import RunState
from backbeat.errors import NotAllowed, UnknownRun
from backbeat.runtime.dag_keeper import DagKeeper
from backbeat.runtime.dag_mend import mark, mend, rerun
from backbeat.store.dag_ledger import Rewrite
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.core.graphs import of
from tests.store.conftest import check_invariants
from tests.store.graph_runs import RUN, begin, events, lose_three_times, queued, run_all, start, states, submit, take, work

OK, FAILED, SKIPPED, UPSTREAM = RunState.SUCCEEDED, RunState.FAILED, RunState.SKIPPED, RunState.UPSTREAM_FAILED
DIAMOND = of(a="", b="a", c="a", d="b c")
pytestmark = pytest.mark.redis


@pytest.fixture
def store(redis_client: redis.Redis) -> Iterator[Store]:
    made = Store(Slots(redis_client, "t", 4, direct=True, requeue_after=60.0, key_ttl=60.0))
    yield made
    check_invariants(made)


def test_a_run_in_order_is_left_alone(store: Store) -> None:
    start(store, DIAMOND)

    assert not mend(store, RUN)
    assert not mend(store, "g:unknown")


def test_a_node_whose_run_was_lost_with_the_servers_last_second_is_queued_again(store: Store) -> None:
    start(store, DIAMOND)
    work(store, take(store) or "")
    store.slots.client.delete(store.slots.of(RUN).run(f"{RUN}/b"))
    assert take(store) == f"{RUN}/b"

    assert mend(store, RUN)

    assert sorted(queued(store)) == [f"{RUN}/b", f"{RUN}/c"]
    assert sorted(run_all(store)) == ["b", "c", "d"]
    assert set(states(store, DIAMOND).values()) == {OK}


def test_counters_that_were_lost_are_worked_out_anew(store: Store) -> None:
    start(store, DIAMOND)
    work(store, take(store) or "")
    keys = store.slots.of(RUN)
    work(store, take(store) or "")
    store.slots.client.setrange(keys.dag(RUN, "c"), 24, b"\0\0\0\0\0\0\0\2")
    work(store, take(store) or "")
    assert queued(store) == [], "d was never let go"

    assert mend(store, RUN)

    assert run_all(store) == ["d"]
    assert events(store, kind="finished")[0]["state"] == "succeeded"


def test_a_graph_that_vanished_for_a_while_stops_nothing_for_good(store: Store) -> None:
    start(store, DIAMOND)
    graph = next(iter(store.slots.client.keys("*graph:*")))
    store.slots.client.rename(graph, "{elsewhere}")
    assert work(store, take(store) or ""), "the run's own end is written all the same"
    store.slots.client.rename("{elsewhere}", graph)

    assert mend(store, RUN)

    assert run_all(store) == ["b", "c", "d"]
    assert store.ledger.get(RUN) == {}


def test_a_lost_item_of_a_mapped_node_is_queued_again(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=(1, 2, 3)), Node("join", "x", after=("many",))))
    start(store, dag)
    store.dags.put_items(RUN, 0, ["1", "2", "3"])
    store.dags.step(RUN, [("e", 0, 3)])
    store.slots.client.delete(store.slots.of(RUN).run(f"{RUN}/many[1]"))

    assert mend(store, RUN)

    assert sorted(run_all(store)) == ["join", "many[0]", "many[1]", "many[2]"]


def test_an_item_that_ended_while_its_run_was_looked_for_does_not_run_twice(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=(1, 2)),))
    start(store, dag)
    store.dags.put_items(RUN, 0, ["1", "2"])
    store.dags.step(RUN, [("e", 0, 2)])
    seen = store.dags.see(RUN)
    assert seen is not None
    work(store, f"{RUN}/many[0]")

    found_gone = mended(dag, list(seen.codes), ["n:0:0"])
    done, _ = store.dags.write(
        seen, Rewrite(found_gone.codes, found_gone.counters, found_gone.left, found_gone.bad, found_gone.steps)
    )

    assert done, "an item's end changes no letter of the run"
    assert store.ledger.get(f"{RUN}/many[0]") == {}
    assert run_all(store) == ["many[1]"]


def test_a_keeper_goes_on_with_what_a_dead_worker_left_over(store: Store) -> None:
    dag = of(a="", **{f"n{n}": "a" for n in range(2000)})
    start(store, dag)
    work(store, take(store) or "")
    left = store.slots.client.llen("default.p5")

    assert DagKeeper(store).step() == 1

    assert left < 2000
    assert store.slots.client.llen("default.p5") == 2000


def test_a_keeper_ends_what_is_past_its_deadline_and_what_was_cancelled(store: Store) -> None:
    start(store, DIAMOND, deadline=0.0)
    start(store, DIAMOND, "g:2")
    store.ledger.cancel("g:2", "enough")
    keeper = DagKeeper(store)

    for run_id, state in ((RUN, "timed_out"), ("g:2", "cancelled")):
        while store.ledger.get(run_id):
            keeper.step()
        assert events(store, run_id, "finished")[0]["state"] == state


def test_what_failed_runs_again_with_all_that_needs_it_and_keeps_good_results(store: Store) -> None:
    start(store, DIAMOND)
    run_all(store, lambda node: FAILED if node == "b" else OK)

    assert rerun(store, RUN) == 2
    assert store.ledger.get(RUN)["s"] == "running"
    assert store.ledger.get(f"{RUN}/b")["a"] == "1", "attempts go on counting"
    assert store.ledger.get(f"{RUN}/b")["ra"] == "1", "what was done before is meant to be done again"

    assert run_all(store) == ["b", "d"]
    assert states(store, DIAMOND) == dict.fromkeys("abcd", OK)
    assert [event["state"] for event in events(store, kind="dag_finished")] == ["failed", "succeeded"]


def test_named_nodes_run_again_with_or_without_what_is_behind_them(store: Store) -> None:
    start(store, DIAMOND)
    run_all(store)

    assert rerun(store, RUN, ["b"], descendants=False) == 1
    assert run_all(store) == ["b"]
    assert rerun(store, RUN, ["b"]) == 2
    assert run_all(store) == ["b", "d"]


def test_every_event_of_a_node_tells_when_its_dag_run_was_made_also_when_it_runs_again(store: Store) -> None:
    start(store, DIAMOND)
    made = store.ledger.get(RUN)["c"]
    run_all(store, lambda node: FAILED if node == "b" else OK)
    rerun(store, RUN)
    run_all(store)

    for node in "abcd":
        assert {fields.get(".bn") for fields in events(store, f"{RUN}/{node}")} == {made}


def test_a_run_that_goes_on_can_be_rerun_in_part_but_not_where_it_works(store: Store) -> None:
    dag = of(a="", b="a", c="", d="c")
    start(store, dag)
    work(store, f"{RUN}/a", FAILED)

    with pytest.raises(NotAllowed, match="c can't run again while at work"):
        rerun(store, RUN, ["c"])
    assert rerun(store, RUN) == 2

    assert sorted(run_all(store)) == ["a", "b", "c", "d"]
    assert events(store, kind="finished")[0]["state"] == "succeeded"


def test_only_the_bad_items_of_a_mapped_node_run_again_and_no_more_at_once_than_allowed(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=tuple(range(8)), max_parallel=2), Node("join", "x", after=("many",))))
    start(store, dag)
    store.dags.put_items(RUN, 0, [str(n) for n in range(8)])
    store.dags.step(RUN, [("e", 0, 8)])
    run_all(store, lambda node: FAILED if node in ("many[1]", "many[4]", "many[7]") else OK)

    assert rerun(store, RUN) == 2
    assert len(queued(store)) == 2

    assert run_all(store) == ["many[1]", "many[4]", "many[7]", "join"]
    assert states(store, dag) == {"many": OK, "join": OK}


def test_one_item_can_be_named(store: Store) -> None:
    dag = Dag("g", (Node("many", "x", over=(1, 2)),))
    start(store, dag)
    store.dags.put_items(RUN, 0, ["1", "2"])
    store.dags.step(RUN, [("e", 0, 2)])
    run_all(store)

    assert rerun(store, RUN, items={"many": [1]}) == 1
    assert run_all(store) == ["many[1]"]


def test_a_node_marked_succeeded_lets_what_was_given_up_run(store: Store) -> None:
    start(store, DIAMOND)
    run_all(store, lambda node: FAILED if node == "b" else OK)

    assert mark(store, RUN, "b", OK) == 1

    assert run_all(store) == ["d"]
    assert states(store, DIAMOND) == dict.fromkeys("abcd", OK)
    with pytest.raises(NotAllowed, match="can be marked succeeded or failed"):
        mark(store, RUN, "b", SKIPPED)


def test_a_node_marked_failed_makes_the_run_a_failed_one(store: Store) -> None:
    start(store, DIAMOND)
    run_all(store)

    mark(store, RUN, "d", FAILED)

    assert states(store, DIAMOND)["d"] is FAILED
    assert events(store, kind="dag_finished")[-1]["state"] == "failed"


def test_a_quarantined_node_runs_again(store: Store) -> None:
    start(store, DIAMOND)
    lose_three_times(store, f"{RUN}/a")
    assert states(store, DIAMOND)["a"] is RunState.QUARANTINED

    rerun(store, RUN)

    assert run_all(store) == ["a", "b", "c", "d"]
    assert states(store, DIAMOND) == dict.fromkeys("abcd", OK)


def test_unknown_runs_and_nodes_are_told_with_the_cure(store: Store) -> None:
    with pytest.raises(
        UnknownRun, match=r"DAG run g:9 is not known here; it is kept for 0.0166667 hours after its end. Start a new run."
    ):
        rerun(store, "g:9")
    start(store, of(load="", store="load"))
    with pytest.raises(UnknownRun, match=r"DAG 'g' has no node 'lod'. Did you mean 'load'\?"):
        rerun(store, RUN, ["lod"])


def test_a_run_that_waits_for_its_turn_can_be_cancelled(store: Store) -> None:
    start(store, DIAMOND, max_active=1)
    start(store, DIAMOND, "g:2", max_active=1, message="m")

    assert store.ledger.cancel("g:2", "no more") == "cancelled"

    run_all(store)
    submit(store, "g:3")
    assert begin(store, DIAMOND, "g:3", max_active=1).outcome == "started"
