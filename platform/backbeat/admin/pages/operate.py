"""What operators do to jobs: one page asks, says what it will do, does it, and writes it into the log.

Each verb calls the function that the CLI calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError

from backbeat.admin import definitions, submissions
from backbeat.admin.dags import graph_named
from backbeat.admin.models import Job
from backbeat.admin.pages.inputs import Json
from backbeat.admin.pages.job_form import PRIORITY_CHOICES
from backbeat.core.dag import bound
from backbeat.core.secrets import unmasked
from backbeat.errors import BackbeatError, BadArguments, DefinitionError
from backbeat.runtime.binding import DAG_TASK
from backbeat.runtime.submit import submit


class Ask(forms.Form):
    """Nothing but a reason for the log."""

    reason = forms.CharField(max_length=500, required=False, widget=forms.TextInput(attrs={"class": "vTextField"}))


class AskRun(Ask):
    """What a run by hand needs."""

    args = Json(label="Arguments", empty=list, help_text="A JSON list.")
    kwargs = Json(label="Named arguments", empty=dict, help_text="A JSON object.")
    priority = forms.TypedChoiceField(
        choices=[("", "as the job says"), *PRIORITY_CHOICES], coerce=int, empty_value=None, required=False
    )
    key = forms.CharField(
        label="Idempotency key",
        max_length=100,
        required=False,
        help_text="The same key twice is the same run; without one each call is a new run.",
    )
    field_order = ["args", "kwargs", "priority", "key", "reason"]


class AskPause(Ask):
    """Why, and how long."""

    reason = forms.CharField(max_length=500, widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True}))
    until = forms.DateTimeField(
        required=False,
        help_text="UTC. Resumes by itself then; empty: until somebody resumes it.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


class AskResume(Ask):
    """What becomes of the occurrences that fell into the pause."""

    afterwards = forms.ChoiceField(
        label="What fell into the pause",
        choices=[
            ("none", "is left out, and recorded so"),
            ("last", "is left out but for the last of each schedule, which a backfill runs"),
            ("all", "runs, by a backfill"),
            ("policy", "is decided by the job's misfire policy"),
        ],
        initial="none",
        widget=forms.RadioSelect,
    )
    field_order = ["afterwards", "reason"]


@dataclass(frozen=True)
class Verb:
    """One thing to do: its words, its form, and the function that does it and returns the line for the log."""

    title: str
    button: str
    form: type[Ask]
    act: Callable[[Job, dict[str, Any], str], str]
    danger: bool = False


def _run(job: Job, given: dict[str, Any], actor: str) -> str:
    why = given["reason"] or f"run by hand by {actor}"
    if job.task == DAG_TASK:
        bound(graph_named(job.name), given.get("args") or [], given.get("kwargs") or {})
    key = given.get("key") or None
    run_id = submit(
        job.name,
        args=given.get("args") or [],
        kwargs=given.get("kwargs") or {},
        key=key,
        priority=given.get("priority"),
        reason=why,
        on_commit=True,
    )
    return f"asked for run {run_id}"


def _pause(job: Job, given: dict[str, Any], actor: str) -> str:
    definitions.pause(job, reason=given["reason"], actor=actor, until=given["until"])
    return f"paused: {given['reason']}"


def _resume(job: Job, given: dict[str, Any], actor: str) -> str:
    definitions.resume(job, actor=actor, afterwards=given["afterwards"])
    return _why("resumed", given)


def _enable(job: Job, given: dict[str, Any], _actor: str) -> str:
    definitions.set_enabled(job, enabled=True)
    return _why("enabled", given)


def _disable(job: Job, given: dict[str, Any], _actor: str) -> str:
    definitions.set_enabled(job, enabled=False)
    return _why("disabled", given)


def _reset(job: Job, given: dict[str, Any], _actor: str) -> str:
    names = definitions.reset(job)
    return _why(f"gave back to the code: {', '.join(names) or 'nothing'}", given)


def _why(line: str, given: dict[str, Any]) -> str:
    return f"{line} ({given['reason']})" if given.get("reason") else line


VERBS: dict[str, Verb] = {
    "run": Verb("Run now", "Run now", AskRun, _run),
    "pause": Verb("Pause", "Pause", AskPause, _pause),
    "resume": Verb("Resume", "Resume", AskResume, _resume),
    "enable": Verb("Enable", "Enable", Ask, _enable),
    "disable": Verb("Disable", "Disable", Ask, _disable, danger=True),
    "reset": Verb("Give overridden fields back to the code", "Reset overrides", Ask, _reset, danger=True),
}


def operate(admin: Any, request: HttpRequest, verb: str, jobs: QuerySet[Job]) -> HttpResponse:
    """Ask what the verb needs to know, or do it when the answer is there."""
    if verb not in VERBS:
        raise Http404(f"there is no {verb!r}")
    if not admin.has_change_permission(request):
        raise PermissionDenied
    chosen = list(jobs.prefetch_related("schedules"))
    if not chosen:
        raise Http404("no such job")
    asked = "_do" in request.POST
    form = VERBS[verb].form(request.POST if asked else None, initial=_initial(chosen))
    if len(chosen) > 1:
        # Each job has arguments of its own; one key would be right for one of them only.
        for name in ("args", "kwargs", "key"):
            form.fields.pop(name, None)
    if asked and form.is_valid() and _do(admin, request, verb, chosen, form):
        return HttpResponseRedirect(_back(chosen))
    return TemplateResponse(request, "admin/backbeat/operate.html", _page(admin, request, verb, chosen, form))


def _do(admin: Any, request: HttpRequest, verb: str, jobs: list[Job], form: Ask) -> bool:
    """Do it for each job; False, with the form's errors set, when the only job refuses."""
    done = []
    for job in jobs:
        try:
            # What is asked for and who asked for it are written together, or not at all.
            with transaction.atomic():
                line = VERBS[verb].act(job, _given(form, job, len(jobs)), request.user.get_username())
                admin.log_change(request, job, line)
        except (BackbeatError, RedisError, OSError) as error:
            if len(jobs) == 1:
                _show(form, error)
                return False
            messages.error(request, f"{job.name}: {error}")
            continue
        done.append(f"{job.name}: {line}.")
    if done:
        shown = " ".join(done[:5]) + (f" And {len(done) - 5} more." if len(done) > 5 else "")
        messages.success(request, shown)
    if verb == "run" and submissions.waiting(job.name for job in jobs):
        messages.warning(request, "Redis does not answer. What was asked for is kept in the database and begins when it is back.")
    return True


def _show(form: Ask, error: Exception) -> None:
    if isinstance(error, DefinitionError) and error.field in form.fields:
        form.add_error(error.field, error.sentence)
    else:
        # What else a BadArguments names is a parameter of the job's function.
        form.add_error("kwargs" if isinstance(error, BadArguments) and "kwargs" in form.fields else None, str(error))


def _given(form: Ask, job: Job, count: int) -> dict[str, Any]:
    before = _initial([job])
    given = form.cleaned_data if count == 1 else {**before, **form.cleaned_data}
    return given | {name: unmasked(given[name], before[name]) for name in before if name in given}


def _initial(jobs: list[Job]) -> dict[str, Any]:
    """The arguments of a job's first schedule, which are the likeliest to be wanted."""
    first = next(iter(jobs[0].schedules.all()), None) if len(jobs) == 1 else None
    return {"args": first.args if first else [], "kwargs": first.kwargs if first else {}}


def _back(jobs: list[Job]) -> str:
    if len(jobs) == 1:
        return reverse("admin:backbeat_job_change", args=[jobs[0].pk])
    return reverse("admin:backbeat_job_changelist")


def _page(admin: Any, request: HttpRequest, verb: str, jobs: list[Job], form: Ask) -> dict[str, Any]:
    return {
        **admin.admin_site.each_context(request),
        "opts": Job._meta,  # noqa: SLF001 - public, only spelt privately
        "title": VERBS[verb].title,
        "verb": VERBS[verb],
        "action": reverse("admin:backbeat_job_operate", args=[verb]),
        "back": _back(jobs),
        "jobs": jobs,
        "ids": ",".join(str(job.pk) for job in jobs),
        "form": form,
        "media": admin.media + form.media,
        "missed": _missed(jobs) if verb == "resume" else [],
        "now": timezone.now(),
    }


def _missed(jobs: list[Job]) -> list[dict[str, Any]]:
    return [
        {"schedule": schedule_id, "count": gap.count, "exact": gap.exact}
        for job in jobs
        for schedule_id, gap in definitions.missed_while_paused(job).items()
    ]
