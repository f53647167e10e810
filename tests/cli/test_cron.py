"""`backbeat cron`: answers for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backbeat import cli
from backbeat.core.dialect import ROWS


def ask(*args: str, lines: list[str] | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli.main, ["cron", *args], input="".join(f"{line}\n" for line in lines or []))


def answers(*questions: dict[str, Any] | str) -> list[dict[str, Any]]:
    """What --stdin answers, line by line."""
    lines = [asked if isinstance(asked, str) else json.dumps(asked) for asked in questions]
    return [json.loads(line) for line in ask("next", "--stdin", lines=lines).output.splitlines()]


def test_people_see_the_meaning_the_times_and_what_to_mind() -> None:
    answer = ask("next", "30 2 * * *", "--tz", "Europe/Berlin", "--after", "2027-03-27T12:00", "-n", "2")

    assert answer.exit_code == 0
    assert answer.output.splitlines()[:4] == [
        "At 02:30 every day, Europe/Berlin time.",
        "",
        "  Sun 2027-03-28 03:00:00 +02:00   2027-03-28T01:00:00Z",
        "  Mon 2027-03-29 02:30:00 +02:00   2027-03-29T00:30:00Z",
    ]
    assert (
        "Note: Clocks in Europe/Berlin skip 2027-03-28 02:00 to 03:00: what falls into it fires once, at 03:00." in answer.output
    )


def test_json_stands_alone_on_standard_output() -> None:
    answer = ask("next", "0 0 1,15 * FRI", "--after", "2027-01-01T00:00:00Z", "-n", "2", "-o", "json")

    found = json.loads(answer.stdout)
    assert found["next"] == ["2027-01-08T00:00:00+00:00", "2027-01-15T00:00:00+00:00"]
    assert found["meaning"] == "At 00:00 on the 1st and 15th of the month or on Friday, UTC time."
    assert found["policies"] == {"gap": "shift", "fold": "first", "days": "dialect"}
    assert any("either is enough" in note for note in found["notes"])


def test_each_line_gets_its_answer_or_its_error_in_order() -> None:
    first, second, third, fourth = answers(
        {"id": 7, "expr": "*/5 * * * *", "after": "2026-01-01T00:00:00Z", "n": 2},
        "nonsense",
        {"expr": "61 * * * *"},
        {"expr": "TZ=Asia/Tokyo 0 5 * * *", "dialect": "robfig-standard", "tz": None, "after": "2026-01-01T00:00:00", "n": 1},
    )

    assert first["id"] == 7
    assert first["next"] == ["2026-01-01T00:05:00+00:00", "2026-01-01T00:10:00+00:00"]
    assert "expected one JSON object in UTF-8; got 'nonsense'" in second["error"]
    assert third == {"expr": "61 * * * *", "error": "schedule: expected 0-59 in the minute field; got '61'."}
    assert fourth["next"] == ["2026-01-01T05:00:00+09:00"]


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ({}, ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        ({"fold": "both"}, ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]),
        ({"fold": "last", "gap": "skip"}, ["2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"]),
    ],
)
def test_policies_can_be_asked_for(policies: dict[str, str], expected: list[str]) -> None:
    asked = {"expr": "30 2 * * *", "tz": "Europe/Berlin", "after": "2026-10-25T00:00:00+02:00", "n": 2, "policies": policies}

    assert answers(asked)[0]["next"] == expected


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"expr": "* * * * *", "policies": {"gpa": "skip"}}, "Did you mean 'gap'?"),
        ({"expr": "* * * * *", "policies": ["skip"]}, "policies: expected an object"),
        ({"expr": "* * * * *", "policies": False}, "policies: expected an object; got False"),
        ({"expr": "* * * * *", "after": "0001-01-01T00:00:00Z"}, "after: expected a year from 10 to 9950"),
        ({"expr": "* * * * *", "after": "9999-12-31T23:59:59Z"}, "after: expected a year from 10 to 9950"),
        ({"expr": "* * * * *", "tz": "+05:75"}, "tz: expected an IANA time zone"),
        ({"expr": "0 0 * * mon", "dialect": "jenkins"}, "expected 0-7 in the weekday field; got 'mon'."),
        ({"expr": "* * * * *", "dialect": "quarz"}, "Did you mean 'quartz'?"),
        ({"expr": "* * * * *", "after": "soon"}, "after: expected a moment such as"),
        ({"expr": "* * * * *", "n": 0}, "n: expected a whole number from 1 to 10000; got 0"),
        ({"expr": 5}, "expr: expected text; got 5"),
        ({}, "expr: expected text; got None"),
        ([], "question: expected an object; got []"),
    ],
)
def test_a_bad_question_is_answered_with_what_was_expected(asked: Any, says: str) -> None:
    assert says in answers(json.dumps(asked))[0]["error"]


def test_a_moment_just_before_a_due_time_does_not_leave_it_out() -> None:
    asked = {"expr": "* * * * *", "after": "2026-01-01T00:00:59.999999Z", "n": 1}

    assert answers(asked)[0]["next"] == ["2026-01-01T00:01:00+00:00"]


GARBAGE = {
    "not UTF-8": b"\xff\xfe\x80",
    "lists in lists": b"[" * 100_000,
    "objects in objects": b'{"expr":' * 100_000,
    "nested as deep as JSON may be": b'{"expr":' + b"[" * 980 + b"]" * 980 + b"}",
    "a number of 5,000 digits": b'{"expr": "* * * * *", "n": ' + b"9" * 5_000 + b"}",
    "a number that is none": b'{"expr": "* * * * *", "n": NaN}',
    "a zone of a megabyte": b'{"expr": "* * * * *", "tz": "' + b"Europe/" * 150_000 + b'"}',
    "an expression of a megabyte": b'{"expr": "' + b"* " * 500_000 + b'"}',
    "nothing": b"",
    "a control character": b'{"expr": "* * * * *\x00"}',
}


@pytest.mark.parametrize("line", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_one_error_and_the_next_line_is_answered(line: bytes) -> None:
    good = b'{"expr": "0 0 * * *", "after": "2026-01-01T00:00:00Z", "n": 1}'

    answer = CliRunner().invoke(cli.main, ["cron", "next", "--stdin"], input=line + b"\n" + good + b"\n")

    assert answer.exit_code == 0
    refused, answered = (json.loads(text) for text in answer.stdout.splitlines())
    assert refused["error"]
    assert len(refused["error"]) < 1_100
    assert answered["next"] == ["2026-01-02T00:00:00+00:00"]


def test_a_byte_order_mark_before_the_first_line_is_no_part_of_it() -> None:
    asked = b'\xef\xbb\xbf{"expr": "0 0 * * *", "after": "2026-01-01T00:00:00Z", "n": 1}\n'

    answer = CliRunner().invoke(cli.main, ["cron", "next", "--stdin"], input=asked)

    assert json.loads(answer.stdout)["next"] == ["2026-01-02T00:00:00+00:00"]


def test_a_schedule_that_has_ended_has_no_next_times() -> None:
    asked = {"expr": "0 0 12 1 1 ? 2020", "dialect": "quartz", "after": "2026-01-01T00:00:00Z"}

    assert answers(asked)[0]["next"] == []


def test_an_expression_that_means_nothing_is_bad_input() -> None:
    answer = ask("explain", "0 0 30 2 *")

    assert answer.exit_code == 2
    assert "'0 0 30 2 *' never comes" in answer.output


def test_either_an_expression_or_standard_input_is_wanted() -> None:
    assert ask("next").exit_code == 2
    assert ask("next", "--stdin", "* * * * *").exit_code == 2


def test_all_dialects_are_listed() -> None:
    assert [line.split()[0] for line in ask("dialects").output.splitlines()] == [row.name for row in ROWS]


def test_neither_django_nor_celery_nor_redis_is_imported() -> None:
    probe = (
        "import sys; from backbeat.cli import main; main(['cron', 'explain', '@daily'], standalone_mode=False);"
        "print([name for name in ('django', 'celery', 'kombu', 'redis') if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout

    assert answer.splitlines()[-1] == "[]"
