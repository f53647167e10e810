"""Graphs in the database: saved whole or not at all, versioned, and in Redis before anything fires them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backbeat.admin import dags, definitions
from backbeat.admin.durations import durations_of
from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import Dag, DagVersion, Job
from backbeat.core.dag import Dag as Graph
from backbeat.core.dag import Node, Param, Ref
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron
from backbeat.errors import BadArguments, GraphError, NotAllowed, UnknownJob
from backbeat.runtime.ports import Event
from backbeat.runtime.submit import submit
from backbeat.store.store import open_store
from tests.admin.pages import T0
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

GRAPH = Graph(
    "etl",
    (
        Node("load", "work", kwargs={"day": Param("day")}, retry=Retry(2)),
        Node("each", "work", over=Ref("load", ("rows",)), max_parallel=3),
        Node("end", "work", after=("each",), priority=9),
    ),
    params={"day": "mon"},
    schedules=(Schedule(Cron("0 4 * * *", tz="Europe/Berlin"), key="night", kwargs={"day": "tue"}),),
    overlap=Overlap.QUEUE,
    owner="team-x",
    labels={"tier": "1"},
    max_active=2,
    timeout=3600.0,
    description="Nightly.",
)


@pytest.fixture
def work(each_database: str, redis: RedisServer) -> None:
    definitions.save(JobSpec("work", "work"))


@pytest.mark.usefixtures("work")
def test_a_graph_comes_back_as_it_was_saved_and_its_job_holds_the_schedule() -> None:
    dags.save(GRAPH, actor="me")

    assert dags.graph_named("etl") == GRAPH
    job = Job.objects.get(name="etl")
    assert (job.owner, job.overlap, [row.key for row in job.schedules.all()]) == ("team-x", "queue", ["night"])
    store = open_store()
    assert store.dags.published("etl") == GRAPH
    assert store.index.next_times(["etl#night"])["etl#night"] is not None
    assert DagVersion.objects.get().actor == "me"


@pytest.mark.usefixtures("work")
def test_each_content_is_one_version_and_policies_are_none() -> None:
    dags.save(GRAPH)
    dags.save(replace(GRAPH, owner="team-y", max_active=5))
    dags.save(replace(GRAPH, nodes=GRAPH.nodes[:2]))
    dags.save(GRAPH)

    assert DagVersion.objects.count() == 2
    assert Dag.objects.get().version == GRAPH.version
    edits = Dag.objects.get().edits
    dags.save(GRAPH)
    assert Dag.objects.get().edits == edits, "the same graph changes nothing"


@pytest.mark.usefixtures("work")
def test_what_redis_lost_is_published_again_before_the_schedules_are() -> None:
    dags.save(GRAPH)
    store = open_store()
    store.slots.client.flushall()

    definitions.DatabaseDefinitions().names()

    assert store.dags.published("etl") == GRAPH


@pytest.mark.usefixtures("work")
def test_everything_wrong_is_told_at_once_and_nothing_is_saved() -> None:
    bad = Graph(
        "etl",
        (Node("a", "wrk", after=("a",)), Node("b", "work", after=("c",)), Node("c", "work", after=("b",)), Node("c", "work")),
        schedules=(Schedule(Cron("0 4 * * *"), kwargs={"dya": 1}),),
    )

    with pytest.raises(GraphError) as refused:
        dags.save(bad)

    told = "\n".join(refused.value.problems)
    for sentence in ("Did you mean 'work'?", "waits for itself", "2 nodes have the id 'c'", "no parameter 'dya'"):
        assert sentence in told
    assert not Dag.objects.exists()
    assert not Job.objects.filter(name="etl").exists()


@pytest.mark.usefixtures("work")
def test_a_name_that_a_job_has_is_refused() -> None:
    dags.save(GRAPH)

    with pytest.raises(GraphError, match="the name 'work' belongs to a job"):
        dags.save(replace(GRAPH, name="work"))


OUTER = Graph("outer", (Node("before", "work"), Node("etl", "etl", kwargs={"day": "fri"}, after=("before",))))


@pytest.mark.usefixtures("work")
def test_a_graph_in_a_graph_is_kept_by_name_and_runs_as_its_nodes() -> None:
    dags.save(GRAPH)
    dags.save(OUTER)

    assert dags.graph_named("outer") == OUTER
    running = open_store().dags.published("outer")
    assert running is not None
    assert [node.id for node in running.nodes] == ["before", "etl.load", "etl.each", "etl.end"]
    assert running.by_id["etl.load"].kwargs == {"day": "fri"}
    assert Dag.objects.get(name="outer").version == running.version == dags.whole(OUTER).version


@pytest.mark.usefixtures("work")
def test_an_edit_of_the_inner_graph_is_a_new_version_of_those_around_it() -> None:
    dags.save(GRAPH)
    dags.save(OUTER)
    dags.save(Graph("outmost", (Node("o", "outer"),)))
    before = {row.name: row.version for row in Dag.objects.all()}

    dags.save(replace(GRAPH, nodes=GRAPH.nodes[:1]))

    after = {row.name: row.version for row in Dag.objects.all()}
    assert all(before[name] != after[name] for name in ("etl", "outer", "outmost"))
    published = open_store().dags.published("outmost")
    assert published is not None
    assert [node.id for node in published.nodes] == ["o.before", "o.etl.load"]
    with pytest.raises(GraphError, match=r"DAG 'outer', which holds it, would be wrong: node 'etl': .* no parameter 'day'"):
        dags.save(Graph("etl", (Node("load", "work"),)))
    assert Dag.objects.get(name="etl").version == after["etl"], "nothing was saved"


@pytest.mark.usefixtures("work")
def test_what_stands_in_another_graph_is_not_removed_and_none_holds_itself() -> None:
    dags.save(GRAPH)
    dags.save(OUTER)

    with pytest.raises(NotAllowed, match="'etl' is a part of outer"):
        dags.delete("etl")
    with pytest.raises(GraphError, match="would hold itself: etl → outer → etl"):
        dags.save(replace(GRAPH, nodes=(*GRAPH.nodes, Node("again", "outer"))))


@pytest.mark.usefixtures("work")
def test_a_run_with_a_parameter_of_another_type_is_refused() -> None:
    dags.save(replace(GRAPH, types={"day": "string"}))

    with pytest.raises(BadArguments, match="expected 'day' to be text; got 5"):
        submit("etl", kwargs={"day": 5})
    with pytest.raises(GraphError, match=r"schedule night: .* expected 'day' to be text; got 7"):
        dags.save(
            replace(GRAPH, types={"day": "string"}, schedules=(Schedule(Cron("0 4 * * *"), key="night", kwargs={"day": 7}),))
        )
    assert submit("etl", kwargs={"day": "tue"}).startswith("etl:")


@pytest.mark.usefixtures("work")
def test_a_removed_graph_leaves_redis_and_takes_its_job_along() -> None:
    dags.save(GRAPH)

    dags.delete("etl")

    assert open_store().dags.published("etl") is None
    assert not Job.objects.filter(name="etl").exists()
    with pytest.raises(UnknownJob, match="no DAG 'etl' is stored here"):
        dags.delete("etl")


@pytest.mark.usefixtures("work")
def test_measured_seconds_are_means_over_runs_and_a_mapped_node_counts_from_first_to_last() -> None:
    events = []
    for number, took in enumerate((2000, 4000)):
        run, at = f"etl:{number}", T0 + number * 60_000
        events.append(Event(f"1/{at}-9", "dag_finished", run, at + 9000, {"dag": "etl", "state": "succeeded", "queued_at": at}))
        for place, (node, start, end) in enumerate((("load", 0, took), ("each[0]", 5000, 6000), ("each[1]", 7000, 9000))):
            facts = {"job": "work", "dag_run": run, "node": node, "queued_at": at, "started_at": at + start, "attempt": 1}
            facts |= {"state": "succeeded", "finished_at": at + end}
            events.append(Event(f"1/{at}-{place}", "finished", f"{run}/{node}", at + end, facts))
    DatabaseHistory().record(events)

    assert durations_of("etl") == {"load": 3.0, "each": 4.0}
    assert durations_of("other") == {}
