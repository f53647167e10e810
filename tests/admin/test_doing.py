"""What operators do to runs and DAG runs from their pages: by the CLI's functions, with a record of who and why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.test import Client

from backbeat.admin import definitions
from backbeat.admin.models import Deed
from backbeat.core.dag import Dag, Node
from backbeat.core.job import JobSpec
from backbeat.core.state import RunState
from backbeat.runtime import deeds
from backbeat.runtime.deeds import By
from backbeat.store.store import Store, open_store
from tests.admin.test_repeat import JOB, ended, quarantined, record, submitted
from tests.store.graph_runs import RUN, run_all, start, states
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

GRAPH = Dag("g", (Node("a", "any"), Node("b", "any", after=("a",)), Node("c", "any", after=("b",))))


@pytest.fixture
def store(redis: RedisServer, transactional_db: None) -> Store:
    definitions.save(JobSpec(JOB, "task"))
    return open_store()


def page(client: Client, kind: str, run_id: str, rest: str = "change/") -> Any:
    return client.get(f"/admin/backbeat/{kind}/{quote(run_id)}/{rest}")


def do(client: Client, kind: str, run_id: str, verb: str, **given: str) -> Any:
    return client.post(f"/admin/backbeat/{kind}/{quote(run_id)}/do/{verb}/", given, follow=True)


def said(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def done(store: Store) -> list[tuple[str, str, str, str]]:
    record(store)
    return list(Deed.objects.order_by("at", "pk").values_list("verb", "actor", "what", "reason"))


def failed_at_b(store: Store) -> None:
    start(store, GRAPH)
    run_all(store, lambda node: RunState.FAILED if node == "b" else RunState.SUCCEEDED)
    record(store)


def test_a_run_offers_what_its_state_allows_and_tells_who_did_it(admin_client: Client, store: Store) -> None:
    run_id = ended(store, submitted(store))
    shown = page(admin_client, "run", run_id).content.decode()
    assert "Retry</a>" in shown
    assert "Cancel</a>" not in shown

    response = do(admin_client, "run", run_id, "retry", reason="the disk is empty again")

    assert said(response) == [f"{run_id} is retried by run {JOB}:a~1."]
    assert done(store) == [("retry", "admin", f"{JOB}:a~1", "the disk is empty again")]
    assert "the disk is empty again" in page(admin_client, "run", run_id).content.decode()
    assert said(do(admin_client, "run", run_id, "retry")) == [f"{run_id} was retried before, by run {JOB}:a~1."]
    assert len(done(store)) == 1, "nothing was done the second time"


def test_a_run_is_run_again_with_the_same_arguments_or_with_others(admin_client: Client, store: Store) -> None:
    run_id = ended(store, submitted(store), RunState.SUCCEEDED)
    asked = page(admin_client, "run", run_id, "do/again/").context["form"]
    assert (asked.initial["args"], asked.initial["kwargs"]) == ([1], {"day": "x"})

    do(admin_client, "run", run_id, "again", args="[1]", kwargs='{"day": "x"}', reason="once more")
    do(admin_client, "run", run_id, "again", args="[2]", key="other")

    (same, _), other = done(store), f"{JOB}:other"
    assert (same[0], same[1], same[3]) == ("again", "admin", "once more")
    assert json.loads(store.ledger.get(same[2])["x"]) == [[1], {"day": "x"}]
    assert done(store)[1] == ("again", "admin", other, "")
    assert json.loads(store.ledger.get(other)["x"]) == [[2], {}]
    refused = do(admin_client, "run", run_id, "again", kwargs='{"password": "***"}').content.decode()
    assert "a secret is shown as *** and not kept" in refused
    assert len(done(store)) == 2


def test_a_queued_run_is_cancelled_and_a_quarantined_one_released(admin_client: Client, store: Store) -> None:
    queued, poison = submitted(store), quarantined(store)
    claim = store.ledger.claim(queued, "w", 30.0, "w1@here")
    assert claim.won
    record(store)

    assert said(do(admin_client, "run", queued, "cancel")) == [f"{queued} is being stopped."]
    assert said(do(admin_client, "run", poison, "release", reason="fixed")) == [f"{poison} is queued."]
    assert [(verb, reason) for verb, _, _, reason in done(store)] == [("cancel", ""), ("release", "fixed")]


def test_what_a_state_does_not_allow_is_told_on_the_page(admin_client: Client, store: Store) -> None:
    run_id = ended(store, submitted(store), RunState.SUCCEEDED)

    shown = do(admin_client, "run", run_id, "retry").content.decode()

    assert "so `retry` does nothing for it" in shown
    assert done(store) == []
    assert do(admin_client, "run", run_id, "fly").status_code == 404
    assert do(admin_client, "run", "no:such", "cancel").status_code == 404


def test_a_dag_run_is_rerun_from_what_failed_or_from_one_node_alone(admin_client: Client, store: Store) -> None:
    failed_at_b(store)
    shown = page(admin_client, "dagrun", RUN).content.decode()
    assert f"{quote(RUN)}/do/rerun/?node=b" in shown

    assert said(do(admin_client, "dagrun", RUN, "rerun", reason="again")) == [f"{RUN} goes on: 2 nodes run again."]
    run_all(store)
    assert set(states(store, GRAPH).values()) == {RunState.SUCCEEDED}
    record(store)
    assert said(do(admin_client, "dagrun", RUN, "rerun", node="a", only="on")) == [f"{RUN} goes on: 1 nodes run again."]
    assert run_all(store) == ["a"]
    assert "has no node" in do(admin_client, "dagrun", RUN, "rerun", node="z").content.decode()

    assert [(verb, what) for verb, _, what, _ in done(store)] == [
        ("rerun", "all that did not end well and what is behind: 2 nodes"),
        ("rerun", "a alone: 1 nodes"),
    ]


def holding(client: Client) -> set[str]:
    shown = page(client, "dagrun", RUN).content.decode()
    return {verb for verb in ("hold", "continue") if f"/do/{verb}/" in shown}


def test_a_node_is_marked_and_a_dag_run_held_and_cancelled(admin_client: Client, store: Store) -> None:
    failed_at_b(store)
    marked = do(admin_client, "dagrun", RUN, "mark", node="b", state="succeeded", reason="done by hand")
    assert said(marked) == [f"{RUN} has b as succeeded; 1 nodes are decided anew."]
    record(store)

    assert holding(admin_client) == {"hold"}
    assert said(do(admin_client, "dagrun", RUN, "hold")) == [f"{RUN} starts no further node."]
    record(store)
    assert holding(admin_client) == {"continue"}
    assert said(do(admin_client, "dagrun", RUN, "continue")) == [f"{RUN} goes on."]
    record(store)
    assert holding(admin_client) == {"hold"}
    assert said(do(admin_client, "dagrun", RUN, "cancel", reason="enough")) == [f"{RUN} is being stopped."]
    assert [verb for verb, *_ in done(store)] == ["mark", "hold", "continue", "cancel"]


def test_an_item_of_a_mapped_node_is_named_by_its_number() -> None:
    assert deeds.parted(["load[3]", "load[4]", "end"]) == (["end"], {"load": [3, 4]})


def test_who_may_only_look_is_offered_nothing_and_refused(client: Client, store: Store) -> None:
    run_id = ended(store, submitted(store))
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__in=["view_run", "view_dagrun"]))
    client.force_login(viewer)

    shown = page(client, "run", run_id).content.decode()

    assert "Retry</a>" not in shown
    assert "Why?</a>" in shown
    assert do(client, "run", run_id, "retry").status_code == 403
    assert client.get(f"/admin/backbeat/run/{quote(run_id)}/do/retry/").status_code == 403
    assert done(store) == []


def test_why_a_run_does_not_run_is_told_gate_by_gate(admin_client: Client, store: Store) -> None:
    run_id = quarantined(store)
    record(store)

    shown = page(admin_client, "run", run_id, "why/").content.decode()

    assert "lost" in shown
    assert "<td>sound</td><td><strong>no</strong></td>" in shown


def test_a_deed_is_recorded_once_however_often_its_event_is_read(store: Store) -> None:
    deeds.cancel(store, submitted(store), By("me", "enough"))

    assert done(store) == done(store) == [("cancel", "me", "cancelled", "enough")]
