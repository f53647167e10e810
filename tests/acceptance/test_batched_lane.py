"""Many runs in one message, on both brokers: each is still a run of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.retry import Retry
from backbeat.core.when import Every
from tests.acceptance.conftest import BROKERS, QUICK, broker_url
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

JOBS = """
import os, time
from backbeat import current_run, job
from probe_jobs import effect

@job("lane.step")
def step(number, first=""):
    effect("begin")
    current_run().log.info("this is number %d", number)
    time.sleep(0.02)
    if current_run().attempt == 1:
        if first == "die":
            os.kill(os.getpid(), 9)
        if first == "fail":
            raise RuntimeError("the first attempt fails")
        if first == "sleep":
            time.sleep(60)
    effect("end")
    return number
"""


@pytest.fixture(scope="module", params=BROKERS)
def lane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("lane")
    made = Deployment(folder, redis_server.url, broker_url(request, request.param), **QUICK)
    (folder / "lane_jobs.py").write_text(JOBS)
    made.includes("lane_jobs")
    for start in (made.worker, made.beat, made.keeper):
        start()
    yield made
    made.stop()


def fire(lane: Deployment, name: str, first: dict[int, str], count: int = 10) -> list[str]:
    """A job whose schedules all come due at the same moment; the ids of the runs, in their order."""
    schedules = tuple(Schedule(Every("1h"), key=f"{number:02}", args=(number, first.get(number, ""))) for number in range(count))
    policies = {"retry": Retry(1, delay=0.1, jitter=False), "timeout": 1.5, "overlap": Overlap.ALLOW}
    spec = JobSpec(name, "lane.step", schedules, batch=100, **policies)  # type: ignore[arg-type] # as they are
    lane.define(spec)
    keys, nominal = lane.store.slots.of(name), lane.store.slots.now_ms()
    lane.client.zadd(keys.due, {spec.schedule_id(one): nominal for one in schedules}, xx=True)
    return [occurrence_id(spec.schedule_id(one), nominal) for one in schedules]


def story(lane: Deployment, runs: list[str]) -> list[list[tuple[int, str]]]:
    """Numbers and states of the attempts of each run, as history has them."""
    return [[(number, state) for number, state, _ in lane.attempts(run_id)] for run_id in runs]


@pytest.mark.slow
def test_each_run_of_a_message_has_its_own_outcome_retry_and_history(lane: Deployment) -> None:
    runs = fire(lane, "mixed", {3: "fail", 6: "sleep"})

    eventually(lambda: [lane.state(one) for one in runs] == ["succeeded"] * 10, within=40, message=lane.story)

    wanted = [[(1, "succeeded")] for _ in runs]
    wanted[3], wanted[6] = [(1, "failed"), (2, "succeeded")], [(1, "timed_out"), (2, "succeeded")]
    assert story(lane, runs) == wanted
    assert [lane.effects()[one] for one in runs] == [1] * 10
    assert f"lane.step[{runs[0]}+9] succeeded" in lane.processes["worker"].logs(100_000), "one message brought them all"
    logged = lane.rows(f"select log from backbeat_attempt where run_id = '{runs[4]}'")
    assert "this is number 4" in logged[0][0]


@pytest.mark.slow
def test_a_crash_in_the_middle_leaves_what_had_ended_and_repeats_the_others_one_by_one(lane: Deployment) -> None:
    runs = fire(lane, "crash", {5: "die"})

    eventually(lambda: [lane.state(one) for one in runs] == ["succeeded"] * 10, within=40, message=lane.story)

    lost = [(1, "lost"), (2, "succeeded")]
    assert story(lane, runs) == [[(1, "succeeded")]] * 5 + [lost] * 5
    assert [lane.effects()[one] for one in runs] == [1] * 10
    assert all(f"lane.step[{one}] succeeded" in lane.processes["worker"].logs(100_000) for one in runs[5:])


@pytest.mark.slow
def test_a_run_that_is_cancelled_before_its_turn_never_begins(lane: Deployment) -> None:
    runs = fire(lane, "unwanted", {0: "sleep"})
    eventually(lambda: lane.effects("begin")[runs[0]], within=20, every=0.02, message=lane.story)

    answer = lane.store.ledger.cancel(runs[9], "nobody wants it")

    assert answer == "asked"
    eventually(lambda: all(lane.state(one) for one in runs), within=40, message=lane.story)
    eventually(lambda: lane.state(runs[9]) == "cancelled", within=20, message=lane.story)
    eventually(lambda: [lane.state(one) for one in runs[:9]] == ["succeeded"] * 9, within=40, message=lane.story)
    assert lane.effects("begin")[runs[9]] == 0
