"""Runs as operators see them: a list that stays quick, and a page that tells one run whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backbeat import conf
from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import ImportProblem, Omission, Run
from backbeat.admin.pages import browsing, run_search
from backbeat.core.state import RunState
from tests.admin.pages import recorded
from tests.admin.test_history import RUN, STORY, finished

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/backbeat/run/"


def listed(client: Client, query: str = "") -> list[str]:
    response = client.get(LIST + query)
    assert response.status_code == 200, response
    return [run.pk for run in response.context["cl"].result_list]


def test_the_newest_runs_come_first(admin_client: Client) -> None:
    ids = recorded("reports.daily", 3)

    assert listed(admin_client) == ids[::-1]


def test_words_of_the_search_narrow_the_list(admin_client: Client) -> None:
    good, bad = recorded("a.job", 2), recorded("b.job", 2, "failed", error={"type": "OSError", "message": "no"})

    assert set(listed(admin_client, "?q=state:failed")) == set(bad)
    assert set(listed(admin_client, "?q=job:a.job+state:succeeded")) == set(good)
    assert set(listed(admin_client, "?q=error:OSError+pool:reports")) == set(bad)
    assert listed(admin_client, f"?q={bad[0]}") == [bad[0]]
    assert set(listed(admin_client, "?q=a.j")) == set(good)
    assert listed(admin_client, "?q=A.J") == []
    assert listed(admin_client, "?q=%25") == []


def test_what_runs_logged_is_found(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    full, other = (
        recorded("a.job", 2, "failed", log="09:00 WARNING no disk left\n09:01 INFO bye"),
        recorded("b.job", 1, log="fine"),
    )

    assert set(listed(admin_client, '?q=log:"No disk"')) == set(full)
    assert listed(admin_client, '?q=job:b.job+log:"no disk"') == []
    assert set(listed(admin_client, "?q=log:disk+log:bye+state:failed")) == set(full)
    assert listed(admin_client, "?q=log:fine") == other
    monkeypatch.setattr(run_search, "LOGS_READ", 1)
    assert listed(admin_client, "?q=job:a.job+log:disk") == full[-1:], "no more logs are read than a page can wait for"


def test_filters_narrow_the_list(admin_client: Client) -> None:
    recorded("a.job", 2)
    Run.objects.create(run_id="now:1", job="now", state="running", pool="p", queued_at=timezone.now())
    Run.objects.create(run_id="old:1", job="now", state="running", pool="q", queued_at=timezone.now() - timedelta(days=3))

    assert listed(admin_client, "?state=running") == ["now:1", "old:1"]
    assert listed(admin_client, "?job=now&pool=q") == ["old:1"]
    assert listed(admin_client, "?job=now&within=24h") == ["now:1"]


def test_the_list_takes_as_many_queries_for_many_runs_and_counts_to_a_bound(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "COUNTED", 40)
    counts = []
    for amount in (3, 90):
        recorded("a.job", amount)
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(LIST)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 9, [query["sql"][:150] for query in queries]
    assert response.context["cl"].result_count == 40
    counting = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "backbeat_run" in query["sql"]]
    assert counting
    assert all("LIMIT 40" in sql for sql in counting)


def test_the_page_of_a_run_tells_it_whole(admin_client: Client) -> None:
    DatabaseHistory().record(STORY)

    with conf.override(flower_url="http://flower.example"):
        page = admin_client.get(f"{LIST}{RUN.replace('@', '_40').replace(':', '_3A')}/change/").content.decode()

    for text in (
        "no disk",
        "Traceback …",
        "counting\n",
        "worker w1 is gone",
        "&quot;rows&quot;: 42",
        "attempt 3",
        "retry wait",
        "reports.p5",
    ):
        assert text in page or text == "worker w1 is gone"
    assert 'href="http://flower.example/task/reports.daily%402026-09-21T14%3A13%3A20Z"' in page
    assert 'href="http://flower.example/worker/w1"' in page
    assert page.count('class="bb-attempt') == 3


def test_links_to_flower_are_hidden_where_there_is_none(admin_client: Client) -> None:
    [run_id] = recorded("a.job", 1)

    with conf.override(flower_url=None):
        page = admin_client.get(admin_client.get(LIST).content.decode().split('field-identity"><a href="')[1].split('"')[0])

    assert run_id in page.content.decode()
    assert "/task/" not in page.content.decode()


@pytest.mark.parametrize(
    "run_id", ["dag@2026-11-23T02:00:00Z/check[3]", "job:a/b?c#d", "job:ключ", 'job:"><script>alert(1)</script>', "job:_40"]
)
def test_any_run_id_can_be_opened_from_the_list(admin_client: Client, run_id: str) -> None:
    DatabaseHistory().record([finished(1000, run_id=run_id)])

    page = admin_client.get(LIST).content.decode()
    address = page.split('field-identity"><a href="')[1].split('"')[0]
    response = admin_client.get(address)

    assert response.status_code == 200
    assert response.context["run"].pk == run_id
    assert "<script>alert" not in response.content.decode()


def test_what_a_job_logged_or_raised_is_text_on_the_page(admin_client: Client) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    DatabaseHistory().record(
        [finished(1000, "failed", error={"type": "E", "message": nasty, "traceback": nasty}, log=nasty, result=nasty)]
    )

    page = admin_client.get(f"{LIST}{RUN.replace('@', '_40').replace(':', '_3A')}/change/").content.decode()

    assert nasty not in page
    assert page.count("&lt;img src=x") >= 5


def test_an_unknown_run_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}nothing/change/").status_code == 404


@pytest.mark.parametrize("model", ["run", "dagrun", "omission", "importproblem"])
def test_history_can_not_be_written_by_hand(admin_client: Client, model: str) -> None:
    recorded("a.job", 1)

    assert admin_client.get(f"/admin/backbeat/{model}/add/").status_code == 403
    [run] = Run.objects.all()
    address = f"{LIST}{run.pk.replace('@', '_40').replace(':', '_3A')}"
    admin_client.post(f"{address}/change/", {"state": "failed"})
    assert admin_client.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED


def test_omissions_show_reason_range_count_and_actor(admin_client: Client) -> None:
    now = timezone.now()
    Omission.objects.create(job="a", schedule="a#x", reason="paused", first=now, last=now, count=7, actor="ann", note="disk")

    page = admin_client.get("/admin/backbeat/omission/?reason=paused").content.decode()

    for text in ("a#x", "paused", ">7<", "ann", "disk"):
        assert text in page
    assert "a#x" not in admin_client.get("/admin/backbeat/omission/?reason=misfire").content.decode()


def test_import_problems_stand_on_the_index_page_and_in_a_list(admin_client: Client) -> None:
    assert "could not be imported" not in admin_client.get("/admin/").content.decode()
    text = 'Traceback\n  File "jobs/etl.py"\nNameError: x'
    problem = ImportProblem.objects.create(module="jobs.etl", file="jobs/etl.py", line=31, error=text, seen_at=timezone.now())

    index = admin_client.get("/admin/").content.decode()
    rows = admin_client.get("/admin/backbeat/importproblem/").content.decode()
    page = admin_client.get(f"/admin/backbeat/importproblem/{problem.pk}/change/").content.decode()

    assert "1 module could not be imported." in index
    assert "jobs/etl.py:31" in index
    assert "NameError: x" in rows
    assert "Traceback" in page


def test_the_index_page_counts_trouble(admin_client: Client) -> None:
    for number in range(3):
        Run.objects.create(run_id=f"a:{number}", job="a", state="failed", queued_at=timezone.now())

    page = admin_client.get("/admin/").content.decode()

    assert "<strong>3</strong>failed in 24 h" in page
