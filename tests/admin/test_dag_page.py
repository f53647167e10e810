"""A DAG run as a picture and a table."""

from __future__ import annotations

from collections import Counter

import pytest
from django.contrib.admin.utils import quote
from django.test import Client

from backbeat.admin.history import DatabaseHistory
from backbeat.admin.pages.graph import draw, edges_of
from backbeat.core.dag_data import graph_data
from backbeat.runtime.ports import Event

DAG_RUN = "audit@2026-09-21T14:13:20Z"
GRAPH = {
    "nodes": [{"id": "list", "job": "a"}, {"id": "check", "job": "b"}, {"id": "deps", "job": "c"}, {"id": "report", "job": "d"}],
    "edges": [["list", "check"], ["list", "deps"], ["check", "report"], ["deps", "report"]],
}
T0 = 1_790_000_000_000


def columns(picture: object) -> dict[str, int]:
    return {box.id: box.x for box in picture.boxes}


def test_levels_run_from_left_to_right_and_a_mapped_node_is_one_box() -> None:
    runs = [
        ("list", "succeeded"),
        *((f"check[{n}]", "failed" if n == 2 else "succeeded") for n in range(60)),
        ("deps", "running"),
    ]

    picture = draw(GRAPH, runs)

    place = columns(picture)
    assert place["list"] < place["check"] == place["deps"] < place["report"]
    boxes = {box.id: box for box in picture.boxes}
    assert (boxes["check"].state, boxes["check"].caption) == ("failed", "59 of 60 succeeded")
    assert (boxes["report"].state, boxes["deps"].state) == ("pending", "running")
    assert len(picture.curves) == 4


def test_no_two_boxes_lie_upon_each_other() -> None:
    nodes = [{"id": f"n{n}", "job": "j"} for n in range(40)]
    edges = [[f"n{a}", f"n{b}"] for a in range(40) for b in range(a + 1, min(a + 4, 40))]

    picture = draw({"nodes": nodes, "edges": edges}, [])

    assert max(Counter((box.x, box.y) for box in picture.boxes).values()) == 1
    assert all(box.x >= 0 and box.y >= 0 and box.x < picture.width and box.y < picture.height for box in picture.boxes)


def test_a_graph_of_thousands_is_folded_by_level() -> None:
    nodes = [{"id": f"n{n}", "job": "j"} for n in range(2000)]
    edges = [[f"n{n}", f"n{n + 1000}"] for n in range(1000)]

    picture = draw({"nodes": nodes, "edges": edges}, [("n5", "failed")])

    assert picture.folded
    assert [box.label for box in picture.boxes] == ["level 1: 1000 nodes", "level 2: 1000 nodes"]
    assert picture.boxes[0].state == "failed"


def test_the_graph_that_the_core_writes_is_understood() -> None:
    from backbeat.core.dag import Dag, Node, Ref

    dag = Dag("d", (Node("a", "j"), Node("b", "j", args=(Ref("a"),)), Node("c", "j", after=("b",))))

    assert edges_of(graph_data(dag)) == (["a", "b", "c"], [("a", "b"), ("b", "c")])


@pytest.mark.parametrize(
    "graph", [None, {}, {"nodes": []}, {"nodes": [{"id": "a"}], "edges": [["a", "gone"], ["a", "a"]]}, {"nodes": [{"id": 1}]}]
)
def test_a_graph_that_says_little_is_drawn_nevertheless(graph: object) -> None:
    assert {box.id for box in draw(graph, [("x", "succeeded")]).boxes} >= {"x"}


@pytest.mark.django_db(transaction=True)
def test_the_page_shows_picture_counts_nodes_and_summary(admin_client: Client) -> None:
    events = [Event("1/1-0", "dag_started", DAG_RUN, T0, {"dag": "audit", "version": "abc", "graph": GRAPH})]
    for place, (node, state) in enumerate(
        [("list", "succeeded"), *((f"check[{n}]", "succeeded") for n in range(120)), ("deps", "failed")]
    ):
        facts = {"job": "j", "dag_run": DAG_RUN, "node": node, "queued_at": T0 + place, "attempt": 1, "state": state}
        facts |= {"started_at": T0 + place + 2_000}
        events.append(Event(f"1/{place}-1", "finished", f"{DAG_RUN}/{node}", T0 + place + 5_000, facts))
    events.append(Event("1/3-0", "dag_finished", DAG_RUN, T0 + 999, {"state": "failed", "summary": {"green": 121}}))
    DatabaseHistory().record(events)
    address = f"/admin/backbeat/dagrun/{quote(DAG_RUN)}/change/"

    page = admin_client.get(address)
    failed = admin_client.get(f"{address}?state=failed")
    one = admin_client.get(f"{address}?node=check&p=2")

    text = page.content.decode()
    assert text.count('<g transform="translate(') == 4
    assert "&quot;green&quot;: 121" in text
    assert len(page.context["nodes"]) == 100
    assert [row["run"].node for row in failed.context["nodes"]] == ["deps"]
    assert len(one.context["nodes"]) == 20
    assert failed.context["nodes"][0]["parts"] == ["121 ms", "2.0 s", "3.0 s", ""]
    assert admin_client.get("/admin/backbeat/dagrun/").status_code == 200
    assert admin_client.get("/admin/backbeat/dagrun/nothing/change/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_node_without_attempts_says_why(admin_client: Client) -> None:
    facts = {"job": "j", "dag_run": DAG_RUN, "queued_at": T0}
    told = [
        ("check", "succeeded", {"reason": "2 items"}),
        ("check[0]", "succeeded", {"attempt": 1}),
        ("check[1]", "succeeded", {"attempt": 1}),
        ("report", "upstream_failed", {"reason": "upstream"}),
        ("none", "succeeded", {"reason": "0 items"}),
    ]
    DatabaseHistory().record(
        [
            Event(f"1/{place}-1", "finished", f"{DAG_RUN}/{node}", T0, {**facts, "node": node, "state": state, **more})
            for place, (node, state, more) in enumerate(told)
        ]
    )

    pages = {
        node: admin_client.get(f"/admin/backbeat/run/{quote(f'{DAG_RUN}/{node}')}/change/").content.decode() for node, *_ in told
    }

    assert (
        f'Each of its items is a run of its own: <a href="/admin/backbeat/dagrun/{quote(DAG_RUN)}/change/?node=check#nodes">2'
        in (pages["check"])
    )
    assert "It ended without an attempt: upstream." in pages["report"]
    assert "It ended without an attempt: 0 items." in pages["none"]
    assert "No attempt yet." not in "".join(pages.values())
