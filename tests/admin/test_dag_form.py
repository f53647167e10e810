"""Drawing a graph in the admin: rows of jobs and of the nodes they wait for, checked and drawn before it is saved."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from backbeat.admin import dags, definitions
from backbeat.admin.models import Dag, Job
from backbeat.admin.pages.dag_form import MOST
from backbeat.core.dag import Dag as Graph
from backbeat.core.dag import Node, Param, Ref
from backbeat.core.job import JobSpec
from backbeat.core.retry import Retry
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

LIST = "/admin/backbeat/dag/"


@pytest.fixture(autouse=True)
def jobs(redis: RedisServer, transactional_db: None) -> None:
    for name in ("fetch", "load"):
        definitions.save(JobSpec(name, name))


def sent(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a browser sends."""
    form = {"name": "etl", "max_active": "2", "nodes-TOTAL_FORMS": str(len(rows)), "nodes-INITIAL_FORMS": "0"}
    form |= {f"nodes-{n}-{field}": value for n, row in enumerate(rows) for field, value in {"rule": "all_success", **row}.items()}
    return {**form, **changes}


A, B = {"id": "a", "job": "fetch"}, {"id": "b", "job": "load", "after": ["a"]}


def test_a_graph_is_drawn_and_saved(admin_client: Client) -> None:
    drawn = admin_client.post(f"{LIST}add/", sent(A, {"id": "b", "job": "load"}, _draw="1")).content.decode()
    assert "Note: 2 of 2 nodes have no edge" in drawn
    assert drawn.count('value="a"') >= 3, "what was typed may be waited for"
    assert "<svg" in drawn
    assert not Dag.objects.exists()

    rows = (A, {**B, "kwargs": '{"table": "x"}', "more": '{"retry": 2, "pool": "etl"}'}, {"id": "", "job": ""})
    saved = admin_client.post(f"{LIST}add/", sent(*rows, cron="30 2 * * *", tz="Europe/Berlin", _save="1"), follow=True)

    assert "is saved as version" in saved.content.decode()
    graph = dags.graph_named("etl")
    assert [node.id for node in graph.nodes] == ["a", "b"]
    assert graph.nodes[1] == Node("b", "load", kwargs={"table": "x"}, after=("a",), retry=Retry(2), pool="etl")
    assert (graph.max_active, graph.schedules[0].when.expr) == (2, "30 2 * * *")


def test_a_graph_is_picked_for_a_node_and_types_are_checked(admin_client: Client) -> None:
    dags.save(Graph("inner", (Node("x", "fetch"), Node("y", "load", after=("x",)))))
    assert '<option value="inner">' in admin_client.get(f"{LIST}add/").content.decode()

    rows = (A, {"id": "b", "job": "inner", "after": ["a"]})
    page = admin_client.post(f"{LIST}add/", sent(*rows, types='{"day": "txt"}', required="day", _save="1")).content.decode()
    assert "expected parameter &#x27;day&#x27; to be one of string, integer" in page

    admin_client.post(f"{LIST}add/", sent(*rows, types='{"day": "string"}', required="day", _save="1"))

    assert [node.id for node in dags.whole(dags.graph_named("etl")).nodes] == ["a", "b.x", "b.y"]
    row = Dag.objects.get(name="etl")
    again = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert '<option value="inner" selected>' in again
    assert '<option value="etl"' not in again, "no graph holds itself"
    asked = {"ids": str(Job.objects.get(name="etl").pk), "_do": "1", "kwargs": '{"day": 5}'}
    refused = admin_client.post(reverse("admin:backbeat_job_operate", args=["run"]), asked).content.decode()
    assert "expected &#x27;day&#x27; to be text; got 5" in refused


def test_all_errors_are_told_at_once_in_the_words_of_the_command_line(admin_client: Client) -> None:
    rows = ({"id": "a", "job": "fecth", "after": ["b"]}, B, {"id": "c", "job": "load", "after": ["c"]})

    page = admin_client.post(f"{LIST}add/", sent(*rows, _save="1")).content.decode()

    for sentence in ("Did you mean &#x27;fetch&#x27;?", "a → b → a", "node &#x27;c&#x27; waits for itself"):
        assert sentence in page
    assert not Dag.objects.exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('{"retri": 2}', "Did you mean &#x27;retry&#x27;?"),
        ('{"max_parallel": "x", "map": [1]}', "max_parallel"),
        ('{"timeout": []}', "timeout"),
        ("[1]", "expected an object"),
        ("{", "Enter a valid JSON"),
        ('{"choose": 5}', "choose"),
        ('{"map": 5}', "map"),
    ],
)
def test_odd_json_in_a_row_is_told_and_kept_for_mending(admin_client: Client, more: str, sentence: str) -> None:
    page = admin_client.post(f"{LIST}add/", sent({**A, "more": more}, _draw="1")).content.decode()

    assert sentence in page
    assert 'value="a"' in page


def test_what_the_form_does_not_show_survives_an_edit(admin_client: Client) -> None:
    graph = Graph(
        "etl",
        (
            Node("list", "fetch", kwargs={"day": Param("day")}),
            Node("each", "load", over=Ref("list", ("rows",)), max_parallel=3, cases=None),
        ),
        params={"day": "mon"},
        labels={"tier": "1"},
        urgent_path=True,
    )
    dags.save(graph)
    page = admin_client.get(f"{LIST}{Dag.objects.get().pk}/change/")
    forms = page.context["nodes"].forms
    fields = ("id", "job", "after", "kwargs", "more")
    rows = [{name: form[name].value() or "" for name in fields if form[name].value()} for form in forms if form["id"].value()]
    params = json.dumps(graph.params)

    admin_client.post(f"{LIST}{Dag.objects.get().pk}/change/", sent(*rows, params=params, max_active="7", _save="1"))

    assert dags.graph_named("etl") == replace(graph, max_active=7)


def test_a_node_is_removed_and_a_graph_deleted(admin_client: Client) -> None:
    dags.save(Graph("etl", (Node("a", "fetch"), Node("b", "load", after=("a",)))))
    pk = Dag.objects.get().pk

    admin_client.post(f"{LIST}{pk}/change/", sent(A, {**B, "DELETE": "on"}, _save="1"))
    assert [node.id for node in dags.graph_named("etl").nodes] == ["a"]

    admin_client.post(f"{LIST}{pk}/delete/", {"post": "yes"})
    assert not Dag.objects.exists()


def test_a_graph_of_many_nodes_is_drawn_and_edited_as_a_file(admin_client: Client) -> None:
    dags.save(Graph("wide", tuple(Node(f"n{n}", "load") for n in range(MOST + 1))))

    page = admin_client.get(f"{LIST}{Dag.objects.get().pk}/change/").content.decode()

    assert "backbeat dag export wide" in page
    assert "_save" not in page


def test_who_may_only_look_can_not_save(client: Client) -> None:
    dags.save(Graph("etl", (Node("a", "fetch"),)))
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_dag"))
    client.force_login(viewer)
    pk = Dag.objects.get().pk

    assert 'name="_save"' not in client.get(f"{LIST}{pk}/change/").content.decode()
    assert client.post(f"{LIST}{pk}/change/", sent(A, _save="1")).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403
