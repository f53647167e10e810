"""The list of jobs tells what each is for, when it is due and how it went, with as many queries for fifty as for one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backbeat import conf
from backbeat.admin import definitions
from backbeat.admin.models import Job
from backbeat.core.job import Schedule
from backbeat.core.when import Cron
from tests.admin.pages import SPEC, from_code, recorded

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]
LIST = "/admin/backbeat/job/"


def page(client: Client, query: str = "") -> str:
    response = client.get(LIST + query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_row_shows_sentence_zone_next_run_owner_queue_and_the_last_runs(admin_client: Client) -> None:
    definitions.save(SPEC)
    recorded("reports.daily", 18)
    ids = recorded("reports.daily", 24, "failed")[18:]

    shown = page(admin_client)

    assert "At 02:30 every day, Europe/Berlin time." in shown
    assert "team-x · <code>reports.p8</code>" in shown
    assert 'title="' in shown
    assert "in " in shown.split('class="field-next_due')[1].split("</td>")[0]
    strip = shown.split('class="bb-strip"')[1].split("</svg>")[0]
    assert strip.count("<rect") == 20
    assert strip.count("bb-fill-bad") == 6
    assert f"failed: {ids[-1]}" in strip.split("<title>")[-1]


def test_the_next_run_is_computed_here_while_redis_is_away(admin_client: Client) -> None:
    definitions.save(SPEC)

    with conf.override(redis_url="unix:///nowhere/redis.sock?db=0"):
        shown = page(admin_client)

    assert "in " in shown.split('class="field-next_due')[1].split("</td>")[0]


def test_the_number_of_queries_does_not_grow_with_the_number_of_jobs(admin_client: Client) -> None:
    counts = []
    for number in range(1, 31):
        definitions.save(
            replace(SPEC, name=f"job.{number:02}", schedules=(*SPEC.schedules, Schedule(Cron("0 5 * * *"), key="x")))
        )
        recorded(f"job.{number:02}", 3)
        if number in (2, 30):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                page(admin_client)
            counts.append(len(queries))

    assert counts[0] == counts[1] <= 12, [query["sql"][:120] for query in queries]


def test_conditions_can_be_told_apart_and_filtered(admin_client: Client) -> None:
    from_code(SPEC, replace(SPEC, name="gone"), replace(SPEC, name="changed"))
    from_code(SPEC, replace(SPEC, name="changed"))
    definitions.save(replace(SPEC, name="changed", owner="me"))
    definitions.set_enabled(definitions.save(replace(SPEC, name="off")), enabled=False)
    definitions.pause(
        definitions.save(replace(SPEC, name="held")), reason="disk is full", actor="ann", until=timezone.now() + timedelta(days=1)
    )

    found = {}
    for condition in ("live", "disabled", "paused", "orphaned", "overridden"):
        response = admin_client.get(f"{LIST}?condition={condition}")
        found[condition] = [job.name for job in response.context["cl"].result_list]

    assert found == {
        "live": ["changed", "reports.daily"],
        "disabled": ["off"],
        "paused": ["held"],
        "orphaned": ["gone"],
        "overridden": ["changed"],
    }
    assert "disk is full (ann until" in page(admin_client)


def test_search_finds_by_name_owner_and_task(admin_client: Client) -> None:
    definitions.save(SPEC)
    definitions.save(replace(SPEC, name="other", owner="somebody"))

    assert [job.name for job in admin_client.get(f"{LIST}?q=somebody").context["cl"].result_list] == ["other"]


def test_a_definition_that_can_no_longer_be_read_does_not_break_the_list(admin_client: Client) -> None:
    definitions.save(SPEC)
    definitions.save(replace(SPEC, name="other"))
    Job.objects.get(name="other").schedules.update(expr="every full moon")

    assert "every full moon" in page(admin_client)


def test_every_page_forbids_inline_scripts_and_foreign_hosts(admin_client: Client) -> None:
    response = admin_client.get(LIST)

    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in response.content.decode().replace("data-style=", "")
