"""One validator: everything that is wrong with a definition, at once, each with its field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backbeat.core.check import argument_problems, problems, schedule_problems, verify
from backbeat.core.hashed import hashed
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.options import job_spec
from backbeat.core.when import Cron, Every
from backbeat.errors import BadSchedule, DefinitionError

GOOD = JobSpec("a.job", "a.job", (Schedule(Cron("30 2 * * *", tz="Europe/Berlin")), Schedule(Every("5m"), key="often")))

WRONG = [
    ({"pool": "Ünsafe"}, "pool", "lower-case letters"),
    ({"priority": 10}, "priority", "9 is most urgent"),
    ({"timeout": -1.0}, "timeout", "zero or more"),
    ({"timeout": 10.0, "soft_timeout": 10.0}, "soft_timeout", "less than timeout"),
    ({"misfire_limit": 0}, "misfire_limit", "from 1"),
    ({"batch": 0}, "batch", "from 1"),
    ({"batch": 501}, "batch", "at most 500"),
    ({"batch": 100, "overlap": Overlap.QUEUE}, "batch", "'allow' or 'skip'"),
    ({"batch": 100, "max_concurrency": 2}, "batch", "max_concurrency"),
    ({"batch": 100, "transactional": True}, "batch", "one by one"),
    ({"batch": 100, "memory": 256 << 20}, "batch", "which run took it"),
    ({"labels": {"a": 1}}, "labels", "expected texts by name"),
    ({"task": ""}, "task", "name of a Celery task"),
    ({"schedules": (Schedule(Cron("61 * * * *")),)}, "schedule", "61"),
    ({"schedules": (Schedule(Cron("0 0 30 2 *")),)}, "schedule", "30 2"),
    ({"schedules": (Schedule(Cron("* * * * *", tz="Mars/Olympus")),)}, "tz", "Mars/Olympus"),
    ({"schedules": (Schedule(Cron("*/5 * * * * " + "* " * 80)),)}, "schedule", ""),
    ({"schedules": (Schedule(Every("5m"), key="a#b"),)}, "key", "letters, digits"),
    ({"schedules": (Schedule(Every("5m"), start=2000, end=1000),)}, "end", "after the start"),
    ({"schedules": (Schedule(Every("5m"), max_runs=0),)}, "max_runs", "from 1"),
    ({"schedules": (Schedule(Every("5m"), jitter=-1.0),)}, "jitter", "0 to 24 hours"),
    ({"schedules": (Schedule(Every("5m"), args=(object(),)),)}, "args", "JSON"),
    ({"schedules": (Schedule(Every("5m"), args=(float("nan"),)),)}, "args", "JSON"),
    ({"schedules": (Schedule(Every("5m")), Schedule(Every("6m")))}, "key", "a key of its own"),
]


def test_a_good_definition_has_no_problem() -> None:
    assert problems(GOOD) == []
    assert verify(GOOD) is GOOD


@pytest.mark.parametrize(("changes", "field", "words"), WRONG)
def test_a_mistake_is_found_with_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    [found] = problems(replace(GOOD, **changes))

    assert found.field == field
    assert words in found.sentence


def test_several_mistakes_are_told_at_once() -> None:
    wrong = replace(GOOD, pool="!", priority=99, schedules=(Schedule(Cron("nonsense")),))

    assert [error.field for error in problems(wrong)] == ["pool", "priority", "schedule"]
    with pytest.raises(DefinitionError) as caught:
        verify(wrong)
    assert all(word in str(caught.value) for word in ("pool: expected lower-case", "9 is most urgent", "nonsense"))


def test_one_mistake_is_raised_as_what_it_is() -> None:
    with pytest.raises(BadSchedule):
        verify(replace(GOOD, schedules=(Schedule(Cron("61 * * * *")),)))


@pytest.mark.parametrize("option", ["pool", "priority", "timeout", "misfire_limit", "labels"])
def test_the_words_are_those_of_the_decorator(option: str) -> None:
    changes = next(changes for changes, field, _ in WRONG if field == option)

    with pytest.raises(DefinitionError) as caught:
        job_spec("a.job", "a.job", changes)

    assert problems(replace(GOOD, **changes))[0].sentence == caught.value.sentence


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [({"a": 1}, {}), ("text", {}), ([], [1]), ([], {1: 2}), ([], None), ([{1, 2}], {}), ([1], {"a": float("inf")})],
)
def test_arguments_that_can_not_travel_are_refused(args: Any, kwargs: Any) -> None:
    assert len(argument_problems(args, kwargs)) == 1


def test_a_hashed_field_needs_no_key_of_its_own() -> None:
    assert schedule_problems(Schedule(Cron("H H(0-7) * * *"))) == []


@pytest.mark.parametrize(
    ("expr", "dialect", "expected"),
    [
        ("H * * * *", "vixie", "a.job"),
        ("0 0 * * THU", "vixie", ""),
        ("0 0 1 MAR *", "vixie", ""),
        ("0~30 * * * *", "vixie", "a.job"),
        ("@daily", "jenkins", "a.job"),
        ("@daily", "vixie", ""),
        ("H/15 * * * *", "jenkins", "a.job"),
    ],
)
def test_only_what_is_hashed_gets_a_hash_key(expr: str, dialect: str, expected: str) -> None:
    found = hashed(Cron(expr, dialect=dialect), "a.job")

    assert isinstance(found, Cron)
    assert found.hash_key == expected
    assert hashed(found, "another.job") == hashed(Cron(expr, dialect=dialect, hash_key=expected), "another.job")
