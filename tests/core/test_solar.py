"""Schedules by the sun, which need the package ephem."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from backbeat.core.occurrence import describe, last_before, next_after, upcoming
from backbeat.core.when import SOLAR_EVENTS, Solar, from_ms, from_text, iso, to_text
from backbeat.errors import BadSchedule

pytest.importorskip("ephem", reason="schedules by the sun need the package ephem")

BERLIN = (52.52, 13.405)
NOW = 1_789_000_000_000


@pytest.mark.parametrize("event", SOLAR_EVENTS)
def test_it_names_the_moments_that_celery_names(event: str) -> None:
    from celery.schedules import solar

    now = from_ms(NOW)
    celery = solar(event, *BERLIN, nowfun=lambda: now)
    theirs = now + celery.remaining_estimate(now)

    ours = from_ms(next_after(Solar(event, *BERLIN), NOW) or 0)

    assert abs(ours - theirs) <= timedelta(seconds=1)


@pytest.mark.parametrize("lat", [52.52, -33.9, 0.0])
@pytest.mark.parametrize("lon", [-179.9, 13.4, 179.9])
def test_it_comes_once_a_day_and_is_the_same_from_wherever_it_is_asked(lat: float, lon: float) -> None:
    sunset = Solar("sunset", lat, lon)

    days = upcoming(sunset, NOW, 400)

    assert all(85_000_000 < later - earlier < 88_000_000 for earlier, later in pairwise(days))
    assert [next_after(sunset, day - 1) for day in days[::40]] == days[::40]
    assert last_before(sunset, days[5]) == days[4]


def test_it_waits_for_the_end_of_the_polar_night() -> None:
    last, first = upcoming(Solar("sunrise", 78.2, 15.6), round(datetime(2026, 10, 25, 12, tzinfo=UTC).timestamp() * 1000), 2)

    assert (iso(last)[:10], iso(first)[:7]) == ("2026-10-26", "2027-02")


@pytest.mark.parametrize(
    ("event", "lat", "lon", "says"),
    [
        ("sunrize", 0, 0, "Did you mean 'sunrise'?"),
        ("sunset", 91, 0, "expected degrees from -90 to 90; got 91"),
        ("sunset", 0, 181, "expected degrees from -180 to 180; got 181"),
    ],
)
def test_a_place_or_event_that_does_not_exist_is_refused(event: str, lat: float, lon: float, says: str) -> None:
    with pytest.raises(BadSchedule) as refusal:
        Solar(event, lat, lon)

    assert says in str(refusal.value)


def test_it_is_kept_as_a_line_and_told_as_a_sentence() -> None:
    when = Solar("dusk_civil", *BERLIN)

    assert to_text(when) == "solar|dusk_civil|52.52|13.405"
    assert from_text(to_text(when)) == when
    assert describe(when) == "At civil dusk at latitude 52.52, longitude 13.405."
