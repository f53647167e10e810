"""Secrets among the arguments of a schedule: pages show a mask, and whoever saves a mask changes nothing."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace

import pytest
from django.test import Client

from backbeat.admin import definitions
from backbeat.admin.models import Job
from backbeat.core.job import Schedule
from backbeat.core.when import Cron
from tests.admin.pages import SPEC, form_of
from tests.support.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)
WORD = "hunter2-the-word"
KWARGS = {"password": WORD, "headers": {"Authorization": WORD}, "limit": 1}
SEEN = {"password": "***", "headers": {"Authorization": "***"}, "limit": 1}


@pytest.fixture
def job(transactional_db: None, redis: RedisServer) -> Job:
    return definitions.save(replace(SPEC, schedules=(Schedule(Cron("30 2 * * *", tz="UTC"), kwargs=KWARGS),)))


def test_no_page_of_a_job_shows_them(admin_client: Client, job: Job) -> None:
    for path in (f"job/{job.pk}/change/", f"job/do/run/?ids={job.pk}", "job/"):
        page = admin_client.get(f"/admin/backbeat/{path}").content.decode()

        assert WORD not in page


def test_saving_the_form_keeps_what_a_mask_hides(admin_client: Client, job: Job) -> None:
    form = form_of(job, {"expr": "30 2 * * *", "kwargs": json.dumps(SEEN | {"limit": 2})}, name=job.name)

    response = admin_client.post(f"/admin/backbeat/job/{job.pk}/change/", form)

    assert response.status_code == 302
    assert job.schedules.get().kwargs == KWARGS | {"limit": 2}


def test_a_run_by_hand_gets_them(admin_client: Client, job: Job, redis: RedisServer) -> None:
    admin_client.post("/admin/backbeat/job/do/run/", {"_do": "1", "ids": str(job.pk), "kwargs": json.dumps(SEEN)})

    with redis.client() as client:
        [message] = [json.loads(text) for text in client.lrange(f"{SPEC.pool}.p{SPEC.priority}", 0, -1)]
    assert json.loads(b64decode(message["body"]))[1] == KWARGS
    assert WORD not in json.dumps(message["headers"])
