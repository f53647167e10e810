"""`current_run()` works inside a run and outside of one."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from threading import Thread

import pytest

from backbeat import current_run
from backbeat.errors import BackbeatError
from backbeat.runtime.context import CurrentRun, inside, running


def test_outside_a_run_there_is_an_inline_one_that_stays_the_same():
    run = current_run()

    assert run.id.startswith("inline:")
    assert (run.attempt, run.nominal, run.fence) == (1, None, 1)
    assert current_run() is run
    assert not inside()
    run.progress(0.5, "half")
    run.heartbeat()


def test_inside_a_run_it_is_that_run():
    nominal = datetime(2026, 11, 23, 2, tzinfo=UTC)
    run = CurrentRun("reports.daily@2026-11-23T02:00:00Z", "reports.daily", attempt=2, nominal=nominal, fence=2)

    with running(run):
        assert current_run() is run
        assert inside()

    assert current_run() is not run


def test_a_thread_of_another_run_sees_its_own():
    seen: list[str] = []

    def work(name: str) -> None:
        with running(CurrentRun(name, "job")):
            seen.append(current_run().id)

    with running(CurrentRun("mine", "job")):
        thread = Thread(target=work, args=["theirs"])
        thread.start()
        thread.join()
        seen.append(current_run().id)

    assert seen == ["theirs", "mine"]


def test_progress_and_heartbeat_reach_whoever_listens():
    told: list[object] = []
    run = CurrentRun("id", "job", on_progress=lambda *what: told.append(what), on_heartbeat=lambda: told.append("beat"))

    run.progress(0.25, "a quarter")
    run.progress(1)
    run.heartbeat()

    assert told == [(0.25, "a quarter"), (1.0, ""), "beat"]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, 40, float("nan")])
def test_progress_is_a_fraction(fraction: float):
    with pytest.raises(BackbeatError, match=r"expected a fraction from 0.0 to 1.0"):
        current_run().progress(fraction)


def test_the_log_of_a_run_reaches_the_workers_log_too(caplog: pytest.LogCaptureFixture):
    CurrentRun("id", "reports.daily").log.info("started with %d rows", 3)

    assert caplog.messages == ["started with 3 rows"]
    assert caplog.records[0].name == "backbeat.job.reports.daily"


def test_two_runs_of_one_job_do_not_share_a_log():
    one, two = CurrentRun("1", "job"), CurrentRun("2", "job")

    one.log.addHandler(logging.NullHandler())

    assert two.log.handlers == []
