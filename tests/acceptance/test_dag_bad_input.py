"""Graphs that ask for what can't be: each ends in a clear state, with a sentence that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backbeat.core.dag import Dag, Node, Param, Ref
from backbeat.core.state import RunState
from backbeat.runtime.claims import PUT_OFF_LIMIT
from tests.acceptance.test_dags import NODES, ended, states, submit, sync
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

LEAVING = '''
from backbeat import job

@job("leaving.work")
def work() -> None:
    """Here today."""
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("bad")
    made = Deployment(
        folder, redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s", BACKBEAT_OUTPUTS=f"file://{folder}/far"
    )
    (made.folder / "probe_nodes.py").write_text(NODES)
    (made.folder / "leaving_jobs.py").write_text(LEAVING)
    (made.folder / "celeryconfig.py").write_text('imports = ("probe_nodes", "leaving_jobs")\n')
    sync(made)
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


def sentence(site: Deployment, run_id: str, state: str = "failed") -> str:
    """What history says of a run that ended in this state."""
    sql = f"select error_message, reason from backbeat_run where run_id = '{run_id}' and state = '{state}'"
    ((message, reason),) = eventually(lambda: site.rows(sql), within=30, message=site.story)
    return message or reason


def kept(site: Deployment, run_id: str, node: str = "keep") -> Any:
    """What a node that keeps its arguments was given."""
    return json.loads(Path(f"{site.effects_file}.{run_id}_{node}").read_text())


def test_an_output_behind_a_url_reaches_the_next_node(site: Deployment) -> None:
    dag = Dag("far", (Node("huge", "node.huge", (100_000,)), Node("keep", "node.keep", kwargs={"text": Ref("huge")})))

    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    assert kept(site, run_id) == {"text": "x" * 100_000}
    assert site.client.hget(site.store.slots.of(run_id).dag(run_id, "o"), "0").startswith("@file://")


def test_an_output_that_was_lost_fails_the_node_that_needs_it(site: Deployment) -> None:
    wait = Node("wait", "node.work", kwargs={"seconds": 1.0}, after=("huge",))
    dag = Dag(
        "lost",
        (Node("huge", "node.huge", (90_000,)), wait, Node("keep", "node.keep", kwargs={"text": Ref("huge")}, after=("wait",))),
    )
    run_id = submit(site, dag)
    key = site.store.slots.of(run_id).dag(run_id, "o")

    address = eventually(lambda: site.client.hget(key, "0"), within=20, message=site.story)
    Path(address.removeprefix("@file://")).unlink()

    assert ended(site, run_id) == "failed"
    assert "can't be read: No such file" in sentence(site, f"{run_id}/keep")
    assert "run its node again" in sentence(site, f"{run_id}/keep")


def test_an_output_that_is_too_large_for_any_place_fails_its_node(site: Deployment) -> None:
    dag = Dag("vast", (Node("huge", "node.huge", (67_200_000,)), Node("keep", "node.keep", kwargs={"text": Ref("huge")})))

    assert ended(site, submit(site, dag)) == "failed"

    assert "expected an output of at most 67,108,864 bytes; got 67,200,002. Store it yourself" in sentence(site, "vast:1/huge")
    assert not Path(f"{site.effects_file}.vast:1_keep").exists()


def test_a_map_over_nothing_is_good_and_hands_on_an_empty_list(site: Deployment) -> None:
    each = Node("each", "node.double", over=Ref("list"))
    dag = Dag("nothing", (Node("list", "node.numbers", (0,)), each, Node("keep", "node.keep", kwargs={"all": Ref("each")})))

    run_id = submit(site, dag)

    assert ended(site, run_id) == "succeeded"
    assert kept(site, run_id) == {"all": []}


def test_a_run_goes_by_the_graph_that_it_began_with(site: Deployment) -> None:
    first = Dag("edited", (Node("slow", "node.work", kwargs={"seconds": 1.5}), Node("old", "node.work", after=("slow",))))
    second = Dag("edited", (Node("slow", "node.work"), Node("new", "node.work", after=("slow",))))
    run_id = submit(site, first)
    eventually(lambda: site.effects("begin")[f"{run_id}/slow"], within=20, message=site.story)

    other = submit(site, second, "2")

    assert ended(site, run_id) == ended(site, other) == "succeeded"
    assert (site.effects()[f"{run_id}/old"], site.effects()[f"{run_id}/new"]) == (1, 0)
    assert (site.effects()[f"{other}/old"], site.effects()[f"{other}/new"]) == (0, 1)
    versions = "select count(distinct version) from backbeat_dagrun where dag = 'edited'"
    eventually(lambda: site.rows(versions) == [(2,)], within=20)


@pytest.mark.parametrize("count", ["many", [1], None])
def test_a_parameter_of_the_wrong_type_starts_nothing(site: Deployment, count: Any) -> None:
    run_id = site.submit("coded", f"wrong-{type(count).__name__}", count=count)

    assert "count: input should be a valid integer" in sentence(site, run_id)
    assert site.store.dags.see(run_id) is None


def test_a_parameter_of_a_published_graph_of_the_wrong_type_fails_the_node_that_uses_it(site: Deployment) -> None:
    dag = Dag(
        "typed",
        (Node("list", "node.numbers", (Param("count"),)), Node("after", "node.work", after=("list",))),
        required=("count",),
    )

    run_id = submit(site, dag, count="many")

    assert ended(site, run_id) == "failed"
    assert "count" in sentence(site, f"{run_id}/list")
    assert states(site, dag, run_id)["after"] is RunState.UPSTREAM_FAILED


def test_a_job_that_no_worker_knows_any_more_fails_its_node(site: Deployment) -> None:
    dag = Dag(
        "left",
        (
            Node("slow", "node.work", kwargs={"seconds": 1.0}),
            Node("gone", "leaving.work", after=("slow",)),
            Node("after", "node.work", after=("gone",)),
        ),
    )
    site.processes["worker"].stop()
    run_id = submit(site, dag)
    site.worker("first")
    eventually(lambda: site.effects("begin")[f"{run_id}/slow"], within=30, message=site.story)

    (site.folder / "celeryconfig.py").write_text('imports = ("probe_nodes",)\n')
    site.processes["first"].stop()
    site.worker("second")

    gone = f"{run_id}/gone"
    told = "select state, error_message from backbeat_attempt where run_id = 'left:1/gone' and error_message != ''"
    eventually(lambda: any("leaving.work" in message for _, message in site.rows(told)), within=30, message=site.story)
    # It waits for a worker that has the code, longer and longer; here for the last time.
    site.client.hset(site.store.slots.of(gone).run(gone), "b", PUT_OFF_LIMIT)

    assert ended(site, run_id) == "failed"
    assert "leaving.work" in sentence(site, gone)
    assert states(site, dag, run_id)["after"] is RunState.UPSTREAM_FAILED
