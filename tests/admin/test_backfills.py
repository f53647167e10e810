"""What a backfill would do with each occurrence, and who may order one when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from backbeat.admin import backfills, definitions
from backbeat.admin.backfills import DatabaseBackfills, Wish, order, plan
from backbeat.admin.definitions import job_named
from backbeat.admin.models import Backfill, Job
from backbeat.core.backfill import Mode, Stage
from backbeat.core.job import Schedule
from backbeat.core.keys import retried_id
from backbeat.core.when import Cron, Every, from_ms
from backbeat.errors import DefinitionError, NotAllowed, UnknownRun
from backbeat.runtime.submit import prepare
from backbeat.store.store import open_store
from tests.admin.conftest import default_database
from tests.admin.pages import SPEC, T0, recorded
from tests.support.servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis, pytest.mark.usefixtures("redis")]

HOURLY = replace(SPEC, schedules=(Schedule(Every("1h", anchor=from_ms(T0)), kwargs={"limit": 10}),))
BEGIN = from_ms(T0)
PAGES = "/admin/backbeat/backfill/"


def wish(hours: int, **more: Any) -> Wish:
    return Wish(BEGIN, BEGIN + timedelta(hours=hours), **more)


def acts(wanted: Wish) -> list[str]:
    return [f"{slot.act}: {slot.why}" for slot in plan(job_named(SPEC.name), wanted).slots]


def test_missing_keeps_what_failed_and_missing_and_failed_does_not() -> None:
    definitions.save(HOURLY)
    recorded(SPEC.name, 1)
    failed = recorded(SPEC.name, 2, state="failed")[1]

    missing, both = plan(job_named(SPEC.name), wish(4)), plan(job_named(SPEC.name), wish(4, mode=Mode.MISSING_AND_FAILED))

    assert missing.counts == {
        "create": {"it has no run": 2},
        "exists": {"its run ended as failed": 1, "its run ended as succeeded": 1},
        "skip": {},
    }
    assert both.to_create[0].run_id == retried_id(failed, SPEC.name) == "reports.daily:@2026-11-23T03:30:00Z~1"
    assert (missing.each, missing.seconds) == (6.0, 6.0), "two runs of 6 s side by side"


def test_of_several_runs_of_an_occurrence_the_last_retry_counts() -> None:
    definitions.save(HOURLY)
    (first,) = recorded(SPEC.name, 1, state="failed")
    store = open_store()
    prepare(store, SPEC.name, retried_id(first, SPEC.name), "[[],\t{}]", keyed=True, send=True)

    assert acts(wish(1, mode=Mode.MISSING_AND_FAILED)) == ["skip: its run is queued"]

    store.ledger.cancel(retried_id(first, SPEC.name), "enough")
    (slot,) = plan(job_named(SPEC.name), wish(1, mode=Mode.MISSING_AND_FAILED)).slots
    assert (slot.why, slot.run_id) == ("its run ended as cancelled", "reports.daily:@2026-11-23T02:30:00Z~2")


def test_what_the_scheduler_may_still_fire_is_left_to_it() -> None:
    job = definitions.save(HOURLY)
    now = open_store().slots.now_ms()
    soon = Wish(from_ms(now), from_ms(now) + timedelta(hours=3))
    assert acts(soon) == ["skip: the scheduler has still to decide it"] * 3

    definitions.pause(job, reason="audit", actor="me")
    Job.objects.filter(pk=job.pk).update(paused_at=BEGIN + timedelta(hours=1))

    assert acts(wish(3)) == ["create: it has no run"] * 2 + ["skip: the scheduler has still to decide it"]


def test_moments_without_a_zone_are_read_in_the_schedules_zone() -> None:
    definitions.save(SPEC)

    found = plan(job_named(SPEC.name), Wish(datetime(2026, 10, 24), datetime(2026, 10, 26)))  # noqa: DTZ001 - that is the point

    assert [from_ms(slot.nominal).isoformat() for slot in found.slots] == [
        "2026-10-24T00:30:00+00:00",
        "2026-10-25T00:30:00+00:00",
    ]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Wish(BEGIN, BEGIN), "expected the end after the beginning"),
        (Wish(datetime(2000, 1, 1, tzinfo=UTC)), "expected at most 100,000 occurrences"),
        (wish(1, schedule="nightly"), "schedule: expected one of .*; got nightly"),
        (wish(1, at_once=0), "expected 1 to 1,000 runs at a time; got 0"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(wanted: Wish, sentence: str) -> None:
    definitions.save(HOURLY)

    with pytest.raises(DefinitionError, match=sentence):
        plan(job_named(SPEC.name), wanted)


def test_one_of_several_schedules_is_named() -> None:
    definitions.save(replace(HOURLY, schedules=(Schedule(Every("1h"), key="a"), Schedule(Cron("0 0 * * *"), key="b"))))

    with pytest.raises(DefinitionError, match="expected one of a, b; got none"):
        plan(job_named(SPEC.name), wish(1))
    assert plan(job_named(SPEC.name), wish(30, schedule="b")).slots[0].run_id == "reports.daily#b@2026-11-24T00:00:00Z"


def test_a_schedule_has_one_unfinished_backfill_and_what_needs_no_run_has_none() -> None:
    job = definitions.save(HOURLY)
    recorded(SPEC.name, 1)
    made = order(job, wish(2), actor="me", reason="gap")

    assert made.left_out == {"exists": {"its run ended as succeeded": 1}}
    with pytest.raises(NotAllowed, match=f"backfill {made.pk} of reports.daily is not over yet"):
        order(job, wish(3), actor="me")
    backfills.ask(made.pk, "cancel", actor="me")
    DatabaseBackfills().close(DatabaseBackfills().open()[0])
    assert backfills.ask(made.pk, "cancel", actor="me").state == Stage.CANCELLED, "asked twice it is done once"
    with pytest.raises(NotAllowed, match=r"no occurrence .* needs a run"):
        order(job, wish(1), actor="me")
    with pytest.raises(UnknownRun):
        backfills.ask(12345, "pause", actor="me")


def test_while_history_lags_nobody_can_tell_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    job = definitions.save(HOURLY)
    store = open_store()
    prepare(store, SPEC.name, f"{SPEC.name}:x", "[[],\t{}]", send=True)
    store.ledger.cancel(f"{SPEC.name}:x", "an event that nobody records")
    monkeypatch.setattr(backfills, "PATIENCE", 0.1)

    with pytest.raises(NotAllowed, match="Is a keeper running"):
        order(job, wish(2), actor="me")
    assert not Backfill.objects.exists()


def test_two_keepers_never_take_a_slot_twice_nor_more_than_the_room(
    each_database: str, request: pytest.FixtureRequest, redis: RedisServer
) -> None:
    order(definitions.save(HOURLY), wish(12), actor="me")
    (found,) = DatabaseBackfills().open()
    here = request.getfixturevalue("migrated_postgresql") if each_database == "postgresql" else ""

    def keeper(_: int) -> list[str]:
        with default_database(here) if here else nullcontext():
            try:
                return [slot.run_id for slot in DatabaseBackfills().take(found, 5)]
            finally:
                connection.close()

    with ThreadPoolExecutor(4) as threads:
        runs = [run for taken in threads.map(keeper, range(4)) for run in taken]

    assert len(runs) == len(set(runs)) == 5


def test_the_form_plans_before_it_orders_and_the_page_tells_how_far_it_is(admin_client: Client) -> None:
    definitions.save(HOURLY)
    sent = {"job": SPEC.name, "since": "2026-11-23T02:30", "until": "2026-11-23T05:30", "mode": "missing", "at_once": "2"}
    sent["reason"] = "gap"

    planned = admin_client.post(f"{PAGES}add/", {**sent, "_plan": "1"}).content.decode()
    assert "<strong>3</strong> of 3 occurrences get a run" in planned
    assert not Backfill.objects.exists()
    shown = admin_client.post(f"{PAGES}add/", {**sent, "_run": "1"}, follow=True)

    (made,) = Backfill.objects.all()
    assert f"Backfill {made.pk} is ordered." in shown.content.decode()
    assert "0 of 3 done" in shown.content.decode()
    assert (made.actor, made.reason) == ("admin", "gap")
    paused = admin_client.post(f"{PAGES}{made.pk}/do/pause/", {"reason": "lock"}, follow=True).content.decode()
    assert "Resume</button>" in paused
    assert "Pause</button>" not in paused
    assert Backfill.objects.get().deeds[-1] | {"at": ""} == {"at": "", "actor": "admin", "verb": "pause", "reason": "lock"}
    assert "0 of 3" in admin_client.get(PAGES).content.decode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"job": "reports.dialy"}, "Did you mean &#x27;reports.daily&#x27;?"),
        ({"since": "yesterday"}, "expected a time such as 2027-01-31T06:00; got &#x27;yesterday&#x27;."),
        ({"until": "2026-11-23T02:30"}, "expected the end after the beginning"),
        ({"schedule": "night"}, "got night"),
        ({"at_once": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_told_beside_the_field_in_the_words_of_the_command_line(
    admin_client: Client, change: dict[str, str], sentence: str
) -> None:
    definitions.save(HOURLY)
    sent = {"job": SPEC.name, "since": "2026-11-23T02:30", "mode": "missing", "at_once": "2", "_run": "1", **change}

    page = admin_client.post(f"{PAGES}add/", sent).content.decode()

    assert sentence in page
    assert not Backfill.objects.exists()


def test_who_may_not_order_or_change_one_is_refused(client: Client) -> None:
    made = order(definitions.save(HOURLY), wish(2), actor="me")
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_backfill"))
    client.force_login(viewer)

    assert "Pause</button>" not in client.get(f"{PAGES}{made.pk}/change/").content.decode()
    assert client.get(f"{PAGES}add/").status_code == 403
    assert client.post(f"{PAGES}{made.pk}/do/cancel/").status_code == 403
    assert Backfill.objects.get().state == Stage.RUNNING
