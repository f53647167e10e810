"""What tells the dialects apart."""

from __future__ import annotations

import pytest

from backbeat.core.dialect import ALIASES, BY_NAME
from backbeat.core.jenkins import picker
from backbeat.core.occurrence import check
from backbeat.core.when import Cron
from backbeat.errors import BadSchedule
from tests.core.clock import times


@pytest.mark.parametrize(
    ("dialect", "expr", "expected"),
    [
        ("vixie", "0 0 13 * FRI", ["27 00:00+00", "04 00:00+00", "11 00:00+00", "13 00:00+00"]),
        ("robfig", "0 0 */10 * FRI", ["27 00:00+00", "01 00:00+00", "04 00:00+00", "11 00:00+00"]),
        ("vixie", "0 0 */10 * FRI", ["11 00:00+00", "01 00:00+00", "21 00:00+00", "11 00:00+00"]),
        ("celery", "0 0 13 * friday", ["13 00:00+00", "13 00:00+00", "13 00:00+00", "13 00:00+00"]),
        ("jenkins", "0 0 13 * 5", ["13 00:00+00", "13 00:00+00", "13 00:00+00", "13 00:00+00"]),
        ("spring", "0 0 0 13 * FRI", ["13 00:00+00", "13 00:00+00", "13 00:00+00", "13 00:00+00"]),
        ("quartz", "0 0 0 ? * 6", ["27 00:00+00", "04 00:00+00", "11 00:00+00", "18 00:00+00"]),
        ("quartz", "0 0 0 L-2W * ?", ["27 00:00+00", "29 00:00+00", "29 00:00+00", "26 00:00+00"]),
        ("croniter", "0 0 */10 * FRI", ["27 00:00+00", "01 00:00+00", "04 00:00+00", "11 00:00+00"]),
        ("spring", "@weekly", ["29 00:00+00", "06 00:00+00", "13 00:00+00", "20 00:00+00"]),
        ("robfig-seconds", "TZ=UTC  @midnight", ["24 00:00+00", "25 00:00+00", "26 00:00+00", "27 00:00+00"]),
        ("fugit", "0 0 13 * FRI UTC", ["27 00:00+00", "04 00:00+00", "11 00:00+00", "13 00:00+00"]),
    ],
)
def test_each_has_its_order_of_fields_and_its_day_rule(dialect: str, expr: str, expected: list[str]) -> None:
    assert times(Cron(expr, dialect=dialect), "2026-11-23T12:00", 4) == expected


@pytest.mark.parametrize(
    ("dialect", "expr"),
    [
        ("celery", "0 0 * * 7"),
        ("celery", "0 0 L * *"),
        ("celery", "5/15 * * * *"),
        ("celery", "@daily"),
        ("jenkins", "0 0 * JAN *"),
        ("jenkins", "0 22-2 * * *"),
        ("jenkins", "H(0-3)/15 * * * *"),
        ("kubernetes", "0 0 0 * * *"),
        ("robfig", "0 22-2 * * *"),
        ("robfig", "0 0 * * 7"),
        ("quartz", "0 0 0 1 * 2"),
        ("quartz", "0 0 /24 ? * 2"),
        ("quartz", "0 0 0 ? * 6,L"),
        ("croniter", "0 0 * * 5,6#3"),
        ("croniter", "0 9 15W,16 * *"),
        ("croniter", "H * * * *"),
        ("cronsim", "0 0 * * MONL"),
        ("cronsim", "0 0 5-1 * *"),
        ("spring", "0 0 * * *"),
    ],
)
def test_each_refuses_what_its_own_program_refuses(dialect: str, expr: str) -> None:
    with pytest.raises(BadSchedule):
        check(Cron(expr, dialect=dialect))


@pytest.mark.parametrize(
    ("key", "expr", "expected"),
    [
        ("stuff", "H 17 * * *", "23 17:56+00"),
        ("stuff", "H H(12-13) * * *", "24 13:56+00"),
        ("stuff", "H/15 * * * *", "23 16:26+00"),
        ("junk", "@hourly", "23 17:20+00"),
    ],
)
def test_jenkins_hashes_as_jenkins_does(key: str, expr: str, expected: str) -> None:
    assert times(Cron(expr, dialect="jenkins", hash_key=key), "2026-11-23T16:21", 1) == [expected]


def test_the_generator_of_jenkins_draws_within_its_bounds() -> None:
    pick = picker("reports.daily")

    drawn = [pick(count) for count in range(1, 200)]

    assert all(0 <= number < count for count, number in enumerate(drawn, start=1))
    assert len(set(drawn)) > 50


def test_a_name_that_people_use_leads_to_the_dialect() -> None:
    assert Cron("* * * * *", dialect="celery-crontab").dialect == "celery"
    assert set(ALIASES.values()) <= set(BY_NAME)
    assert not set(ALIASES) & set(BY_NAME)
