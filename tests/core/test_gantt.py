"""A DAG run drawn as text."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backbeat.core.gantt import Bar, Split, lines, ordered, split
from backbeat.core.state import TERMINAL, RunState

OK = RunState.SUCCEEDED


def test_bars_part_the_wait_in_the_queue_from_work() -> None:
    drawn = lines([Bar("a", OK, 0, 5000, 10_000), Bar("b", OK, 10_000, 10_000, 20_000)], now=99_000, width=55)

    assert drawn == [
        "✓ a        5s ··········██████████",
        "✓ b       10s                     ████████████████████",
    ]


def test_what_goes_on_grows_until_now_and_what_never_ran_has_no_bar() -> None:
    drawn = lines(
        [
            Bar("a", RunState.RUNNING, 0, 1000, None, attempts=2),
            Bar("b", RunState.UPSTREAM_FAILED),
            Bar("c", RunState.QUEUED, 1000),
            Bar("d", RunState.PENDING),
        ],
        now=2000,
        width=35,
    )

    assert drawn == [
        "▶ a        1s ··········▒▒▒▒▒▒▒▒▒▒",
        "↑ b upstream_failed ",
        "… c                     ··········",
        ". d           ",
    ]


def test_items_stand_behind_their_node_in_their_order() -> None:
    bars = [Bar("z", OK, 1), Bar("m[10]", OK, 3), Bar("m[2]", OK, 3), Bar("a", OK, 2), Bar("m", OK)]

    assert [bar.node for bar in ordered(bars, {"a": 0, "m": 1, "z": 2})] == ["a", "m", "m[2]", "m[10]", "z"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert lines([], now=0) == []


@given(
    st.sampled_from([OK, RunState.FAILED, RunState.RUNNING, RunState.RETRYING, RunState.QUEUED, RunState.PENDING]),
    *[st.none() | st.integers(0, 100)] * 4,
    st.integers(0, 150),
)
def test_the_parts_of_a_nodes_time_add_up(
    state: RunState, queued: Any, started: Any, finished: Any, last: Any, worked: int
) -> None:
    bar = Bar("a", state, queued, started, finished, worked=worked, last_started=last)

    parts = split(bar, 10, 200)

    end = finished if state in TERMINAL and finished is not None else 200
    assert min(parts.waiting, parts.queued, parts.running, parts.retry) >= 0
    if end >= 10:
        assert parts.waiting + parts.queued + parts.running + parts.retry == end - 10


def test_time_between_attempts_is_neither_waiting_nor_work() -> None:
    bar = Bar("a", OK, queued=100, started=150, finished=1_000, attempts=2, worked=300, last_started=900)

    assert split(bar, 0, 5_000) == Split(waiting=100, queued=50, running=300, retry=550)


def test_what_runs_counts_until_now() -> None:
    bar = Bar("a", RunState.RUNNING, queued=0, started=100, attempts=2, worked=50, last_started=400)

    assert split(bar, 0, 1_000) == Split(waiting=0, queued=100, running=650, retry=250)
