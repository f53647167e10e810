"""The load to come is what an enumeration of every occurrence counts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from backbeat.core.calendar import Calendar
from backbeat.core.entry import Entry, Timing, offset
from backbeat.core.forecast import MINUTE_MS, OTHERS, Forecast
from backbeat.core.when import Cron, Every, When, to_ms

SINCE = to_ms(datetime(2026, 11, 23, 8, 0, tzinfo=UTC))
HOURS = 3


def entry(name: str, when: When, **options: object) -> Entry:
    return Entry(name, Timing(when, **options), "template", "[[],\t{}]")  # type: ignore[arg-type]  # Timing's own options


def counted(*entries: tuple[str, Entry, int | None]) -> Forecast:
    found = Forecast(SINCE, HOURS * 60)
    found.add(entries)
    return found


def enumerated(one: Entry) -> Counter[int]:
    """Minute by minute, one occurrence after another."""
    shift = offset(one.id, one.timing.jitter) // MINUTE_MS * MINUTE_MS
    counts: Counter[int] = Counter()
    moment = one.timing.next(SINCE - shift - 1)
    while moment is not None and moment + shift < SINCE + HOURS * 60 * MINUTE_MS:
        counts[(moment + shift - SINCE) // MINUTE_MS] += 1
        moment = one.timing.next(moment)
    return counts


WHENS = st.sampled_from(
    [
        Every("1s"),
        Every("7s"),
        Every("700ms"),
        Every("59s"),
        Every("61s"),
        Every("25m"),
        Cron("*/5 * * * *"),
        Cron("* * * * *"),
        Cron("30 9 * * *", tz="Europe/Berlin"),
        Cron("0 0 1 1 *"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(WHENS, st.sampled_from([0, 600_000, 5_000_000]), st.integers(-90, 200), st.integers(-90, 200))
def test_counts_are_those_of_an_enumeration(when: When, jitter: int, start: int, end: int) -> None:
    bounds = {"start": SINCE + start * MINUTE_MS, "end": SINCE + end * MINUTE_MS}
    one = entry("a", when, jitter=jitter, **bounds)

    total = counted(("q", one, None)).total()

    assert Counter({minute: count for minute, count in enumerate(total) if count}) == enumerated(one)


def test_queues_are_counted_apart_and_equal_schedules_together() -> None:
    every = Every("10m")
    found = counted(*[("a.p5", entry(f"a{n}", every), None) for n in range(7)], ("b.p5", entry("b", every), None))

    assert [sum(found.queues[queue]) for queue in ("a.p5", "b.p5")] == [7 * 18, 18]
    assert found.busiest(1) == [(SINCE, 8)]
    assert found.at(SINCE) == {"a.p5": 7, "b.p5": 1}


def test_a_schedule_has_no_more_runs_than_are_left() -> None:
    assert sum(counted(("q", entry("a", Every("1m")), 5)).total()) == 5
    assert sum(counted(("q", entry("a", Every("1s")), 90)).total()) == 90
    assert sum(counted(("q", entry("a", Every("1s")), 0)).total()) == 0


def test_a_closed_day_counts_for_nothing() -> None:
    closed = Calendar("holidays", ["2026-11-23"])

    timing = Timing(Every("10m"), calendar="holidays", days=closed)

    assert sum(counted(("q", Entry("a", timing, "t", ""), None)).total()) == 0


def test_nothing_is_due_without_entries() -> None:
    assert counted().total() == [0] * HOURS * 60
    assert counted().busiest(10) == []


def test_memory_follows_minutes_and_queues_only_so_far() -> None:
    rare = Cron("0 0 1 1 *")

    found = counted(*[(f"q{n}.p5", entry(f"j{n}", rare), None) for n in range(600)])

    assert len(found.queues) == 501
    assert OTHERS in found.queues


def test_an_entry_whose_times_can_not_be_told_is_left_out_and_stops_no_other() -> None:
    broken = [entry("garbled", Cron("61 * * * *")), entry("lost", Cron("* * * * *", tz="Mars/Phobos"))]

    found = counted(*(("q", one, None) for one in broken), ("q", entry("fine", Every("1m")), None))

    assert sum(found.total()) == HOURS * 60
