"""What a schedule means, as the form shows it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backbeat.admin import definitions
from backbeat.core.occurrence import upcoming
from backbeat.core.when import Cron, to_ms
from tests.admin.pages import SPEC

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]


def preview(client: Client, **fields: str) -> str:
    asked = {"kind": "cron", "tz": "UTC", "dialect": "vixie", "days": "dialect", **fields}
    response = client.get("/admin/backbeat/job/preview/", asked)
    assert response.status_code == 200
    return response.content.decode()


def moments(page: str) -> list[int]:
    return [to_ms(datetime.fromisoformat(text)) for text in re.findall(r'datetime="([^"]+)"', page)]


def test_ten_runs_are_those_that_the_scheduler_computes(admin_client: Client) -> None:
    page = preview(admin_client, expr="30 2 * * *", tz="Europe/Berlin", viewer="America/New_York")

    assert moments(page) == upcoming(Cron("30 2 * * *", tz="Europe/Berlin"), to_ms(timezone.now()), 10)
    assert "At 02:30 every day, Europe/Berlin time." in page
    assert "America/New_York (yours)" in page
    assert re.search(r"02:30:00 CES?T", page)
    assert re.search(r"2\d:30:00 E[SD]T", page)


def test_jitter_moves_the_viewers_times_by_the_amount_that_the_scheduler_uses(admin_client: Client) -> None:
    plain = moments(preview(admin_client, expr="0 5 * * *", job="a.job"))
    moved = moments(preview(admin_client, expr="0 5 * * *", job="a.job", jitter="30m"))

    shifts = {late - due for due, late in zip(plain, moved, strict=True)}
    assert len(shifts) == 1
    assert 0 < shifts.pop() < 1_800_000


def test_day_of_month_with_weekday_is_warned_of(admin_client: Client) -> None:
    assert "either is enough" in preview(admin_client, expr="0 0 13 * 5")


def test_a_schedule_with_an_end_says_that_it_ends(admin_client: Client) -> None:
    end = datetime.now(UTC).year + 1
    page = preview(admin_client, expr="0 0 1 1 *", end_0=f"{end}-06-01", end_1="00:00:00")

    assert len(moments(page)) == 1
    assert "none after that" in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expr": "61 * * * *"}, "61"),
        ({"expr": "0 0 30 2 *"}, "30 2"),
        ({"expr": "* * * * *", "tz": "Mars/Olympus"}, "Mars/Olympus"),
        ({"kind": "every", "interval": "soon"}, "expected a duration such as"),
        ({"expr": "0 0 * * *", "kwargs": "{"}, "JSON"),
        ({"expr": "<script>alert(1)</script>"}, "&lt;script&gt;"),
    ],
)
def test_what_is_wrong_is_said_instead(admin_client: Client, fields: dict[str, str], words: str) -> None:
    page = preview(admin_client, **fields)

    assert words in page
    assert 'class="bb-problems"' in page
    assert "<script>" not in page


def test_an_unknown_zone_of_the_viewer_is_taken_as_utc(admin_client: Client) -> None:
    assert "the same, your zone" in preview(admin_client, expr="0 5 * * *", viewer="../../etc/passwd")


def test_the_form_shows_the_same_without_javascript(admin_client: Client) -> None:
    job = definitions.save(SPEC)
    admin_client.cookies["bb_zone"] = "Asia/Tokyo"

    page = admin_client.get(f"/admin/backbeat/job/{job.pk}/change/").content.decode()

    assert page.count("<time datetime=") >= 10
    assert "Asia/Tokyo (yours)" in page


def test_the_preview_is_for_those_who_may_see_jobs(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("nobody", is_staff=True))

    assert client.get("/admin/backbeat/job/preview/", {"kind": "cron", "expr": "* * * * *"}).status_code == 403
