"""The pages of runs: the list, and one run with its attempts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote as url_quote
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backbeat.admin.models import Attempt, DagRun, Job, Run
from backbeat.admin.pages.badges import badge, colour_of
from backbeat.admin.pages.browsing import ReadOnly
from backbeat.admin.pages.doing import Doable
from backbeat.admin.pages.moments import span, when_html
from backbeat.admin.pages.run_search import HELP, ByJob, ByPool, ByState, ByTime, found
from backbeat.admin.pages.timing import Part, split, totals
from backbeat.conf import settings

BAR = 1000
"""Width of the bar of times, in its own units."""


class RunAdmin(Doable, ReadOnly):
    """Runs, newest first."""

    list_display = ["identity", "outcome", "queued", "waited", "ran", "attempts", "worker"]
    list_filter = [ByState, ByTime, ByJob, ByPool]
    search_fields = ["run_id"]
    search_help_text = HELP
    ordering = ["-queued_at"]
    sortable_by = []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Without the texts, which the list does not show."""
        return super().get_queryset(request).defer("args", "kwargs", "result", "error_message", "reason")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Run], search_term: str) -> tuple[QuerySet[Run], bool]:
        """Our own words instead of a search through every text."""
        return found(queryset, search_term), False

    @admin.display(description="run")
    def identity(self, run: Run) -> SafeString:
        """The id, and below it the job where the id does not begin with it."""
        job = "" if run.run_id.startswith(run.job) else run.job
        return format_html('<span class="bb-runid">{}</span><span class="bb-under">{}</span>', run.run_id, job)

    @admin.display(description="state")
    def outcome(self, run: Run) -> SafeString:
        """The state as a coloured word."""
        return badge(run.state)

    @admin.display(description="queued")
    def queued(self, run: Run) -> SafeString:
        """How long ago it was put into its queue."""
        return when_html(run.queued_at)

    @admin.display(description="waited")
    def waited(self, run: Run) -> str:
        """From due to started."""
        since = run.effective or run.nominal or run.queued_at
        return span(run.started_at - since) if run.started_at and run.started_at >= since else ""

    @admin.display(description="ran")
    def ran(self, run: Run) -> str:
        """From the first start to the end, or until now."""
        return span((run.finished_at or timezone.now()) - run.started_at) if run.started_at else ""

    def get_urls(self) -> list[URLPattern]:
        """Django's, with what may be done."""
        return [*self.deed_urls(), *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The page of one run."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = Run.objects.filter(run_id=unquote(object_id)).first()
        if run is None:
            raise Http404(f"history has no run {unquote(object_id)!r}")
        context = {
            **self.admin_site.each_context(request),
            **_facts(run),
            **self.deed_facts(request, run.pk, run.state),
            "opts": self.opts,
            "title": run.run_id,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/backbeat/run.html", context | (extra_context or {}))


def _facts(run: Run) -> dict[str, Any]:
    attempts = list(run.tries.all())
    parts = split(run, attempts, timezone.now())
    return {
        "run": run,
        "badge": badge(run.state),
        "job": Job.objects.filter(name=run.job).first(),
        "dag": DagRun.objects.filter(pk=run.dag_run).first() if run.dag_run else None,
        "times": [
            ("due", when_html(run.nominal, relative=False)),
            ("due with jitter", when_html(run.effective, relative=False) if run.effective not in (None, run.nominal) else ""),
            ("queued", when_html(run.queued_at, relative=False)),
            ("started", when_html(run.started_at, relative=False)),
            ("finished", when_html(run.finished_at, relative=False)),
        ],
        "bars": _bars(parts),
        "totals": [(name, span(length)) for name, length in totals(parts).items()],
        "attempts": [_attempt(attempt) for attempt in reversed(attempts)],
        "no_attempt": "" if attempts else _no_attempt(run),
        "args": _pretty(run.args),
        "kwargs": _pretty(run.kwargs),
        "result": _pretty_text(run.result),
        "flower": settings().flower_url,
        "flower_task": url_quote(run.run_id, safe=""),
    }


def _no_attempt(run: Run) -> SafeString:
    """Why there is none. A mapped node as a whole has none of its own: its items are runs."""
    items = Run.objects.filter(dag_run=run.dag_run, node__startswith=f"{run.node}[").count() if run.dag_run else 0
    if items:
        address = reverse("admin:backbeat_dagrun_change", args=[quote(run.dag_run)])
        text = 'This node maps over a list. Each of its items is a run of its own: <a href="{}?{}#nodes">{} items</a>.'
        return format_html(text, address, urlencode({"node": run.node}), items)
    if run.finished_at is None:
        return format_html("No attempt yet.")
    return format_html("It ended without an attempt{}.", f": {run.reason}" if run.reason else "")


def _attempt(attempt: Attempt) -> dict[str, Any]:
    length = attempt.finished_at - attempt.started_at if attempt.finished_at and attempt.started_at else None
    return {
        "row": attempt,
        "badge": badge(attempt.state),
        "colour": colour_of(attempt.state),
        "started": when_html(attempt.started_at, relative=False),
        "length": span(length),
        "worker_path": url_quote(attempt.worker, safe="@"),
    }


def _bars(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Rectangles of the bar of times; what is too short to be seen is still two units wide."""
    if not parts:
        return []
    start = parts[0].start
    whole = max((parts[-1].end - start).total_seconds(), 0.001)
    return [
        {
            "x": round((part.start - start).total_seconds() / whole * BAR, 1),
            "width": max(round(part.seconds / whole * BAR, 1), 2),
            "kind": part.name.replace(" ", "-"),
            "title": f"{part.name} {span(part.seconds)}" + (f" ({part.detail})" if part.detail else ""),
        }
        for part in parts
    ]


def _pretty(value: Any) -> str:
    return "" if value in (None, [], {}) else json.dumps(value, indent=2, ensure_ascii=False)


def _pretty_text(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False) if text else ""
    except (ValueError, RecursionError):
        return text
