"""The form of a job: what it saves, what it refuses and in which words, and whose each field is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from backbeat.admin import definitions
from backbeat.admin.models import Job
from backbeat.core.check import problems
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron, Every, Once, from_ms
from backbeat.store.store import open_store
from tests.admin.pages import SPEC, form_of, from_code

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]
BERLIN = {"expr": "30 2 * * *", "tz": "Europe/Berlin", "kwargs": '{"limit": 10}'}


def saved(client: Client, data: dict[str, str], pk: int | None = None) -> Any:
    return client.post(f"/admin/backbeat/job/{pk}/change/" if pk else "/admin/backbeat/job/add/", data)


def errors_of(response: Any) -> str:
    assert response.status_code == 200, "the form was saved"
    form = response.context["adminform"].form
    inline = [error for formset in response.context["inline_admin_formsets"] for error in formset.formset.errors]
    return (
        f"{form.errors} {inline} {[formset.formset.non_form_errors() for formset in response.context['inline_admin_formsets']]}"
    )


def test_a_new_job_is_saved_with_its_schedules_and_takes_effect(admin_client: Client) -> None:
    every = {"kind": "every", "interval": "15m", "key": "often", "jitter": "30s"}
    once = {"kind": "once", "at_0": "2030-01-02", "at_1": "03:04:05", "key": "then", "args": '["x"]'}

    response = saved(
        admin_client,
        form_of(
            None, BERLIN, every, once, labels="tier=1, region=eu", retry_max="3", retry_cap="5m", timeout="90s", memory="512MiB"
        ),
    )

    assert response.status_code == 302, errors_of(response)
    job = Job.objects.get()
    spec = definitions.to_spec(job)
    assert spec == JobSpec(
        name="from.form",
        task="reports.daily",
        schedules=(
            Schedule(Cron("30 2 * * *", tz="Europe/Berlin"), kwargs={"limit": 10}),
            Schedule(Every("15m"), key="often", jitter=30.0),
            Schedule(Once(from_ms(1893553445000)), key="then", args=("x",)),
        ),
        labels={"tier": "1", "region": "eu"},
        retry=Retry(3, cap="5m"),
        timeout=90.0,
        memory=512 << 20,
    )
    assert job.published_version == job.version
    assert open_store().index.next_times(["from.form#then"]) == {"from.form#then": 1893553445000}
    assert LogEntry.objects.get().object_id == str(job.pk)


def test_a_job_may_have_no_schedule(admin_client: Client) -> None:
    response = saved(admin_client, form_of(None, {}))

    assert response.status_code == 302, errors_of(response)
    assert Job.objects.get().schedules.count() == 0


def test_changing_adding_and_deleting_schedules_reaches_the_index(admin_client: Client) -> None:
    often = Schedule(Every("15m"), key="often")
    job = definitions.save(replace(SPEC, schedules=(*SPEC.schedules, often)))
    rows = [
        {"expr": "0 5 * * *"},
        {"kind": "every", "interval": "15m", "key": "often", "DELETE": "on"},
        {"expr": "0 6 * * *", "key": "new"},
    ]

    response = saved(admin_client, form_of(job, *rows), job.pk)

    assert response.status_code == 302, errors_of(response)
    spec = definitions.to_spec(Job.objects.get())
    assert {one.key: one.when for one in spec.schedules} == {"": Cron("0 5 * * *"), "new": Cron("0 6 * * *")}
    times = open_store().index.next_times(["reports.daily", "reports.daily#often", "reports.daily#new"])
    assert {one: moment is not None for one, moment in times.items()} == {
        "reports.daily": True,
        "reports.daily#often": False,
        "reports.daily#new": True,
    }


WRONG: list[tuple[dict[str, str], dict[str, str], JobSpec]] = [
    ({"expr": "61 * * * *"}, {}, replace(SPEC, schedules=(Schedule(Cron("61 * * * *")),))),
    ({"expr": "0 0 30 2 *"}, {}, replace(SPEC, schedules=(Schedule(Cron("0 0 30 2 *")),))),
    (
        {"expr": "0 0 * * *", "tz": "Europe/Berlni"},
        {},
        replace(SPEC, schedules=(Schedule(Cron("0 0 * * *", tz="Europe/Berlni")),)),
    ),
    ({"expr": "0 0 * * *", "key": "a#b"}, {}, replace(SPEC, schedules=(Schedule(Cron("0 0 * * *"), key="a#b"),))),
    ({"expr": "0 0 * * *", "args": '{"a": 1}'}, {}, replace(SPEC, schedules=(Schedule(Cron("0 0 * * *"), args={"a": 1}),))),  # type: ignore[arg-type]
    ({}, {"pool": "Ünsafe"}, replace(SPEC, pool="Ünsafe")),
    ({}, {"timeout": "10s", "soft_timeout": "20s"}, replace(SPEC, timeout=10.0, soft_timeout=20.0)),
]


@pytest.mark.parametrize(("schedule", "changes", "spec"), WRONG)
def test_the_form_refuses_in_the_words_of_the_one_validator(
    admin_client: Client, schedule: dict[str, str], changes: dict[str, str], spec: JobSpec
) -> None:
    from django.utils.html import escape

    words = [error.sentence for error in problems(spec)]
    assert words

    shown = errors_of(saved(admin_client, form_of(None, *([schedule] if schedule else []), **changes)))

    for sentence in words:
        assert sentence in shown or escape(sentence) in shown
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("timeout", "soon", "expected a duration such as"),
        ("labels", "tier", "expected name=value"),
        ("name", "no spaces please", "expected letters, digits"),
        ("priority", "10", "not one of the available choices"),
        ("misfire_limit", "0", "greater than or equal to 1"),
    ],
)
def test_a_field_that_can_not_be_read_is_named(admin_client: Client, field: str, text: str, words: str) -> None:
    response = saved(admin_client, form_of(None, BERLIN, **{field: text}))

    assert words in errors_of(response)
    assert field in response.context["adminform"].form.errors


def test_two_schedules_need_keys_of_their_own(admin_client: Client) -> None:
    assert "a key of its own" in errors_of(saved(admin_client, form_of(None, BERLIN, {"expr": "0 5 * * *"})))


def test_a_change_that_somebody_else_made_meanwhile_is_not_written_over(admin_client: Client) -> None:
    job = definitions.save(SPEC)
    data = form_of(job, BERLIN, owner="me")
    definitions.save(replace(SPEC, owner="somebody"))

    shown = errors_of(saved(admin_client, data, job.pk))

    assert "Somebody changed this job" in shown
    assert Job.objects.get().owner == "somebody"


def test_fields_of_the_code_say_so_and_overridden_ones_say_what_the_code_says(admin_client: Client) -> None:
    from_code(SPEC)
    definitions.save(replace(SPEC, timeout=1800.0))

    page = admin_client.get(f"/admin/backbeat/job/{Job.objects.get().pk}/change/").content.decode()

    assert "from code" in page
    assert "overridden (code says 20m)" in page
    assert '<button type="submit" class="bb-reset" name="_reset" value="timeout" formnovalidate>reset</button>' in page


def test_marks_of_one_job_do_not_stay_on_the_form_of_the_next(admin_client: Client) -> None:
    from_code(SPEC)
    admin_client.get(f"/admin/backbeat/job/{Job.objects.get().pk}/change/")

    assert "from code" not in admin_client.get("/admin/backbeat/job/add/").content.decode()


def test_saving_the_form_of_a_code_job_overrides_what_differs_and_nothing_else(admin_client: Client) -> None:
    from_code(SPEC)
    job = Job.objects.get()

    response = saved(admin_client, form_of(job, BERLIN, priority="9", name="ignored", task="ignored"), job.pk)

    assert response.status_code == 302, errors_of(response)
    job.refresh_from_db()
    assert (job.name, job.task, job.priority, job.overridden) == ("reports.daily", "reports.daily", 9, ["priority"])


def test_a_reset_gives_the_field_back_and_does_not_save_the_rest_of_the_form(admin_client: Client) -> None:
    from_code(SPEC)
    definitions.save(replace(SPEC, timeout=1800.0, priority=9))
    job = Job.objects.get()

    saved(admin_client, form_of(job, BERLIN, owner="typed, not saved", _reset="timeout"), job.pk)

    job.refresh_from_db()
    assert (job.timeout, job.priority, job.owner, job.overridden) == (1200.0, 9, "team-x", ["priority"])
    assert "gave back to the code: timeout" in str(LogEntry.objects.get())


def test_arguments_that_the_function_does_not_take_are_refused(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from backbeat.runtime import registry
    from backbeat.runtime.registry import Place, RegisteredJob

    def daily(day: str, limit: int = 10) -> None: ...

    known = RegisteredJob(replace(SPEC, schedules=()), daily, Place("jobs/reports.py", 1), "jobs.reports")
    monkeypatch.setitem(registry.jobs, "reports.daily", known)

    refused = errors_of(saved(admin_client, form_of(None, {"expr": "0 5 * * *", "kwargs": '{"lmit": 3}'})))

    assert "lmit" in refused
    assert saved(admin_client, form_of(None, {"expr": "0 5 * * *", "kwargs": '{"day": "2026-11-23"}'})).status_code == 302


def test_a_job_of_the_code_has_no_delete_button_and_an_orphan_has(admin_client: Client) -> None:
    from_code(SPEC)
    pk = Job.objects.get().pk
    assert admin_client.post(f"/admin/backbeat/job/{pk}/delete/", {"post": "yes"}).status_code == 403

    from_code()

    assert admin_client.post(f"/admin/backbeat/job/{pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Job.objects.exists()


def test_a_viewer_sees_the_form_but_can_not_save(client: Client, django_user_model: Any) -> None:
    from django.contrib.auth.models import Permission

    job = definitions.save(SPEC)
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_job"))
    client.force_login(viewer)

    assert client.get(f"/admin/backbeat/job/{job.pk}/change/").status_code == 200
    assert saved(client, form_of(job, BERLIN, owner="me"), job.pk).status_code == 403
    assert saved(client, {"_reset": "timeout"}, job.pk).status_code in (403, 404)
    assert client.get(f"/admin/backbeat/job/do/run/?ids={job.pk}").status_code == 403


def test_who_may_change_jobs_may_change_their_schedules(client: Client, django_user_model: Any) -> None:
    from django.contrib.auth.models import Permission

    job = definitions.save(SPEC)
    editor = django_user_model.objects.create_user("editor", is_staff=True)
    editor.user_permissions.set(Permission.objects.filter(codename="change_job"))
    client.force_login(editor)
    assert "30 2 * * *" in client.get(f"/admin/backbeat/job/{job.pk}/change/").content.decode()

    response = saved(client, form_of(job, {"expr": "0 5 * * *"}), job.pk)

    assert response.status_code == 302, errors_of(response)
    assert [one.when for one in definitions.to_spec(Job.objects.get()).schedules] == [Cron("0 5 * * *")]


def test_limits_are_saved_in_the_words_of_the_code(admin_client: Client) -> None:
    limits = {"max_concurrency": "3", "concurrency_key": "tenant", "rate": "100 / m", "rate_burst": "5"}

    response = saved(admin_client, form_of(None, {}, **limits))

    assert response.status_code == 302, errors_of(response)
    spec = definitions.to_spec(Job.objects.get())
    assert (spec.max_concurrency, spec.concurrency_key, spec.rate, spec.rate_burst) == (3, "{tenant}", "100/m", 5)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"rate": "fast"}, "expected starts in a time, such as"),
        ({"concurrency_key": "tenant"}, "expected max_concurrency beside it"),
        ({"max_concurrency": "1", "concurrency_key": "{}"}, "expected the name of an argument"),
    ],
)
def test_limits_that_make_no_sense_are_refused(admin_client: Client, limits: dict[str, str], sentence: str) -> None:
    assert sentence in errors_of(saved(admin_client, form_of(None, {}, **limits)))
    assert not Job.objects.exists()
