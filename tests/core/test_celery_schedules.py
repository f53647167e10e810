"""Celery's schedules read from RedBeat's JSON come at the times at which Celery itself would find them due."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from dateutil.rrule import FR, MO
from redbeat.decoder import RedBeatJSONEncoder
from redbeat.schedules import rrule

from backbeat.core.celery_schedules import when_of
from backbeat.core.occurrence import upcoming
from backbeat.core.when import Cron, Every, RRule, Solar, When, from_ms, to_ms
from backbeat.errors import BadSchedule

START = datetime(2026, 3, 1, 10, 17, 23, 456789, UTC)


def read(given: object, tz: str = "UTC", last: datetime | None = START) -> When:
    data = json.loads(json.dumps(given, cls=RedBeatJSONEncoder))
    return when_of(data, tz, None if last is None else to_ms(last))


def times(when: When, n: int = 8, after: datetime = START) -> list[datetime]:
    return [from_ms(ms) for ms in upcoming(when, to_ms(after), n)]


def celery_times(given: crontab, zone: str, n: int = 8, after: datetime = START) -> list[datetime]:
    """What Celery's own crontab says, asked again and again as beat does."""
    found: list[datetime] = []
    app = Celery(set_as_current=False)
    app.conf.timezone = zone
    fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    given = crontab(**{name: getattr(given, f"_orig_{name}") for name in fields}, app=app)
    moment = after.astimezone(ZoneInfo(zone))
    while len(found) < n:
        given.nowfun = lambda moment=moment: moment
        moment = moment + given.remaining_estimate(moment)
        found.append(moment.astimezone(UTC))
    return found


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Sao_Paulo"])
@pytest.mark.parametrize(
    "given",
    [
        crontab(),
        crontab(minute=30, hour=2),
        crontab(minute="*/15"),
        crontab(minute=[5, 6, 7, 40], hour="8-18/3"),
        crontab(minute="0", hour="0", day_of_week="mon,fri"),
        crontab(minute=0, hour=12, day_of_month="13", day_of_week="friday"),
        crontab(minute=0, hour=0, day_of_month="1-7", day_of_week="sun"),
        crontab(minute=0, hour=0, day_of_month="31"),
        crontab(minute=0, hour="22-2", month_of_year="*/3"),
        crontab(minute="1, 2", hour=" 3 "),
    ],
    ids=repr,
)
def test_a_crontab_comes_when_celery_says(given: crontab, zone: str) -> None:
    assert times(read(given, zone)) == celery_times(given, zone)


def test_day_and_weekday_must_both_match_as_in_celery() -> None:
    when = read(crontab(minute=0, hour=0, day_of_month=13, day_of_week="fri"))

    assert [moment.strftime("%a %d") for moment in times(when, 4)] == ["Fri 13"] * 4


def test_a_long_list_of_numbers_still_fits_an_expression() -> None:
    when = read(crontab(minute=list(range(60)), hour=list(range(1, 24))))

    assert isinstance(when, Cron)
    assert when.expr == "0-59 1-23 * * *"


@pytest.mark.parametrize("length", [1, 10, 90, 3600, 0.25])
def test_an_interval_goes_on_from_its_last_run(length: float) -> None:
    first, second = times(read(schedule(run_every=timedelta(seconds=length))), 2)

    whole = START.replace(microsecond=457000 if length < 1 else 0)
    assert first == whole + timedelta(seconds=length)
    assert second == first + timedelta(seconds=length)


def test_an_interval_stays_in_step_when_its_last_run_is_moved_on_by_a_fire() -> None:
    every = read(schedule(run_every=timedelta(seconds=90)))
    fired = times(every, 5)[-1]

    assert read(schedule(run_every=timedelta(seconds=90)), last=fired) == every


@pytest.mark.parametrize(
    ("length", "local"),
    [
        (timedelta(minutes=5), ["10:22", "10:27", "10:32"]),
        (timedelta(hours=2), ["12:00", "14:00", "16:00"]),
        (timedelta(days=1), ["00:00", "00:00", "00:00"]),
        (timedelta(days=2), ["00:00", "00:00", "00:00"]),
    ],
)
def test_a_relative_interval_keeps_to_whole_units_of_the_local_clock(length: timedelta, local: list[str]) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = START.replace(tzinfo=berlin)

    found = times(read(schedule(run_every=length, relative=True), "Europe/Berlin", start), 3, start)

    assert [moment.astimezone(berlin).strftime("%H:%M") for moment in found] == local


def test_every_other_day_keeps_its_days_and_midnight_over_a_clock_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 25, 9, 0, tzinfo=berlin)
    when = read(schedule(run_every=timedelta(days=2), relative=True), "Europe/Berlin", start)

    found = [moment.astimezone(berlin) for moment in times(when, 4, start)]

    assert [moment.strftime("%d %H:%M") for moment in found] == ["27 00:00", "29 00:00", "31 00:00", "02 00:00"]
    again = read(schedule(run_every=timedelta(days=2), relative=True), "Europe/Berlin", found[1])
    assert again == when


@pytest.mark.parametrize(
    "given",
    [
        rrule("DAILY", dtstart=START, interval=3),
        rrule("WEEKLY", dtstart=START, byweekday=(MO, FR), byhour=(9, 17), byminute=0, bysecond=0),
        rrule("MONTHLY", dtstart=START, bymonthday=-1, count=5),
        rrule("HOURLY", dtstart=START, interval=5, until=START + timedelta(days=2)),
        rrule("MINUTELY", dtstart=START, interval=7, bysecond=[10, 40]),
        rrule("YEARLY", dtstart=START, bymonth=[2, 3], byweekday=MO, bysetpos=1),
    ],
    ids=lambda given: str(given.rrule).replace("\n", " "),
)
def test_a_rule_comes_when_dateutil_says(given: rrule) -> None:
    when = read(given)
    wanted, moment = [], START.replace(microsecond=0) - timedelta(seconds=1)
    saved = given.rrule.replace(dtstart=START.replace(microsecond=0))
    while len(wanted) < 8 and (moment := saved.after(moment)):
        wanted.append(moment.astimezone(UTC))

    assert isinstance(when, RRule)
    assert times(when, 8, START - timedelta(seconds=1)) == wanted


def test_a_rule_follows_the_clock_of_the_apps_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    given = rrule("DAILY", dtstart=datetime(2026, 3, 27, 9, 0, tzinfo=berlin))

    found = times(read(given, "Europe/Berlin"), 4, datetime(2026, 3, 26, tzinfo=UTC))

    assert [moment.astimezone(berlin).strftime("%d %H:%M") for moment in found] == [
        "27 09:00",
        "28 09:00",
        "29 09:00",
        "30 09:00",
    ]


def test_a_solar_event_is_read() -> None:
    when = when_of({"__type__": "solar", "event": "sunset", "lat": 52.5, "lon": 13.4}, "UTC", None)

    assert when == Solar("sunset", 52.5, 13.4)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"__type__": "crontabs"}, "Did you mean 'crontab'?"),
        ({"every": 3}, "got None"),
        ({"__type__": "interval"}, "every"),
        ({"__type__": "interval", "every": 0, "relative": False}, "a millisecond or more"),
        ({"__type__": "interval", "every": "soon", "relative": False}, "soon"),
        ({"__type__": "crontab", "minute": []}, "empty list"),
        ({"__type__": "rrule", "freq": 9, "dtstart": 0}, "freq"),
        ({"__type__": "rrule", "freq": 3}, "dtstart"),
    ],
)
def test_what_is_no_schedule_is_refused_with_a_reason(data: dict[str, object], said: str) -> None:
    with pytest.raises(BadSchedule) as refused:
        when_of(data, "UTC", None)

    assert said in str(refused.value)


def test_an_interval_of_whole_seconds_is_counted_from_a_whole_second() -> None:
    when = read(schedule(run_every=timedelta(seconds=30)))

    assert isinstance(when, Every)
    assert when.anchor_ms % 1000 == 0
