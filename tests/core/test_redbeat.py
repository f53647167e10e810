"""RedBeat's JSON, read and written: what its own decoder reads back, and what becomes of options."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from redbeat.decoder import RedBeatJSONDecoder, RedBeatJSONEncoder

from backbeat.core.celery_options import options_of
from backbeat.core.foreign import foreign_id, is_foreign
from backbeat.core.job import NAME, Misfire, Overlap
from backbeat.core.redbeat import Ran, meta_text, read, read_meta
from backbeat.core.redbeat_spec import ours_of, spec_of
from backbeat.core.when import Cron, from_ms, to_ms
from backbeat.errors import DefinitionError

MOMENT = datetime(2026, 11, 23, 2, 0, 0, 250000, UTC)


def definition(**changed: object) -> str:
    plain = {"name": "n", "task": "t", "schedule": {"__type__": "interval", "every": 60.0, "relative": False}}
    return json.dumps({**plain, "args": None, "kwargs": {}, "options": {}, "enabled": True, **changed}, cls=RedBeatJSONEncoder)


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=-3, minutes=-30))])
def test_the_last_run_is_read_whatever_its_zone(zone: timezone) -> None:
    meta = json.dumps({"last_run_at": MOMENT.astimezone(zone), "total_run_count": 7}, cls=RedBeatJSONEncoder)

    assert read_meta(meta) == Ran(to_ms(MOMENT), 7)


def test_what_is_written_of_a_run_is_what_redbeat_reads() -> None:
    found = json.loads(meta_text(Ran(to_ms(MOMENT), 8)), cls=RedBeatJSONDecoder)

    assert found == {"last_run_at": MOMENT, "total_run_count": 8}


@pytest.mark.parametrize("broken", [None, "", "{", "[1]", '{"last_run_at": "soon"}', '{"total_run_count": "many"}'])
def test_a_broken_memory_of_runs_hinders_nothing(broken: str | None) -> None:
    assert read_meta(broken) == Ran()


@pytest.mark.parametrize(
    "broken",
    [None, "", "{", "null", "[]", '{"task": "t"}', '{"task": 1, "schedule": {}}', definition(args="ab"), definition(kwargs=[1])],
)
def test_a_broken_definition_is_refused_with_a_cure(broken: str | None) -> None:
    with pytest.raises(DefinitionError) as refused:
        read(broken)

    assert "expected" in str(refused.value)


def test_a_date_among_the_arguments_travels_as_kombu_writes_dates() -> None:
    saved = read(definition(kwargs={"since": MOMENT}))

    assert saved.kwargs == {"since": {"__type__": "datetime", "__value__": MOMENT.isoformat()}}


@pytest.mark.parametrize("name", ["nightly", "every second", "a@b#c/d:e", "{x}", "ñandú", "", "x" * 400, "-", "..", "#"])
def test_any_name_has_an_id_that_is_a_valid_name_and_no_jobs(name: str) -> None:
    assert NAME.match(foreign_id(name))
    assert is_foreign(foreign_id(name))


def test_names_that_read_alike_have_ids_of_their_own() -> None:
    names = ["a b", "a-b", "a  b", "a@b", "a#b"]

    assert len({foreign_id(name) for name in names}) == len(names)


def test_policies_are_those_of_a_stock_beat_unless_our_field_says_otherwise() -> None:
    saved = read(
        definition(schedule={"__type__": "crontab", "minute": "0", "hour": "2"}, options={"expires": 90, "time_limit": 5})
    )

    plain, _ = spec_of("redbeat.n", saved, Ran(), "UTC")
    said, _ = spec_of(
        "redbeat.n", saved, Ran(), "UTC", ours_of('{"tz": "Asia/Tokyo", "misfire": "all", "jitter": "30s", "overlap": "skip"}')
    )

    assert (plain.overlap, plain.misfire, plain.start_deadline, plain.timeout) == (Overlap.ALLOW, Misfire.LATEST, 90.0, 5.0)
    assert (said.overlap, said.misfire) == (Overlap.SKIP, Misfire.ALL)
    (schedule,) = said.schedules
    assert schedule.when == Cron("0 2 * * *", "Asia/Tokyo", dialect="celery")
    assert schedule.jitter == 30.0


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "JSON"), ("[]", "JSON object"), ('{"timezone": "UTC"}', "one of tz"), ('{"tz": "Europe/Berln"}', "Berlin")],
)
def test_a_mistake_in_our_field_is_told(text: str, said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        spec_of("redbeat.n", read(definition(schedule={"__type__": "crontab"})), Ran(), "UTC", ours_of(text))

    assert said in str(refused.value)


def test_an_absolute_expiry_ends_the_schedule() -> None:
    spec, _ = spec_of("redbeat.n", read(definition(options={"expires": MOMENT})), Ran(), "UTC")

    assert spec.schedules[0].end == to_ms(MOMENT)
    assert from_ms(spec.schedules[0].end or 0) == MOMENT


def test_every_option_that_has_a_meaning_here_is_kept() -> None:
    options = options_of(
        {
            "queue": "q",
            "priority": 3,
            "headers": {"x": 1},
            "ignore_result": True,
            "soft_time_limit": 4,
            "retry": False,
            "queue_x": None,
        }
    )

    assert (options.queue, options.priority, options.headers, options.ignore_result, options.soft_timeout) == (
        "q",
        3,
        {"x": 1},
        True,
        4.0,
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"countdown": 5}, "move the schedule"),
        ({"link": {"task": "t"}}, "DAG"),
        ({"expires": "tomorrow"}, "a date"),
        ({"expires": -1}, "leave time"),
        ({"priority": "high"}, "whole number"),
        ({"queue": 3}, "a name"),
        ({"headers": "x"}, "an object"),
        ({"time_limit": "1h"}, "seconds"),
        ({"prioirty": 1}, "'prioirty'"),
    ],
)
def test_an_option_that_cannot_be_kept_is_refused_with_a_reason(options: dict[str, object], said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        options_of(options)

    assert said in str(refused.value)
