"""Calendars: made in the admin or by the code, known to the schedulers at once, shown with whom they concern."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from backbeat.admin import calendars, definitions
from backbeat.admin.models import Calendar as CalendarRow
from backbeat.admin.models import Job, Source
from backbeat.admin.publishing import to_spec
from backbeat.cli.job_facts import upcoming
from backbeat.core.calendar import Calendar
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Cron, Every
from backbeat.errors import NotAllowed
from backbeat.runtime.firing import Firer
from backbeat.store.leases import Leases
from backbeat.store.store import open_store
from tests.admin.pages import form_of, from_code

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]
DAILY = Cron("0 9 * * *")


def job_with(calendar: str | Calendar, name: str = "pay", mode: str = "skip") -> JobSpec:
    return JobSpec(name, name, (Schedule(DAILY, calendar=calendar, calendar_mode=mode),))


def closed_tomorrow() -> tuple[Calendar, str]:
    day = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")
    return Calendar("freeze", [day]), day


def saved_in_the_admin(client: Client, **fields: str) -> str:
    response = client.post("/admin/backbeat/calendar/add/", {"name": "freeze", "days": "sat\nsun", "tz": "UTC", **fields})
    return "" if response.status_code == 302 else response.content.decode()


def test_a_saved_calendar_is_known_to_the_schedulers_at_once(admin_client: Client) -> None:
    assert saved_in_the_admin(admin_client, days="sat # no work\n\n12-25") == ""

    assert open_store().calendars.known() == {"freeze": Calendar("freeze", ["sat", "12-25"])}


def test_what_is_no_day_is_refused_in_the_words_of_the_reader(admin_client: Client) -> None:
    page = saved_in_the_admin(admin_client, days="2026-13-01")

    assert "expected a day as 2026-12-25" in page
    assert not CalendarRow.objects.exists()


def test_the_page_lists_the_jobs_that_an_edit_concerns(admin_client: Client) -> None:
    calendars.save(Calendar("freeze", ["sat"]))
    definitions.save(job_with("freeze"))
    definitions.save(job_with("other", "not.concerned"))
    row = CalendarRow.objects.get()

    page = admin_client.get(f"/admin/backbeat/calendar/{row.pk}/change/").content.decode()

    assert re.search(r'<a href="/admin/backbeat/job/\d+/change/">pay</a>', page)
    assert "not.concerned" not in page


def test_a_calendar_that_a_schedule_names_is_not_deleted() -> None:
    row = calendars.save(Calendar("freeze", ["sat"]))
    definitions.save(job_with("freeze"))

    with pytest.raises(NotAllowed, match="named by schedules of pay"):
        calendars.delete(row)


@pytest.mark.parametrize(("mode", "words"), [("skip", "leaves out"), ("shift", "moves to the next open day")])
def test_the_preview_shows_what_the_calendar_does(admin_client: Client, mode: str, words: str) -> None:
    freeze, day = closed_tomorrow()
    calendars.save(freeze)
    fields = {"kind": "cron", "expr": "0 9 * * *", "tz": "UTC", "dialect": "vixie", "days": "dialect"}

    page = admin_client.get(
        "/admin/backbeat/job/preview/", {**fields, "calendar": "freeze", "calendar_mode": mode}
    ).content.decode()

    assert f"freeze&#x27; {words}" in page
    assert day in page
    assert not [moment for moment in re.findall(r'datetime="([^"]+)"', page) if moment.startswith(day)]


def test_job_next_leaves_closed_days_out() -> None:
    freeze, day = closed_tomorrow()
    calendars.save(freeze)
    definitions.save(job_with("freeze"))

    runs = upcoming(Job.objects.get(), 10, datetime.now(UTC))

    assert len(runs) == 10
    assert day not in {run["nominal"][:10] for run in runs}


def test_the_job_form_keeps_the_calendar(admin_client: Client) -> None:
    calendars.save(Calendar("freeze", ["sat"]))

    schedule = {"expr": "0 9 * * *", "calendar": "freeze", "calendar_mode": "shift"}
    response = admin_client.post("/admin/backbeat/job/add/", form_of(None, schedule))

    assert response.status_code == 302
    (saved,) = to_spec(Job.objects.get()).schedules
    assert (saved.calendar, saved.calendar_mode) == ("freeze", "shift")


def test_calendars_of_the_code_follow_it_and_belong_to_it(admin_client: Client) -> None:
    from_code(job_with(Calendar("holidays", ["12-25"])))
    from_code(job_with(Calendar("holidays", ["12-25", "12-26"])))

    row = CalendarRow.objects.get()
    assert (row.source, row.core.days) == (Source.CODE, ("12-25", "12-26"))
    assert open_store().calendars.known()["holidays"].days == ("12-25", "12-26")
    assert to_spec(Job.objects.get()).schedules[0].calendar == "holidays"
    with pytest.raises(NotAllowed, match="defined in code"):
        calendars.save(Calendar("holidays", ["01-01"]))


def test_two_calendars_of_one_name_in_the_code_are_refused() -> None:
    report = definitions.sync_from_code(
        [job_with(Calendar("c", ["sat"]), "a"), job_with(Calendar("c", ["sun"]), "b")], failures=[]
    )

    assert [name for name, words in report.refused if "two calendars are named 'c'" in words] == ["b"]


def test_what_waited_for_its_calendar_goes_on_when_it_is_made() -> None:
    store = open_store()
    definitions.save(JobSpec("pay", "pay", (Schedule(Every("1h"), calendar="freeze"),)))
    store.slots.client.zadd(store.slots.of("pay").due, {"pay": store.slots.now_ms()})
    Firer(store).step(Leases(store.slots, "beat", 30).take(range(store.slots.count)))
    assert "no calendar is named 'freeze'" in store.index.parked()["pay"]

    calendars.save(Calendar("freeze", ["2001-01-01"]))

    assert store.index.parked() == {}
    assert store.index.next_times(["pay"])["pay"] is not None


def test_a_keeper_brings_calendars_back_that_redis_has_lost() -> None:
    calendars.save(Calendar("freeze", ["sat"]))
    open_store().slots.client.flushall()

    definitions.tend()

    assert set(open_store().calendars.known()) == {"freeze"}
