"""The pages of jobs: the list, and the form with its schedules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backbeat.admin import definitions
from backbeat.admin.models import Job, Schedule, Source
from backbeat.admin.pages import ownership
from backbeat.admin.pages.job_form import JobForm
from backbeat.admin.pages.job_list import Condition, JobChangeList, JobColumns, conditions
from backbeat.admin.pages.operate import VERBS, operate
from backbeat.admin.pages.outlook import last_runs, strip
from backbeat.admin.pages.preview import preview_html, preview_view
from backbeat.admin.pages.schedule_form import ScheduleForm, ScheduleFormSet
from backbeat.admin.pages.suggestions import suggestions


class ScheduleInline(admin.StackedInline):  # type: ignore[type-arg]  # generic only for type checkers
    """The schedules of a job, each with its preview."""

    model = Schedule
    form = ScheduleForm
    formset = ScheduleFormSet
    extra = 0
    readonly_fields = ("preview",)
    fieldsets = [
        (
            None,
            {
                "fields": [("kind", "enabled", "key"), ("expr", "tz", "interval", "at", "line"), "preview", ("args", "kwargs")],
                "classes": ["bb-schedule"],
            },
        ),
        (
            "Bounds and fine points",
            {
                "fields": [
                    ("start", "end"),
                    ("max_runs", "jitter"),
                    ("dialect", "days"),
                    ("gap", "fold"),
                    "anchor",
                    ("calendar", "calendar_mode"),
                ],
                "classes": ["collapse"],
            },
        ),
    ]
    request: HttpRequest

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        """Django's; the request is kept because the preview shows the viewer's zone. An inline lives for one request."""
        self.request = request
        if obj is None:
            self.extra = 1
        return super().get_formset(request, obj, **options)

    # Schedules are part of their job: who may change the one may change the other. Without this a user who may change
    # jobs but not "schedules" would save a form that shows none.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the job."""
        return request.user.has_perm("backbeat.view_job") or self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the job."""
        return request.user.has_perm("backbeat.change_job") or (obj is None and request.user.has_perm("backbeat.add_job"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Part of changing the job."""
        return self.has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Part of changing the job."""
        return self.has_change_permission(request, obj)

    @admin.display(description="Next runs")
    def preview(self, row: Schedule) -> SafeString:
        """The sentence and the next ten runs, here as of when the page was made; preview.js keeps it fresh."""
        return format_html('<div class="bb-preview" aria-live="polite">{}</div>', preview_html(row, self.request))


class JobAdmin(JobColumns, admin.ModelAdmin):  # type: ignore[type-arg]  # generic only for type checkers
    """Jobs. Everything that changes one goes through `admin/definitions.py`."""

    form = JobForm
    inlines = [ScheduleInline]
    list_display = ["title", "timing", "next_due", "recent_runs"]
    list_filter = [Condition, "pool", "owner", "source"]
    search_fields = ["name", "description", "owner", "task"]
    list_per_page = 50
    ordering = ["name"]
    show_facets = admin.ShowFacets.NEVER
    change_form_template = "admin/backbeat/job_form.html"
    fieldsets = [
        (None, {"fields": ["version", ("name", "enabled"), "task", "description", ("owner", "labels"), ("pool", "priority")]}),
        (
            "When it fails",
            {
                "classes": ["collapse"],
                "fields": [
                    ("retry_max", "retry_backoff", "retry_delay", "retry_cap", "retry_jitter"),
                    ("retry_on", "retry_give_up_on"),
                ],
            },
        ),
        ("Limits", {"classes": ["collapse"], "fields": [("timeout", "soft_timeout", "start_deadline", "memory")]}),
        (
            "When it can't run on time",
            {"classes": ["collapse"], "fields": [("overlap", "misfire"), ("misfire_limit", "misfire_window")]},
        ),
        (
            "How many, how fast",
            {"classes": ["collapse"], "fields": [("max_concurrency", "concurrency_key"), ("rate", "rate_key", "rate_burst")]},
        ),
        ("How it travels", {"classes": ["collapse"], "fields": ["batch"]}),
    ]

    class Media:
        css = {"all": ["backbeat/backbeat.css"]}
        js = ["backbeat/zone.js", "backbeat/preview.js"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """With the schedules, of which each row tells."""
        return super().get_queryset(request).prefetch_related("schedules")

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[JobChangeList]:
        """The list that knows the outlook of its rows."""
        return JobChangeList

    def get_urls(self) -> list[URLPattern]:
        """Django's, with the preview and the verbs."""
        site = self.admin_site
        return [
            path("preview/", site.admin_view(preview_view), name="backbeat_job_preview"),
            path("do/<str:verb>/", site.admin_view(self.operate_view), name="backbeat_job_operate"),
            *super().get_urls(),
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The verbs; jobs are deleted one by one, so that each refusal is read."""
        if not self.has_change_permission(request):
            return {}
        return {name: (self._act, name, verb.title) for name, verb in VERBS.items()}

    @staticmethod
    def _act(admin: JobAdmin, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        return operate(admin, request, request.POST.get("action", ""), jobs)

    def operate_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """The page of one verb for the jobs that `ids` names."""
        ids = (request.POST.get("ids") or request.GET.get("ids") or "").split(",")
        return operate(self, request, verb, Job.objects.filter(pk__in=[one for one in ids if one.isdecimal()]))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Django's, with the resets, which leave alone what else was typed into the form."""
        job = Job.objects.filter(pk=object_id).first() if object_id and object_id.isdecimal() else None
        if job is not None and request.method == "POST" and "_reset" in request.POST:
            return self._reset(request, job)
        context = {"suggestions": suggestions(), **(extra_context or {})}
        if job is not None:
            context |= {"job": job, "overrides": ownership.overrides(job), "conditions": conditions(job), "verbs": _verbs(job)}
            context["strip"] = strip(last_runs([job.name])[job.name])
        return super().changeform_view(request, object_id, form_url, context)

    def _reset(self, request: HttpRequest, job: Job) -> HttpResponse:
        if not self.has_change_permission(request, job):
            raise Http404
        names = definitions.reset(job, [request.POST["_reset"]])
        self.log_change(request, job, f"gave back to the code: {', '.join(names) or 'nothing'}")
        messages.success(request, f"{', '.join(names) or 'Nothing'} is as the code says again.")
        return HttpResponseRedirect(request.path)

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: bool) -> None:
        """Nothing: the job is saved with its schedules, all at once, below."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the whole definition through the one door."""
        schedules = []
        for formset in formsets:
            # Fills in what Django's log of the change tells.
            formset.save(commit=False)
            schedules = [one.values() for one in formset.wanted()]
        saved = definitions.save(form.spec(schedules), source=Source.ADMIN)
        form.instance.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        """Through the one door."""
        definitions.delete(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not for a job that the code would bring back with the next deploy."""
        kept_by_code = obj is not None and obj.source == Source.CODE and not obj.orphaned
        return super().has_delete_permission(request, obj) and not kept_by_code


def _verbs(job: Job) -> list[tuple[str, str]]:
    """The buttons of one job: what makes sense in its condition."""
    names = ["run", "resume" if job.paused else "pause", "disable" if job.enabled else "enable"]
    return [(name, VERBS[name].button) for name in [*names, *(["reset"] if job.overridden else [])]]
