"""Backfills on a real deployment: counts are exact, crashes repeat nothing, live work comes first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backbeat.core.dag import Dag, Node
from backbeat.core.job import JobSpec, Misfire, Schedule
from backbeat.core.when import Every
from backbeat.runtime.binding import DAG_TASK
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

DAY = datetime(2026, 3, 1, tzinfo=UTC)
RANGE = ("--from", DAY.isoformat(), "--to", (DAY + timedelta(hours=20)).isoformat())


def hourly(name: str, task: str = "probe.work", **kwargs: Any) -> JobSpec:
    return JobSpec(name, task, schedules=(Schedule(Every("1h"), kwargs=kwargs),), misfire=Misfire.SKIP)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("backfill"), redis_server.url)
    made.define(
        hourly("plain"),
        hourly("crashed"),
        hourly("slow", seconds=0.15),
        hourly("paused", seconds=0.3),
        hourly("graph", DAG_TASK),
    )
    made.store.dags.publish(
        Dag("graph", (Node("a", "probe.work", priority=9), Node("b", "probe.work", after=("a",))), max_active=1)
    )
    made.worker(children=1)
    made.keeper()
    yield made
    made.stop()


def backbeat(site: Deployment, *arguments: str, code: int = 0) -> Any:
    command = [sys.executable, "-m", "backbeat.cli", "backfill", *arguments]
    done = subprocess.run(command, cwd=site.folder, env=site.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout) if "json" in arguments and not code else done.stdout + done.stderr


def ordered(site: Deployment, job: str, *more: str) -> int:
    return int(backbeat(site, "run", job, *(RANGE if "--from" not in more else ()), "-A", "probe_app", *more))


def slots(site: Deployment, pk: int) -> dict[str, int]:
    """How many slots are in which state."""
    return dict(site.rows(f"select state, count(*) from backbeat_backfillslot where backfill_id = {pk} group by state"))


def over(site: Deployment, pk: int, state: str = "done") -> dict[str, int]:
    """The slots of a backfill once it has ended so."""
    state_of = lambda: site.rows(f"select state from backbeat_backfill where id = {pk}")[0][0]  # noqa: E731
    eventually(lambda: state_of() == state, within=60, message=site.story)
    return slots(site, pk)


def once_each(site: Deployment, job: str) -> Counter[str]:
    return Counter({run: count for run, count in site.effects().items() if run.startswith((f"{job}@", f"{job}:"))})


def test_each_occurrence_of_the_range_runs_once_by_its_own_id(site: Deployment) -> None:
    planned = backbeat(site, "plan", "plain", *RANGE, "-A", "probe_app", "-o", "json")
    assert planned["counts"] == {"create": {"it has no run": 20}, "exists": {}, "skip": {}}

    pk = ordered(site, "plain", "--backwards", "--at-once", "4", "--reason", "new tables")

    assert over(site, pk) == {"succeeded": 20}
    ran = once_each(site, "plain")
    assert set(ran) == {f"plain@{(DAY + timedelta(hours=hour)).isoformat().replace('+00:00', 'Z')}" for hour in range(20)}
    assert set(ran.values()) == {1}
    assert next(iter(site.effects("begin"))).startswith("plain@2026-03-01T1"), "backwards begins with the newest"
    ((queue, reason),) = site.rows("select distinct queue, reason from backbeat_run where job = 'plain'")
    assert (queue, reason) == ("default.p0", f"backfill {pk}: new tables")


def test_all_runs_what_succeeded_once_more_under_ids_of_its_own(site: Deployment) -> None:
    over(site, ordered(site, "plain", "--mode", "all"))

    ran = once_each(site, "plain")
    assert len(ran) == 40
    assert set(ran.values()) == {1}
    assert ran["plain:@2026-03-01T00:00:00Z~1"] == 1
    ((nominal,),) = site.rows("select nominal from backbeat_run where run_id = 'plain:@2026-03-01T05:00:00Z~1'")
    assert nominal.startswith("2026-03-01 05:00"), "the job still sees for which moment it runs"


@pytest.mark.parametrize("point", ["submit:before:3", "submit:after:3"])
def test_a_keeper_that_dies_in_the_middle_loses_nothing_and_repeats_nothing(site: Deployment, point: str) -> None:
    site.processes["keeper"].stop()
    name = f"crashing-{point[7:13].strip(':')}"
    keeper = site.crashing(site.keeper, name, point)
    mode = "missing" if "before" in point else "all"
    pk = ordered(site, "crashed", "--at-once", "2", "--mode", mode)
    eventually(lambda: not keeper.alive, within=30, message=site.story)

    site.keeper()
    assert over(site, pk) == {"succeeded": 20}
    ran = once_each(site, "crashed")
    assert len(ran) == (20 if mode == "missing" else 40)
    assert set(ran.values()) == {1}


def test_live_work_overtakes_a_backfill(site: Deployment) -> None:
    pk = ordered(site, "slow", "--at-once", "3")
    eventually(lambda: len(once_each(site, "slow")) >= 2, within=30, message=site.story)

    live = site.submit("plain", "live")
    before = len(site.effects("begin"))
    eventually(lambda: site.effects()[live], within=30, message=site.story)

    since = list(site.effects("begin"))[before:]
    overtook = since[: since.index(live)] if live in since else []
    assert len(overtook) <= 2, f"{overtook} began although live work waited"
    assert over(site, pk) == {"succeeded": 20}


def test_paused_it_asks_for_nothing_resumed_it_goes_on_and_cancelled_it_stops(site: Deployment) -> None:
    # Long enough not to end while a command starts.
    pk = ordered(site, "paused", "--from", DAY.isoformat(), "--to", (DAY + timedelta(hours=500)).isoformat(), "--at-once", "2")
    eventually(lambda: once_each(site, "paused"), within=30, message=site.story)
    backbeat(site, "pause", str(pk), "--reason", "the table is locked")
    eventually(lambda: "asked" not in slots(site, pk), within=30, message=site.story)
    before = once_each(site, "paused").total()
    assert before == slots(site, pk)["succeeded"] < 500
    assert "not over yet" in backbeat(site, "run", "paused", *RANGE, "-A", "probe_app", "--mode", "all", code=4)

    backbeat(site, "resume", str(pk))
    eventually(lambda: once_each(site, "paused").total() > before, within=30, message=site.story)
    backbeat(site, "cancel", str(pk))
    ends = over(site, pk, "cancelled")

    assert sum(ends.values()) == 500
    assert ends["dropped"] >= 1
    assert set(ends) <= {"succeeded", "cancelled", "dropped"}
    assert once_each(site, "paused").total() == ends["succeeded"]
    told = backbeat(site, "show", str(pk), "-o", "json")
    assert told["slots"] == ends
    assert [deed["verb"] for deed in told["deeds"]] == ["order", "pause", "resume", "cancel"]
    assert "does nothing" in backbeat(site, "resume", str(pk), code=4)
    assert f"{pk} " in backbeat(site, "ls")


def test_a_graph_is_backfilled_with_every_node_in_the_lowest_queue_and_a_free_place_for_live_runs(site: Deployment) -> None:
    wide = ("--from", DAY.isoformat(), "--to", (DAY + timedelta(hours=3)).isoformat())
    pk = ordered(site, "graph", *wide, "--at-once", "5")

    assert over(site, pk) == {"succeeded": 3}
    assert site.rows(f"select at_once from backbeat_backfill where id = {pk}") == [(1,)], "max_active is 1"
    queues = lambda: site.rows("select node, queue from backbeat_run where job = 'probe.work' and dag_run like 'graph@%'")  # noqa: E731
    assert eventually(lambda: set(queues()) if len(queues()) == 6 else set(), within=20) == {
        ("a", "default.p0"),
        ("b", "default.p0"),
    }
