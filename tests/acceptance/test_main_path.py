"""The main path on real processes: define, fire, claim, run, finish, record."""

from __future__ import annotations

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Every
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


def recorded(deployment: Deployment, job: str, state: str) -> list[tuple]:
    return deployment.rows(f"select run_id, attempts from backbeat_run where job = '{job}' and state = '{state}'")


def test_a_defined_job_is_fired_run_and_recorded_once_an_occurrence(running: Deployment) -> None:
    running.define(JobSpec("tick", "probe.work", schedules=(Schedule(Every("1s")),), overlap=Overlap.ALLOW))

    def five() -> list[tuple]:
        rows = recorded(running, "tick", "succeeded")
        return rows if len(rows) >= 5 else []

    done = eventually(five, within=30)
    effects = running.effects()
    assert {effects[run_id] for run_id, _ in done} == {1}


def test_a_failing_job_is_retried_by_its_policy_and_every_attempt_is_kept(running: Deployment) -> None:
    running.define(JobSpec("flaky", "probe.flaky", retry=Retry(3, delay="100ms", jitter=False)))
    run_id = running.submit("flaky", "a", until=3)

    rows = eventually(lambda: recorded(running, "flaky", "succeeded"), within=30, message=running.story)

    assert rows == [(run_id, 3)]
    states = running.rows("select number, state from backbeat_attempt where run_id = 'flaky:a' order by number")
    assert states == [(1, "failed"), (2, "failed"), (3, "succeeded")]


def test_a_job_that_runs_out_of_retries_fails_with_its_error(running: Deployment) -> None:
    running.define(JobSpec("hopeless", "probe.flaky", retry=Retry(1, delay="50ms", jitter=False)))
    running.submit("hopeless", "a", until=9)

    rows = eventually(
        lambda: running.rows(
            "select attempts, error_type, error_message from backbeat_run where job='hopeless' and state='failed'"
        ),
        within=30,
    )

    assert rows == [(2, "RuntimeError", "attempt 2 fails")]


def test_a_child_that_dies_is_noticed_at_once_and_the_job_is_quarantined_after_three_losses(running: Deployment) -> None:
    running.define(JobSpec("poison", "probe.die"))
    run_id = running.submit("poison", "a")

    eventually(lambda: running.store.ledger.get(run_id).get("s") == "quarantined", within=60, message=running.story)

    assert running.effects("begin")[run_id] == 3
    assert eventually(lambda: recorded(running, "poison", "quarantined"), within=10) == [(run_id, 3)]


def test_the_hard_time_limit_ends_a_run_as_timed_out(running: Deployment) -> None:
    running.define(JobSpec("slow", "probe.slow", timeout=1.0))
    run_id = running.submit("slow", "a")

    assert eventually(lambda: recorded(running, "slow", "timed_out"), within=30, message=running.story) == [(run_id, 1)]


def test_a_running_job_is_stopped_when_it_is_cancelled(running: Deployment) -> None:
    running.define(JobSpec("long", "probe.work"))
    run_id = running.submit("long", "a", seconds=60)
    eventually(lambda: running.effects("begin")[run_id], within=30, message=running.story)

    assert running.store.ledger.cancel(run_id, "enough") == "asked"

    assert eventually(lambda: recorded(running, "long", "cancelled"), within=20, message=running.story) == [(run_id, 1)]
    assert running.effects()[run_id] == 0


def test_what_a_job_logs_is_kept_with_its_attempt(running: Deployment) -> None:
    running.define(JobSpec("says", "probe.says"))
    running.submit("says", "a", text="hello")

    sql = "select log from backbeat_attempt where run_id='says:a' and state='succeeded'"
    ((log,),) = eventually(lambda: running.rows(sql), within=30)

    assert log.endswith("INFO it says hello")
