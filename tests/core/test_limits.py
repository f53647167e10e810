"""Rates and keys as people write them, and what they come to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backbeat.core.check import problems
from backbeat.core.job import JobSpec
from backbeat.core.limits import LONGEST_KEY, filled, key_of, names_in, rate_in, rate_of
from backbeat.core.options import job_spec
from backbeat.core.template import Template, read
from backbeat.errors import DefinitionError


@pytest.mark.parametrize(
    ("given", "text", "every_ms", "burst"),
    [
        ("100/m", "100/m", 600.0, 2),
        ("10 / s", "10/s", 100.0, 10),
        (5, "5/s", 200.0, 5),
        ("5/10s", "5/10s", 2000.0, 1),
        ("1/h", "1/h", 3_600_000.0, 1),
        ("90/1.5m", "90/1.5m", 1000.0, 1),
    ],
)
def test_a_rate_is_so_many_starts_in_a_time(given: Any, text: str, every_ms: float, burst: int) -> None:
    assert rate_of(given) == text
    assert (rate_in(text).every_ms, rate_in(text).burst) == (every_ms, burst)


@pytest.mark.parametrize("given", ["fast", "0/s", "10", "10/0s", "10/w", "-1/s", "1e3/s", 1.5, True, ["10/s"], "200000/s"])
def test_what_is_no_rate_is_refused_with_examples(given: Any) -> None:
    with pytest.raises(DefinitionError, match=r"rate: expected (starts in a time, such as '10/s'|at least one start)"):
        rate_of(given)


def test_a_bare_name_is_a_key() -> None:
    assert key_of("tenant", "concurrency_key") == "{tenant}"
    assert JobSpec("a", "a", max_concurrency=1, concurrency_key="tenant").concurrency_key == "{tenant}"
    assert names_in("{region}-{order.customer}") == {"region", "order"}


@pytest.mark.parametrize("given", ["no braces here", "{}", "{0}", "{tenant", "{a b}", "{tenant!r}", 7, "x" * 201])
def test_what_is_no_key_is_refused(given: Any) -> None:
    with pytest.raises(DefinitionError, match="rate_key: expected the name of an argument"):
        key_of(given, "rate_key")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"tenant": "acme"}, "acme"),
        ({"tenant": 2**60 + 1}, "1152921504606846977"),
        ({"tenant": None}, ""),
        ({}, ""),
        ({"tenant": {"b": 1, "a": True}}, '{"a":true,"b":1}'),
        ({"tenant": "{other}", "other": "x"}, "{other}"),
    ],
)
def test_a_key_is_filled_with_arguments(arguments: dict[str, Any], key: str) -> None:
    assert filled("{tenant}", arguments) == key


def test_a_key_may_look_into_an_argument() -> None:
    assert filled("{region}-{order.customer}", {"region": "eu", "order": {"customer": 7}}) == "eu-7"
    assert filled("{order.customer}", {"order": "none"}) == ""


def test_long_keys_stay_apart() -> None:
    long, other = (filled("{tenant}", {"tenant": "t" * 500 + end}) for end in "ab")

    assert len(long) < LONGEST_KEY
    assert long != other


def test_limits_travel_in_the_template_and_only_where_there_are_any() -> None:
    options = {"max_concurrency": 3, "concurrency_key": "tenant", "rate": "100/m", "rate_key": "{account}", "rate_burst": 5}
    template = Template.of(job_spec("a", "a", options))

    assert json.loads(template.limits) == {
        "n": 3, "ck": "{tenant}", "every": 600.0, "burst": 5, "rate": "100/m", "rk": "{account}"
    }  # fmt: skip
    assert read(template.text) == template
    assert "limits" not in Template.of(JobSpec("a", "a")).text


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"concurrency_key": "{tenant}"}, "concurrency_key"),
        ({"rate_key": "{tenant}"}, "rate_key"),
        ({"rate_burst": 2}, "rate_burst"),
        ({"max_concurrency": 0}, "max_concurrency"),
    ],
)
def test_what_would_have_no_effect_is_refused(options: dict[str, Any], field: str) -> None:
    assert [error.field for error in problems(JobSpec("a", "a", **options))] == [field]
