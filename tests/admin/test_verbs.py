"""What operators do to jobs from the admin, one at a time or many at once."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from backbeat import conf
from backbeat.admin import definitions
from backbeat.admin.models import Job, Omission, Submission
from backbeat.admin.submissions import send_waiting
from backbeat.core.job import Schedule
from backbeat.core.when import Every
from backbeat.store.store import open_store
from tests.admin.pages import SPEC, from_code
from tests.support.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


def do(client: Client, verb: str, *jobs: Job, **given: str) -> Any:
    ids = ",".join(str(job.pk) for job in jobs)
    return client.post(f"/admin/backbeat/job/do/{verb}/", {"_do": "1", "ids": ids, **given}, follow=True)


def said(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_run_now_puts_a_run_with_edited_arguments_into_the_queue(admin_client: Client, redis: RedisServer) -> None:
    job = definitions.save(SPEC)
    asked = admin_client.get(f"/admin/backbeat/job/do/run/?ids={job.pk}").content.decode()
    assert "{&quot;limit&quot;: 10}" in asked

    response = do(admin_client, "run", job, kwargs='{"limit": 99}', priority="9", key="by-hand", reason="late feed")

    assert said(response) == ["reports.daily: asked for run reports.daily:by-hand."]
    with redis.client() as client:
        [message] = [json.loads(text) for text in client.lrange("reports.p9", 0, -1)]
    assert message["headers"]["id"] == "reports.daily:by-hand"
    assert json.loads(b64decode(message["body"]))[:2] == [[], {"limit": 99}]
    assert open_store().ledger.get("reports.daily:by-hand")["why"] == "late feed"
    assert "asked for run" in str(LogEntry.objects.get())


def test_run_now_refuses_what_is_no_json(admin_client: Client, redis: RedisServer) -> None:
    response = do(admin_client, "run", definitions.save(SPEC), kwargs="{limit: 1}")

    assert "Enter a valid JSON" in response.content.decode()


def test_run_now_is_kept_until_redis_is_back(admin_client: Client, redis: RedisServer) -> None:
    job = definitions.save(SPEC)

    with conf.override(redis_url="unix:///nowhere/redis.sock?db=0"):
        response = do(admin_client, "run", job, kwargs="{}", key="kept")

    asked, warning = said(response)
    assert asked == "reports.daily: asked for run reports.daily:kept."
    assert "begins when it is back" in warning
    Submission.objects.update(asked_at=timezone.now() - timedelta(seconds=3))
    assert send_waiting() == 1
    assert open_store().ledger.get("reports.daily:kept")["s"] == "queued"


def test_a_pause_asks_for_a_reason_and_says_who_and_until_when(admin_client: Client, redis: RedisServer) -> None:
    job = definitions.save(SPEC)
    assert "This field is required" in do(admin_client, "pause", job).content.decode()

    until = timezone.now() + timedelta(hours=3)
    response = do(admin_client, "pause", job, reason="disk is full", until=until.strftime("%Y-%m-%dT%H:%M"))

    job.refresh_from_db()
    assert (job.paused_reason, job.paused_by) == ("disk is full", "admin")
    assert abs(job.paused_until - until) < timedelta(minutes=1)
    assert "Paused by admin" in response.content.decode()
    assert open_store().index.next_times(["reports.daily"]) == {"reports.daily": None}


def test_an_end_in_the_past_is_refused_beside_its_field(admin_client: Client, redis: RedisServer) -> None:
    response = do(admin_client, "pause", definitions.save(SPEC), reason="x", until="2020-01-01T00:00")

    assert "still to come" in str(response.context["form"].errors["until"])


def test_resume_shows_what_was_missed_before_it_is_left_out(admin_client: Client, redis: RedisServer) -> None:
    job = definitions.save(replace(SPEC, schedules=(Schedule(Every("1h")),)))
    definitions.pause(job, reason="x", actor="ann")
    Job.objects.update(paused_at=timezone.now() - timedelta(hours=10))

    asked = admin_client.get(f"/admin/backbeat/job/do/resume/?ids={job.pk}").content.decode()
    do(admin_client, "resume", job, afterwards="none")

    assert "<td>10</td>" in asked
    assert (Omission.objects.get().count, Omission.objects.get().actor) == (10, "admin")
    assert open_store().index.next_times(["reports.daily"])["reports.daily"] is not None


def test_many_jobs_are_paused_and_disabled_in_one_go(admin_client: Client, redis: RedisServer) -> None:
    jobs = [definitions.save(replace(SPEC, name=f"job.{n}")) for n in range(4)]
    chosen = {"action": "pause", "_selected_action": [str(job.pk) for job in jobs[:3]], "index": "0"}

    asked = admin_client.post("/admin/backbeat/job/", chosen).content.decode()
    response = do(admin_client, "pause", *jobs[:3], reason="migration")
    do(admin_client, "disable", *jobs[1:])

    assert "job.0" in asked
    assert "job.3" not in asked
    assert len(said(response)) == 1
    assert list(Job.objects.filter(paused_reason="migration").values_list("name", flat=True)) == ["job.0", "job.1", "job.2"]
    assert Job.objects.filter(enabled=False).count() == 3
    assert LogEntry.objects.count() == 6


def test_reset_gives_every_override_back(admin_client: Client, redis: RedisServer) -> None:
    from_code(SPEC)
    job = definitions.save(replace(SPEC, timeout=5.0, owner="me"))

    response = do(admin_client, "reset", job)

    assert said(response) == ["reports.daily: gave back to the code: timeout, owner."]
    assert definitions.to_spec(Job.objects.get()) == SPEC


@pytest.mark.parametrize("address", ["do/explode/?ids=1", "do/run/?ids=999", "do/run/", "do/run/?ids=x,y"])
def test_an_unknown_verb_or_job_is_not_found(admin_client: Client, redis: RedisServer, address: str) -> None:
    assert admin_client.get(f"/admin/backbeat/job/{address}").status_code == 404


def test_a_get_changes_nothing(admin_client: Client, redis: RedisServer) -> None:
    job = definitions.save(SPEC)

    admin_client.get(f"/admin/backbeat/job/do/disable/?ids={job.pk}&_do=1")

    assert Job.objects.get().enabled
