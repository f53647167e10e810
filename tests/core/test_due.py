"""What fires when: misfire policies, start deadlines, bounds and jitter, with time as an argument."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbeat.core.due import FIRES_LIMIT, GRACE_MS, SCAN_LIMIT, Decision, decide
from backbeat.core.entry import Entry, Timing, offset
from backbeat.core.job import Misfire
from backbeat.core.state import Reason
from backbeat.core.template import Template
from backbeat.core.when import Every

MINUTE, HOUR = 60_000, 3_600_000
NOON = 1_700_000_000_000 // HOUR * HOUR


def decided(now: int, score: int, every: str = "1m", jitter: int = 0, end: int | None = None, **policies: Any) -> Decision:
    entry = Entry("tick", Timing(Every(every), jitter=jitter, end=end), "t", "[[],{}]")
    return decide(now, score, entry, Template("task", **policies))


def test_an_occurrence_on_time_fires_and_the_next_follows() -> None:
    decision = decided(NOON + 5, NOON)

    assert decision == Decision((NOON,), (), NOON + MINUTE)


def test_occurrences_that_are_only_late_all_fire_whatever_the_policy() -> None:
    for policy in Misfire:
        decision = decided(NOON + 3_500, NOON, every="1s", misfire=policy)

        assert decision.fires == (NOON, NOON + 1000, NOON + 2000, NOON + 3000)
        assert decision.omissions == ()


def test_latest_fires_the_newest_and_records_the_others() -> None:
    decision = decided(NOON + 10 * HOUR + 2 * MINUTE, NOON, every="1h", misfire=Misfire.LATEST)

    (omission,) = decision.omissions
    assert decision.fires == (NOON + 10 * HOUR,)
    assert (omission.reason, omission.first, omission.last, omission.count) == (Reason.MISFIRE, NOON, NOON + 9 * HOUR, 10)


def test_latest_prefers_a_fresh_occurrence_to_an_old_one() -> None:
    decision = decided(NOON + 10 * MINUTE + 5, NOON)

    assert decision.fires == (NOON + 10 * MINUTE,)
    assert sum(omission.count for omission in decision.omissions) == 10


def test_all_is_bounded_by_count_and_by_window() -> None:
    bounded = decided(
        NOON + 100 * HOUR + 2 * MINUTE, NOON, every="1h", misfire=Misfire.ALL, misfire_limit=5, misfire_window=7 * 86400
    )
    windowed = decided(NOON + 100 * HOUR + 2 * MINUTE, NOON, every="1h", misfire=Misfire.ALL, misfire_window=2 * 3600 + 300)

    assert len(bounded.fires) == 5
    assert windowed.fires == tuple(NOON + hour * HOUR for hour in (98, 99, 100))
    assert sum(omission.count for omission in windowed.omissions) == 98


def test_skip_fires_nothing_old() -> None:
    decision = decided(NOON + 2 * MINUTE, NOON, every="1h", misfire=Misfire.SKIP)

    assert decision.fires == ()
    assert decision.omissions[0].count == 1


def test_a_run_past_its_start_deadline_is_recorded_as_expired() -> None:
    decision = decided(NOON + 31_000, NOON, start_deadline=30.0)

    assert decision.fires == ()
    assert [omission.reason for omission in decision.omissions] == [Reason.EXPIRED]


def test_no_occurrence_follows_the_end() -> None:
    assert decided(NOON, NOON, end=NOON).next is None


def test_jitter_moves_the_fire_and_keeps_the_nominal_time() -> None:
    jitter = 30_000
    score = NOON + offset("tick", jitter)

    decision = decided(score, score, jitter=jitter)

    assert decision.fires == (NOON,)
    assert 0 <= offset("tick", jitter) < jitter


@given(
    missed=st.integers(min_value=0, max_value=3 * SCAN_LIMIT),
    late=st.integers(min_value=0, max_value=3 * GRACE_MS),
    misfire=st.sampled_from(Misfire),
    limit=st.integers(min_value=1, max_value=300),
    deadline=st.none() | st.floats(min_value=1, max_value=1e6),
)
def test_every_occurrence_is_either_fired_or_recorded_exactly_once(
    missed: int, late: int, misfire: Misfire, limit: int, deadline: float | None
) -> None:
    now, score, decisions = NOON + missed * MINUTE + late, NOON, []
    while score <= now:
        decision = decided(now, score, misfire=misfire, misfire_limit=limit, start_deadline=deadline, misfire_window=1e9)
        assert decision.next is not None
        assert decision.next > score, "a decision that does not move on would spin"
        decisions.append(decision)
        score = decision.next

    due = (now - NOON) // MINUTE + 1
    fired = [moment for decision in decisions for moment in decision.fires]
    omitted = sum(omission.count for decision in decisions for omission in decision.omissions)
    assert len(fired) == len(set(fired))
    assert len(fired) + omitted == due


@pytest.mark.parametrize("missed", [10, SCAN_LIMIT - 1, SCAN_LIMIT, SCAN_LIMIT + 1, 2 * SCAN_LIMIT + 7])
def test_a_past_of_any_length_fires_the_same_latest_occurrences(missed: int) -> None:
    now, score, fired = NOON + missed * HOUR + 2 * MINUTE, NOON, []
    while score <= now:
        decision = decided(now, score, every="1h", misfire=Misfire.ALL, misfire_limit=7, misfire_window=1e9)
        fired += decision.fires
        score = decision.next or now + 1

    assert fired == [NOON + hour * HOUR for hour in range(missed - 6, missed + 1)]


def test_many_late_fires_are_made_in_several_decisions_and_none_is_left_out() -> None:
    now, place, fires, omitted = NOON + 1000 * HOUR + 2 * MINUTE, NOON, [], 0
    while place is not None and place <= now:
        decision = decided(now, place, every="1h", misfire=Misfire.ALL, misfire_limit=500, misfire_window=10_000 * 3600)
        assert len(decision.fires) <= FIRES_LIMIT
        fires += decision.fires
        omitted += sum(omission.count for omission in decision.omissions)
        place = decision.next

    assert fires == [NOON + hour * HOUR for hour in range(501, 1001)]
    assert omitted == 501
