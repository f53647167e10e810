"""How the time of a run is split."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backbeat.admin.models import Attempt, Run
from backbeat.admin.pages.timing import split, totals

T0 = datetime(2026, 11, 23, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def tried(number: int, start: float, end: float | None, state: str = "failed") -> Attempt:
    return Attempt(number=number, started_at=at(start), finished_at=None if end is None else at(end), state=state)


def names(run: Run, *attempts: Attempt, now: float = 1000) -> list[tuple[str, float]]:
    return [(part.name, part.seconds) for part in split(run, attempts, at(now))]


def test_waiting_queued_running_and_the_wait_for_a_retry_are_told_apart() -> None:
    run = Run(nominal=at(0), effective=at(1), queued_at=at(3), finished_at=at(100), state="succeeded")

    found = names(run, tried(1, 5, 20), tried(2, 50, 100, "succeeded"))

    assert found == [("waiting", 2), ("queued", 2), ("running", 15), ("retry wait", 30), ("running", 50)]


def test_the_parts_fill_the_whole_time() -> None:
    run = Run(nominal=at(0), queued_at=at(3), finished_at=at(100), state="failed")

    parts = split(run, [tried(1, 5, 20), tried(2, 50, 100)], at(1000))

    assert sum(totals(parts).values()) == 100


def test_what_has_not_ended_runs_until_now() -> None:
    run = Run(nominal=at(0), queued_at=at(3), state="running")

    assert names(run, tried(1, 5, None, "running"), now=65)[-1] == ("running", 60)


def test_what_nobody_took_is_queued_until_now() -> None:
    assert names(Run(nominal=at(0), queued_at=at(3), state="queued"), now=63) == [("waiting", 3), ("queued", 60)]


def test_what_waits_for_another_attempt_says_so() -> None:
    run = Run(nominal=at(0), queued_at=at(3), state="retrying")

    assert names(run, tried(1, 5, 20), now=50)[-1] == ("retry wait", 30)


def test_a_run_that_was_asked_for_has_no_wait_before_its_queue() -> None:
    run = Run(queued_at=at(3), finished_at=at(10), state="succeeded")

    assert names(run, tried(1, 5, 10)) == [("queued", 2), ("running", 5)]


def test_a_clock_that_ran_backwards_gives_no_negative_length() -> None:
    run = Run(nominal=at(10), queued_at=at(3), finished_at=at(1), state="succeeded")

    assert all(length >= 0 for _, length in names(run, tried(1, 2, 1)))
