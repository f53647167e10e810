"""Every kind of schedule makes the way from the code, through the database and the form, and back unharmed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from backbeat.admin import definitions
from backbeat.admin.models import Job
from backbeat.admin.publishing import to_spec
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Cron, Every, Once, RRule, Solar, When
from backbeat.runtime.sweeper import Sweeper
from backbeat.store.store import open_store
from tests.admin.pages import form_of, from_code, recorded

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]

START = datetime(2026, 11, 23, 9, tzinfo=ZoneInfo("Europe/Berlin"))
KINDS: list[When] = [
    Cron("0 0 12 ? * MON-FRI", tz="Europe/Berlin", dialect="quartz", gap="skip"),
    Every("90s", START),
    Once(datetime(2027, 1, 1, tzinfo=UTC)),
    RRule("FREQ=WEEKLY;BYDAY=MO", START, tz="Europe/Berlin"),
    RRule("FREQ=DAILY;COUNT=3", START, fold="last"),
    Solar("sunset", 52.52, 13.405),
]


@pytest.mark.parametrize("when", KINDS, ids=str)
def test_a_schedule_comes_back_from_the_database_as_it_went_in(when: When) -> None:
    definitions.save(JobSpec("job", "job", (Schedule(when),)))

    assert to_spec(Job.objects.get()).schedules == (Schedule(when),)


def test_after_a_loss_of_redis_the_runs_are_counted_on_from_history() -> None:
    definitions.save(JobSpec("pay", "pay", (Schedule(Every("1h"), max_runs=2),)))
    store = open_store()
    recorded("pay", 2)

    store.slots.client.flushall()
    Sweeper(store, definitions.DatabaseDefinitions()).step()

    assert dict(store.index.ids()) != {}
    assert store.index.next_times(["pay"]) == {"pay": None}


@pytest.mark.parametrize("when", KINDS, ids=str)
def test_a_second_deploy_of_the_same_code_changes_nothing(when: When) -> None:
    from_code(JobSpec("job", "job", (Schedule(when),)))
    version = Job.objects.get().version

    from_code(JobSpec("job", "job", (Schedule(when),)))

    assert (Job.objects.get().version, Job.objects.get().overridden) == (version, [])


@pytest.mark.parametrize(
    ("kind", "line", "when"),
    [
        ("solar", "solar|sunset|52.52|13.405", Solar("sunset", 52.52, 13.405)),
        ("rrule", "rrule|Europe/Berlin|2026-11-23T09:00+01:00|FREQ=WEEKLY;BYDAY=MO", KINDS[3]),
    ],
)
def test_the_form_takes_a_rule_as_a_line(admin_client: Client, kind: str, line: str, when: When) -> None:
    response = admin_client.post("/admin/backbeat/job/add/", form_of(None, {"kind": kind, "line": line}))

    assert response.status_code == 302, response.content.decode()
    assert to_spec(Job.objects.get()).schedules == (Schedule(when),)


def test_the_form_shows_a_rule_with_its_start_as_a_date_and_its_next_runs(admin_client: Client) -> None:
    job = definitions.save(JobSpec("job", "job", (Schedule(KINDS[3]),)))

    page = admin_client.get(f"/admin/backbeat/job/{job.pk}/change/").content.decode()

    assert 'value="rrule|Europe/Berlin|2026-11-23T08:00:00Z|FREQ=WEEKLY;BYDAY=MO"' in page
    assert len(re.findall(r"<tr><td>\d+</td><td>Mon", page)) == 10


def test_a_line_that_is_none_is_refused_at_its_input(admin_client: Client) -> None:
    page = admin_client.post(
        "/admin/backbeat/job/add/", form_of(None, {"kind": "rrule", "line": "every monday"})
    ).content.decode()

    assert "expected a line that starts with cron|, every|, once|, rrule| or solar|" in page
    assert not Job.objects.exists()
