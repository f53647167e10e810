"""The form in a real browser, under the strict policy that every page is served with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.utils import quote

from backbeat.admin import dags, definitions
from backbeat.admin.models import Job
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.state import RunState
from backbeat.core.when import Cron
from backbeat.store.store import open_store
from tests.admin.pages import SPEC, from_code, recorded
from tests.admin.test_doing import GRAPH, failed_at_b
from tests.store.graph_runs import RUN, run_all, states

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]
ROWS = "#schedules-0 .bb-runs tbody tr"


@pytest.fixture
def page(chromium: Browser, live_server: Any, admin_user: Any) -> Iterator[Page]:
    """A page of somebody in New York, logged in. At the end nothing may have been refused by the policy or have failed."""
    context = chromium.new_context(
        base_url=live_server.url, timezone_id="America/New_York", viewport={"width": 1280, "height": 900}
    )
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/admin/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "password")
    page.click("[type=submit]")
    yield page
    context.close()
    assert complaints == []


def test_typing_a_cron_expression_shows_the_next_ten_runs_in_both_zones(page: Page) -> None:
    page.goto("/admin/backbeat/job/add/")
    page.fill("#id_schedules-0-tz", "Europe/Berlin")

    page.locator("#id_schedules-0-expr").press_sequentially("30 2 * * *", delay=15)

    page.wait_for_selector(f"{ROWS}:nth-child(10)")
    assert page.locator(ROWS).count() == 10
    assert page.inner_text("#schedules-0 .bb-sentence") == "At 02:30 every day, Europe/Berlin time."
    heads = page.locator("#schedules-0 .bb-runs th").all_inner_texts()
    assert heads[1:] == ["Europe/Berlin", "America/New_York (yours)"]
    there, here = page.locator(f"{ROWS}:first-child td").all_inner_texts()[1:]
    assert "02:30:00 CE" in there
    assert ":30:00 E" in here


def test_mistakes_and_warnings_appear_while_typing(page: Page) -> None:
    page.goto("/admin/backbeat/job/add/")

    page.fill("#id_schedules-0-expr", "0 0 30 2 *")
    page.wait_for_selector("#schedules-0 .bb-problems li")
    page.fill("#id_schedules-0-expr", "0 0 13 * 5")
    page.wait_for_selector("#schedules-0 .bb-notes li")

    assert "either is enough" in page.inner_text("#schedules-0 .bb-notes")
    assert page.locator("#schedules-0 .bb-problems").count() == 0


def test_only_the_inputs_of_the_chosen_kind_are_in_sight(page: Page) -> None:
    page.goto("/admin/backbeat/job/add/")
    assert page.is_visible("#id_schedules-0-expr")
    assert not page.is_visible("#id_schedules-0-interval")

    page.select_option("#id_schedules-0-kind", "every")
    page.fill("#id_schedules-0-interval", "15m")

    page.wait_for_selector(f"{ROWS}:nth-child(10)")
    assert not page.is_visible("#id_schedules-0-expr")
    assert page.inner_text("#schedules-0 .bb-sentence") == "Every 15m."


def test_a_job_is_made_and_a_second_schedule_added_by_hand(page: Page) -> None:
    page.goto("/admin/backbeat/job/add/")
    page.fill("#id_name", "by.hand")
    page.fill("#id_task", "reports.daily")
    page.fill("#id_schedules-0-expr", "0 5 * * *")
    page.click("text=Add another Schedule")
    page.fill("#id_schedules-1-key", "weekly")
    page.fill("#id_schedules-1-expr", "0 6 * * MON")
    page.wait_for_selector("#schedules-1 .bb-runs tbody tr:nth-child(10)")

    page.click("input[name=_save]")

    page.wait_for_selector(".messagelist .success")
    spec = definitions.to_spec(Job.objects.get())
    assert {one.key: one.when for one in spec.schedules} == {"": Cron("0 5 * * *"), "weekly": Cron("0 6 * * MON")}


def test_a_reset_is_one_click(page: Page) -> None:
    from dataclasses import replace

    from_code(SPEC)
    job = definitions.save(replace(SPEC, schedules=(Schedule(Cron("0 4 * * *")),)))
    page.goto(f"/admin/backbeat/job/{job.pk}/change/")

    page.click(".bb-overrides button[value=schedules]")

    page.wait_for_selector(".messagelist .success")
    assert definitions.to_spec(Job.objects.get()) == SPEC


def test_lists_and_pages_are_served_without_a_complaint(page: Page) -> None:
    definitions.save(SPEC)
    recorded("reports.daily", 5)
    recorded("reports.daily", 2, "failed", log="one\n", error={"type": "OSError", "message": "no", "traceback": "T"})

    for address in ("", "backbeat/job/", "backbeat/run/", "backbeat/dagrun/", "backbeat/omission/", "backbeat/importproblem/"):
        page.goto(f"/admin/{address}")
    page.goto("/admin/backbeat/run/")
    page.click("#result_list th a >> nth=0")

    assert page.is_visible(".bb-times")
    assert page.locator(".bb-attempt").count() == 1


def test_the_job_list_fits_a_phone(page: Page) -> None:
    definitions.save(SPEC)
    recorded("reports.daily", 5)
    page.set_viewport_size({"width": 375, "height": 800})

    for address in ("backbeat/job/", "backbeat/run/", f"backbeat/job/{Job.objects.get().pk}/change/"):
        page.goto(f"/admin/{address}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 376, address


def test_a_graph_is_drawn_row_by_row_with_what_it_waits_for(page: Page) -> None:
    for name in ("fetch", "load"):
        definitions.save(JobSpec(name, name))
    page.goto("/admin/backbeat/dag/add/")
    page.fill("#id_name", "etl")
    for row, (node, job) in enumerate((("a", "fetch"), ("b", "load"), ("c", "load"))):
        page.fill(f"#id_nodes-{row}-id", node)
        page.select_option(f"#id_nodes-{row}-job", job)
    page.click("[name=_draw]")
    page.check("#id_nodes-1-after input[value=a]")
    page.check("#id_nodes-2-after input[value=b]")
    page.click("[name=_draw]")
    page.wait_for_selector("text=Nothing is wrong with this graph.")
    page.click("[name=_save]")

    page.wait_for_selector("text=is saved as version")
    assert [node.parents for node in dags.graph_named("etl").nodes] == [(), ("a",), ("b",)]


def test_a_dag_run_is_run_again_from_its_page(page: Page) -> None:
    store = open_store()
    failed_at_b(store)
    page.goto(f"/admin/backbeat/dagrun/{quote(RUN)}/change/")
    page.click("text=Rerun >> nth=0")
    page.fill("#id_reason", "again")
    page.click("[type=submit][value=Rerun]")

    page.wait_for_selector("text=goes on: 2 nodes run again")
    run_all(store)
    assert set(states(store, GRAPH).values()) == {RunState.SUCCEEDED}
