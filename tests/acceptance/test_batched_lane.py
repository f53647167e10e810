"""Many runs in one message, in every pool and on both brokers: each is still a run of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.retry import Retry
from backbeat.core.when import Every
from tests.acceptance.conftest import BROKERS, KINDS, QUICK, broker_url, in_every_pool, ready
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.slow

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
        if first == "deaf":
            time.sleep(3.5)
        while first == "sleep":
            time.sleep(0.02)
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
    workers = [made.worker(kind, "-P", kind, pools=(kind,)) for kind in KINDS]
    for start in (made.beat, made.keeper):
        start()
    for worker in workers:
        ready(worker)
    yield made
    made.stop()


def fire(lane: Deployment, kind: str, name: str, first: dict[int, str], count: int = 10) -> list[str]:
    """A job whose schedules all come due at the same moment; the ids of the runs, in their order."""
    name = f"{kind}.{name}"
    schedules = tuple(Schedule(Every("1h"), key=f"{number:02}", args=(number, first.get(number, ""))) for number in range(count))
    policies = {"retry": Retry(1, delay=0.1, jitter=False), "timeout": 1.5, "overlap": Overlap.ALLOW, "pool": kind}
    spec = JobSpec(name, "lane.step", schedules, batch=100, **policies)  # type: ignore[arg-type] # as they are
    lane.define(spec)
    keys, nominal = lane.store.slots.of(name), lane.store.slots.now_ms()
    lane.client.zadd(keys.due, {spec.schedule_id(one): nominal for one in schedules}, xx=True)
    return [occurrence_id(spec.schedule_id(one), nominal) for one in schedules]


def story(lane: Deployment, runs: list[str]) -> list[list[tuple[int, str]]]:
    """Numbers and states of the attempts of each run, as history has them."""
    return [[(number, state) for number, state, _ in lane.attempts(run_id)] for run_id in runs]


def all_succeed(lane: Deployment, runs: list[str]) -> None:
    eventually(lambda: [lane.state(one) for one in runs] == ["succeeded"] * len(runs), within=40, message=lane.story)


def test_each_run_of_a_message_has_its_own_outcome_retry_and_history(lane: Deployment) -> None:
    @in_every_pool
    def scenario(lane: Deployment, kind: str) -> None:
        runs = fire(lane, kind, "mixed", {3: "fail", 6: "sleep"})

        all_succeed(lane, runs)

        wanted = [[(1, "succeeded")] for _ in runs]
        wanted[3], wanted[6] = [(1, "failed"), (2, "succeeded")], [(1, "timed_out"), (2, "succeeded")]
        if kind != "prefork":
            # Nobody can be sure that the code in a thread ends, so what waits behind it goes back.
            wanted[7:] = [[(1, "cancelled"), (2, "succeeded")]] * 3
        assert story(lane, runs) == wanted
        assert [lane.effects()[one] for one in runs] == [1] * 10
        assert [lane.effects("begin")[one] for one in runs] == [1, 1, 1, 2, 1, 1, 2, 1, 1, 1]
        assert f"lane.step[{runs[0]}+9] succeeded" in lane.processes[kind].logs(1_000_000), "one message brought them all"
        logged = lane.rows(f"select log from backbeat_attempt where run_id = '{runs[4]}'")
        assert "this is number 4" in logged[0][0]

    scenario(lane)


def test_code_that_can_not_be_interrupted_holds_up_no_run_beside_it(lane: Deployment) -> None:
    @in_every_pool
    def scenario(lane: Deployment, kind: str) -> None:
        runs = fire(lane, kind, "deaf", {2: "deaf"}, count=5)

        all_succeed(lane, runs)

        assert story(lane, runs)[2] == [(1, "timed_out"), (2, "succeeded")]
        # Where it can't be stopped its effect comes all the same, as that of any such run; that of the others once.
        assert [lane.effects()[one] for one in runs if one != runs[2]] == [1] * 4

    scenario(lane)


def test_a_crash_in_the_middle_leaves_what_had_ended_and_repeats_the_others_one_by_one(lane: Deployment) -> None:
    # Only a pool of processes outlives it; for the others see test_kill_minus_nine below.
    runs = fire(lane, "prefork", "crash", {5: "die"})

    all_succeed(lane, runs)

    lost = [(1, "lost"), (2, "succeeded")]
    assert story(lane, runs) == [[(1, "succeeded")]] * 5 + [lost] * 5
    assert [lane.effects()[one] for one in runs] == [1] * 10
    assert all(f"lane.step[{one}] succeeded" in lane.processes["prefork"].logs(1_000_000) for one in runs[5:])


def test_a_run_that_is_cancelled_before_its_turn_never_begins(lane: Deployment) -> None:
    @in_every_pool
    def scenario(lane: Deployment, kind: str) -> None:
        runs = fire(lane, kind, "unwanted", {0: "sleep"})
        eventually(lambda: lane.effects("begin")[runs[0]], within=20, every=0.02, message=lane.story)

        answer = lane.store.ledger.cancel(runs[9], "nobody wants it")

        assert answer == "asked"
        all_succeed(lane, runs[:9])
        eventually(lambda: lane.state(runs[9]) == "cancelled", within=20, message=lane.story)
        assert lane.effects("begin")[runs[9]] == 0

    scenario(lane)


def test_kill_minus_nine_of_a_worker_repeats_no_more_than_what_it_had_not_told(lane: Deployment) -> None:
    @in_every_pool
    def scenario(lane: Deployment, kind: str) -> None:
        pool = f"{kind}-end"
        worker = ready(lane.worker(f"{kind}-killed", "-P", kind, pools=(pool,)))
        runs = fire(lane, pool, "killed", {}, count=30)
        eventually(lambda: lane.effects("begin")[runs[10]], within=20, every=0.005, message=lane.story)

        worker.kill()
        heir = ready(lane.worker(f"{kind}-heir", "-P", kind, pools=(pool,)))

        all_succeed(lane, runs)
        told = story(lane, runs)
        assert all(one in ([(1, "succeeded")], [(1, "lost"), (2, "succeeded")]) for one in told), told
        before = [told.index(one) for one in told if len(one) == 1]
        assert len(before) >= 9, "what had ended was told while the others waited"
        counts = [lane.effects()[one] for one in runs]
        # Each takes 20 ms and ends are kept back for 10: at most one had its effect and could not say so.
        assert counts.count(1) >= 29, counts
        assert max(counts) <= 2, counts
        heir.stop(within=15)

    scenario(lane)
