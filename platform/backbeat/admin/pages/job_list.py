"""The list of jobs: what each does, when it is due, how it went, and whether something holds it back."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backbeat.admin.models import Job
from backbeat.admin.pages.badges import chip
from backbeat.admin.pages.moments import shown, when_html
from backbeat.admin.pages.outlook import last_runs, next_runs, strip
from backbeat.admin.rows import when_in
from backbeat.core import occurrence
from backbeat.errors import DefinitionError

CONDITIONS = {
    "live": ("live", Q(enabled=True, paused_at=None, orphaned_at=None)),
    "disabled": ("disabled", Q(enabled=False)),
    "paused": ("paused", Q(paused_at__isnull=False)),
    "orphaned": ("orphaned: code is gone", Q(orphaned_at__isnull=False)),
    "overridden": ("overridden by an operator", ~Q(overridden=[])),
}


class Condition(admin.SimpleListFilter):
    """Live, disabled, paused, orphaned or overridden."""

    title = "condition"
    parameter_name = "condition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The conditions and their words."""
        return [(name, words) for name, (words, _) in CONDITIONS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """The jobs in that condition."""
        chosen = CONDITIONS.get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


class JobChangeList(ChangeList):
    """Looks up the next and the last runs of the jobs on the page, all at once."""

    def get_results(self, request: HttpRequest) -> None:
        """Django's, with the outlook of each row."""
        super().get_results(request)
        jobs = list(self.result_list)
        due, recent = next_runs(jobs), last_runs(job.name for job in jobs)
        for job in jobs:
            job.next_run = due.get(job.name)
            job.recent = recent.get(job.name, [])
        self.result_list = jobs


class JobColumns:
    """The columns of the list."""

    @admin.display(description="job", ordering="name")
    def title(self, job: Job) -> SafeString:
        """Name, owner and queue, what holds it back and what makes it special."""
        chips = format_html_join(" ", "{}", ((one,) for one in conditions(job)))
        whose = f"{job.owner} · " if job.owner else ""
        return format_html(
            '<span class="bb-job">{}</span><span class="bb-under">{} {}<code>{}.p{}</code></span>',
            job.name, chips, whose, job.pool, job.priority,
        )  # fmt: skip

    @admin.display(description="schedule")
    def timing(self, job: Job) -> SafeString:
        """A sentence for each schedule."""
        sentences = [_sentence(row) for row in job.schedules.all()]
        if not sentences:
            return format_html('<span class="bb-none">{}</span>', "only when asked for")
        more = chip(f"+{len(sentences) - 2}", "grey", " ".join(sentences[2:])) if len(sentences) > 2 else ""
        return format_html(
            "{} {}", format_html_join("", '<div class="bb-when">{}</div>', ((one,) for one in sentences[:2])), more
        )

    @admin.display(description="next run")
    def next_due(self, job: Job) -> SafeString:
        """When it is due next; nothing for a job that is held back."""
        return when_html(getattr(job, "next_run", None) if job.live else None)

    @admin.display(description="last 20 runs")
    def recent_runs(self, job: Job) -> SafeString:
        """The strip of bars."""
        return strip(getattr(job, "recent", []))


def conditions(job: Job) -> list[SafeString]:
    """The chips that tell a job's condition."""
    found = []
    if job.paused:
        until = f" until {shown(job.paused_until)}" if job.paused_until else ""
        found.append(chip("paused", "paused", f"{job.paused_reason} ({job.paused_by}{until})"))
    if job.orphaned:
        found.append(chip("orphaned", "orphaned", f"its code is gone: {job.place}"))
    if not job.enabled:
        found.append(chip("disabled", "grey", "does not fire until it is enabled"))
    if not found:
        found.append(chip("live", "live"))
    if job.overridden:
        found.append(chip("overridden", "overridden", ", ".join(job.overridden)))
    if job.published_version != job.version:
        found.append(chip("not yet published", "paused", "the scheduler has an older version; the keeper will bring it this one"))
    return found


def _sentence(row: Any) -> str:
    try:
        sentence = occurrence.describe(when_in(row))
    except DefinitionError as error:
        sentence = error.sentence
    return sentence if row.enabled else f"(off) {sentence}"
