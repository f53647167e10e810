"""The same promises in every pool of Celery: what docs/explanation/pools.md says of each is what happens here."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backbeat.core.job import JobSpec
from backbeat.core.retry import Retry
from tests.acceptance.conftest import BROKERS, KINDS, QUICK, broker_url, in_every_pool, ready
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

pytestmark = pytest.mark.slow
GRACE = 2.0
"""Seconds that these workers have to finish what they do when they shall end."""
ANSWER = 5.0
"""Seconds for which Celery then waits for RabbitMQ's answer that it consumes no more, which its own signal may have cut off."""


@pytest.fixture(scope="module", params=BROKERS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("pools")
    made = Deployment(folder, redis_server.url, broker_url(request, request.param), **QUICK)
    (folder / "celeryconfig.py").write_text(f"worker_soft_shutdown_timeout = {GRACE}\n")
    made.keeper()
    made.define(*(spec for kind in KINDS for spec in specs(kind)))
    yield made
    made.stop()


def specs(kind: str) -> Iterator[JobSpec]:
    """Jobs for the workers that live, and for those that end."""
    yield JobSpec(f"{kind}.loop", "probe.loop", pool=kind)
    yield JobSpec(f"{kind}.tiny", "probe.work", pool=kind)
    yield JobSpec(f"{kind}.soft", "probe.loop", pool=kind, soft_timeout=0.5, timeout=30.0)
    yield JobSpec(f"{kind}.hard", "probe.loop", pool=kind, timeout=0.5)
    yield JobSpec(f"{kind}.again", "probe.loop", pool=kind, timeout=0.5, retry=Retry(1, delay="100ms"))
    yield JobSpec(f"{kind}.deaf", "probe.work", pool=kind, timeout=0.5)
    yield JobSpec(f"{kind}.book", "probe.book", pool=kind, timeout=0.5)
    yield JobSpec(f"{kind}.stubborn", "probe.stubborn", pool=kind, timeout=0.5)
    yield JobSpec(f"{kind}-end.loop", "probe.loop", pool=f"{kind}-end")
    yield JobSpec(f"{kind}-end.work", "probe.work", pool=f"{kind}-end")


@pytest.fixture(scope="module")
def steady(shared: Deployment) -> Iterator[Deployment]:
    """A worker of each kind that these tests leave alive."""
    workers = [shared.worker(kind, "-P", kind, pools=(kind,)) for kind in KINDS]
    for worker in workers:
        ready(worker)
    yield shared
    for worker in workers:
        worker.signal(signal.SIGTERM)
    for worker in workers:
        worker.stop(within=15)


@contextmanager
def one(deployment: Deployment, kind: str, name: str) -> Iterator[OwnProcess]:
    """A worker that a test may end."""
    worker = deployment.worker(f"{kind}-{name}", "-P", kind, pools=(f"{kind}-end",))
    try:
        yield ready(worker)
    finally:
        worker.stop(within=1)


def begun(deployment: Deployment, run_id: str, times: int = 1) -> None:
    eventually(lambda: deployment.effects("begin")[run_id] >= times, within=30, message=deployment.story)


def ends_as(deployment: Deployment, run_id: str, state: str, within: float = 20) -> None:
    eventually(lambda: deployment.state(run_id) == state, within=within, message=deployment.story)


def attempts(deployment: Deployment, run_id: str) -> list[str]:
    return [state for _, state, _ in deployment.attempts(run_id)]


class TestWhileTheWorkerLives:
    def test_a_run_that_outlasts_its_first_lease_succeeds_once(self, steady: Deployment) -> None:
        @in_every_pool
        def scenario(steady: Deployment, kind: str) -> None:
            run_id = steady.submit(f"{kind}.loop", "long", seconds=4.0)

            ends_as(steady, run_id, "succeeded")

            assert attempts(steady, run_id) == ["succeeded"]
            assert steady.effects()[run_id] == 1

        scenario(steady)

    def test_a_slot_that_becomes_free_is_filled_at_once(self, steady: Deployment) -> None:
        @in_every_pool
        def scenario(steady: Deployment, kind: str) -> None:
            runs = {steady.submit(f"{kind}.tiny", str(number)) for number in range(30)}

            # Two slots that were filled every two seconds only, as they are by Celery's loop for gevent, would take thirty.
            eventually(lambda: runs <= set(steady.effects()), within=20, message=steady.story)

        scenario(steady)

    def test_a_cancelled_run_ends_within_seconds_and_cleans_up(self, steady: Deployment) -> None:
        @in_every_pool
        def scenario(steady: Deployment, kind: str) -> None:
            run_id = steady.submit(f"{kind}.loop", "cancel")
            begun(steady, run_id)

            assert steady.store.ledger.cancel(run_id, "enough") == "asked"
            ends_as(steady, run_id, "cancelled")

            assert steady.effects("cleanup")[run_id] == 1
            assert steady.effects()[run_id] == 0

        scenario(steady)

    def test_the_soft_limit_is_an_exception_in_the_job(self, steady: Deployment) -> None:
        @in_every_pool
        def scenario(steady: Deployment, kind: str) -> None:
            run_id = steady.submit(f"{kind}.soft", "a")

            ends_as(steady, run_id, "timed_out")

            ((number, state, error),) = steady.attempts(run_id)
            assert (number, state, error.rpartition(".")[2]) == (1, "timed_out", "SoftTimeLimitExceeded")
            assert steady.effects("cleanup")[run_id] == 1

        scenario(steady)

    def test_the_hard_limit_ends_the_attempt(self, steady: Deployment) -> None:
        @in_every_pool
        def scenario(steady: Deployment, kind: str) -> None:
            run_id = steady.submit(f"{kind}.hard", "a")

            ends_as(steady, run_id, "timed_out")

            assert steady.effects()[run_id] == 0

        scenario(steady)

    def test_an_attempt_that_ran_out_of_time_is_tried_again_by_the_jobs_policy(self, steady: Deployment) -> None:
        @in_every_pool
        def scenario(steady: Deployment, kind: str) -> None:
            run_id = steady.submit(f"{kind}.again", "a")

            ends_as(steady, run_id, "timed_out")

            assert attempts(steady, run_id) == ["timed_out", "timed_out"]

        scenario(steady)

    def test_work_in_the_database_stays_with_the_run_or_goes_with_it(self, steady: Deployment) -> None:
        steady.rows("CREATE TABLE booked (run_id varchar(200) NOT NULL)")
        done, late = {}, {}
        for kind in KINDS:
            # One after the other: on SQLite a transaction holds the database.
            done[kind] = steady.submit(f"{kind}.book", "done")
            ends_as(steady, done[kind], "succeeded")
            late[kind] = steady.submit(f"{kind}.book", "late", seconds=5.0)
            ends_as(steady, late[kind], "timed_out")

        assert sorted(run_id for (run_id,) in steady.rows("SELECT run_id FROM booked")) == sorted(done.values())

    @pytest.mark.parametrize("job", ["deaf", "stubborn"])
    def test_code_that_does_not_let_itself_be_stopped_is_over_in_time_all_the_same(self, steady: Deployment, job: str) -> None:
        # One call into C that a thread can't be woken from; and code that catches whatever comes.
        @in_every_pool
        def scenario(steady: Deployment, kind: str) -> None:
            run_id = steady.submit(f"{kind}.{job}", "a", seconds=4.0)

            ends_as(steady, run_id, "timed_out", within=3.5)
            after = steady.submit(f"{kind}.loop", f"after-{job}", seconds=0.0)
            ends_as(steady, after, "succeeded")

            # What it does can't be prevented where no process can be killed; what it says of itself is refused.
            if job == "stubborn" and kind != "prefork":
                eventually(lambda: steady.effects()[run_id] == 1, within=10)
            assert attempts(steady, run_id) == ["timed_out"]
            assert steady.state(run_id) == "timed_out"

        scenario(steady)


class TestTheEndOfAWorker:
    def test_sigterm_finishes_what_is_nearly_done(self, shared: Deployment) -> None:
        @in_every_pool
        def scenario(shared: Deployment, kind: str) -> None:
            with one(shared, kind, "nearly") as worker:
                run_id = shared.submit(f"{kind}-end.loop", "nearly", seconds=1.0)
                begun(shared, run_id)

                worker.signal(signal.SIGTERM)
                assert worker.ended() == 0

                ends_as(shared, run_id, "succeeded")
                assert attempts(shared, run_id) == ["succeeded"]

        scenario(shared)

    @pytest.mark.parametrize("job", ["loop", "work"])
    def test_sigterm_gives_back_what_takes_longer(self, shared: Deployment, job: str) -> None:
        @in_every_pool
        def scenario(shared: Deployment, kind: str) -> None:
            with one(shared, kind, f"term-{job}") as worker:
                run_id = shared.submit(f"{kind}-end.{job}", "term", seconds=30.0)
                begun(shared, run_id)

                worker.signal(signal.SIGTERM)

                # The grace, and the three seconds that stubborn code gets.
                is_given_back(shared, run_id, GRACE + ANSWER + 5)
                # It ends by itself: a second signal would meet it on its way out.
                eventually(lambda: not worker.alive, within=15)
                assert worker.stop() == 0

        scenario(shared)

    def test_sigquit_gives_back_what_takes_longer(self, shared: Deployment) -> None:
        @in_every_pool
        def scenario(shared: Deployment, kind: str) -> None:
            with one(shared, kind, "quit") as worker:
                run_id = shared.submit(f"{kind}-end.loop", "quit", seconds=30.0)
                begun(shared, run_id)

                worker.signal(signal.SIGQUIT)

                is_given_back(shared, run_id, GRACE + ANSWER + 5)

        scenario(shared)

    def test_sigterm_may_mean_sigquit(self, shared: Deployment) -> None:
        @in_every_pool
        def scenario(shared: Deployment, kind: str) -> None:
            with one(shared, kind, "remap") as worker:
                run_id = shared.submit(f"{kind}-end.loop", "remap", seconds=30.0)
                begun(shared, run_id)

                worker.signal(signal.SIGTERM)

                is_given_back(shared, run_id, GRACE + ANSWER + 5)

        shared.env["REMAP_SIGTERM"] = "SIGQUIT"
        try:
            scenario(shared)
        finally:
            del shared.env["REMAP_SIGTERM"]

    def test_kill_minus_nine_is_one_loss_and_another_worker_goes_on(self, shared: Deployment) -> None:
        @in_every_pool
        def scenario(shared: Deployment, kind: str) -> None:
            with one(shared, kind, "killed") as worker:
                run_id = shared.submit(f"{kind}-end.loop", "kill", seconds=1.0)
                begun(shared, run_id)

                worker.kill()

            with one(shared, kind, "heir"):
                ends_as(shared, run_id, "succeeded", within=30)
                assert attempts(shared, run_id) == ["lost", "succeeded"]

        scenario(shared)

    def test_a_worker_that_slept_past_its_lease_has_no_say_any_more(self, shared: Deployment) -> None:
        @in_every_pool
        def scenario(shared: Deployment, kind: str) -> None:
            with one(shared, kind, "asleep") as worker:
                run_id = shared.submit(f"{kind}-end.loop", "sleep", seconds=3.0)
                begun(shared, run_id)
                worker.pause_group()
                with one(shared, kind, "awake"):
                    begun(shared, run_id, 2)
                    worker.resume_group()

                    ends_as(shared, run_id, "succeeded")
                    assert attempts(shared, run_id) == ["lost", "succeeded"]
                    assert shared.rows(f"select worker from backbeat_run where run_id='{run_id}'") == [(f"{kind}-awake@test",)]

        scenario(shared)


def is_given_back(deployment: Deployment, run_id: str, within: float) -> None:
    """Queued again by its worker's own hand: neither a failure, nor a loss, nor the end of a lease."""
    eventually(lambda: deployment.store.ledger.get(run_id)["s"] == "queued", within=within, message=deployment.story)
    run = deployment.store.ledger.get(run_id)
    assert (run["a"], run["b"], run.get("l")) == ("1", "1", None)
    deployment.store.ledger.cancel(run_id, "seen")
