"""A DAG run drawn as text."""

from __future__ import annotations

from backbeat.core.gantt import Bar, lines, ordered
from backbeat.core.state import RunState

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
