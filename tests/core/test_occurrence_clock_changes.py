"""Nights on which the clock jumps. Berlin 2026: 29 March has no 02:xx, 25 October has two; Lord Howe jumps by half an hour."""

from __future__ import annotations

import pytest

from backbeat.core.when import Cron
from tests.core.clock import times

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("30 2 * * *", ["29 03:00+02", "30 02:30+02"]),
        ("30 2,3 * * *", ["29 03:00+02", "29 03:30+02", "30 02:30+02"]),
        ("0 2,3 * * *", ["29 03:00+02", "30 02:00+02"]),
        ("10,50 2 * * *", ["29 03:00+02", "30 02:10+02"]),
        ("30 1-3 29 * *", ["29 01:30+01", "29 03:00+02", "29 03:30+02"]),
        ("15 */2 * * *", ["29 00:15+01", "29 04:15+02"]),
        ("*/30 * * * *", ["29 00:30+01", "29 01:00+01", "29 01:30+01", "29 03:00+02", "29 03:30+02"]),
        ("*/15 2 * * *", ["30 02:00+02", "30 02:15+02"]),
        ("43 0-23/1 * * *", ["29 00:43+01", "29 01:43+01", "29 03:00+02", "29 03:43+02"]),
    ],
)
def test_a_skipped_hour_moves_fixed_times_to_its_end_and_leaves_wildcards_alone(expr: str, expected: list[str]) -> None:
    cron = Cron(expr, tz=BERLIN)

    assert times(cron, "2026-03-29T00:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("30 2 * * *", ["25 02:30+02", "26 02:30+01"]),
        ("15 1-3 * * *", ["25 01:15+02", "25 02:15+02", "25 03:15+01", "26 01:15+01"]),
        ("0 3 * * *", ["25 03:00+01", "26 03:00+01"]),
        ("0 * * * *", ["25 01:00+02", "25 02:00+02", "25 02:00+01", "25 03:00+01"]),
        ("*/30 2 * * *", ["25 02:00+02", "25 02:30+02", "25 02:00+01", "25 02:30+01", "26 02:00+01"]),
        ("0 */2 * * *", ["25 02:00+02", "25 02:00+01", "25 04:00+01"]),
    ],
)
def test_an_hour_shown_twice_counts_once_for_fixed_times_and_twice_for_wildcards(expr: str, expected: list[str]) -> None:
    cron = Cron(expr, tz=BERLIN)

    assert times(cron, "2026-10-25T00:30", len(expected)) == expected


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        ("first", ["25 02:30+02", "26 02:30+01", "27 02:30+01"]),
        ("last", ["25 02:30+01", "26 02:30+01", "27 02:30+01"]),
        ("both", ["25 02:30+02", "25 02:30+01", "26 02:30+01"]),
    ],
)
def test_which_showing_counts_can_be_chosen(fold: str, expected: list[str]) -> None:
    assert times(Cron("30 2 * * *", tz=BERLIN, fold=fold), "2026-10-25T00:00", 3) == expected


def test_a_skipped_time_can_be_left_out() -> None:
    assert times(Cron("30 2 * * *", tz=BERLIN, gap="skip"), "2026-03-28T03:00", 2) == ["30 02:30+02", "31 02:30+02"]


def test_asking_within_the_second_showing_looks_forward_only() -> None:
    cron = Cron("30 2 * * *", tz=BERLIN, fold="both")

    after_first, after_second = times(cron, "2026-10-25T02:45", 2)

    assert (after_first, after_second) == ("25 02:30+01", "26 02:30+01")


def test_half_an_hour_is_skipped_on_lord_howe() -> None:
    assert times(Cron("15 2 * * *", tz=LORD_HOWE), "2026-10-04T00:00", 2) == ["04 02:30+11", "05 02:15+11"]


def test_half_an_hour_is_shown_twice_on_lord_howe() -> None:
    expected = ["05 01:20+11", "05 01:40+11", "05 01:40+10:30", "05 02:00+10:30"]

    assert times(Cron("*/20 1-2 * * *", tz=LORD_HOWE), "2026-04-05T01:10", 4) == expected


def test_samoa_left_out_a_whole_day() -> None:
    assert times(Cron("0 10 * * *", tz="Pacific/Apia"), "2011-12-29T00:00", 3) == ["29 10:00-10", "31 00:00+14", "31 10:00+14"]


def test_midnight_may_be_missing() -> None:
    assert times(Cron("0 0 * * *", tz="Asia/Hebron"), "2022-03-26T00:00", 2) == ["27 01:00+03", "28 00:00+03"]


def test_a_fold_over_midnight_keeps_instants_in_order() -> None:
    # At 00:01 on 7 November 2010 the clocks of St John's went back to 23:01 of the 6th.
    cron = Cron("30 23 * * *", tz="America/St_Johns", fold="both")

    assert times(cron, "2010-11-06T12:00", 3) == ["06 23:30-02:30", "06 23:30-03:30", "07 23:30-03:30"]


@pytest.mark.parametrize(
    ("dialect", "gap", "fold"), [("vixie", "shift", "first"), ("robfig", "skip", "both"), ("quartz", "skip", "first")]
)
def test_a_dialect_brings_its_own_policies(dialect: str, gap: str, fold: str) -> None:
    cron = Cron("0 30 2 * * ?" if dialect == "quartz" else "30 2 * * *", dialect=dialect)

    assert (cron.gap, cron.fold) == (gap, fold)
