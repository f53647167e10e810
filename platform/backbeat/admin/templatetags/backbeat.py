"""What templates that belong to Django need to know from us."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import template
from django.db.models import Model, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from backbeat.admin.models import ImportProblem, Job, Omission, Run
from backbeat.core.duration import words
from backbeat.core.state import RunState
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.status import status
from backbeat.store.store import open_store

register = template.Library()

COUNTED = 1000
"""Figures are counted up to here; beyond, the list tells more than a number."""
BEHIND_MS = 10_000
"""An event that has waited for longer is a sign that no keeper records, or that the database refuses."""
BAD = [RunState.FAILED, RunState.TIMED_OUT, RunState.QUARANTINED]


@register.simple_tag
def import_problems() -> list[ImportProblem]:
    """The modules that could not be imported."""
    return list(ImportProblem.objects.all())


@register.simple_tag
def figures() -> list[dict[str, Any]]:
    """How things stand, each figure with the list behind it; none costs more as history grows."""
    day = timezone.now() - timedelta(hours=24)
    bad = Run.objects.filter(state__in=BAD, queued_at__gte=day)
    return [
        _figure("failed in 24 h", bad, "run", trouble=True, state=RunState.FAILED.value, within="24h"),
        _figure("left out in 24 h", Omission.objects.filter(last__gte=day), "omission", trouble=True),
        _figure("running", Run.objects.filter(state=RunState.RUNNING), "run", state=RunState.RUNNING.value),
        _figure("jobs live", Job.objects.filter(enabled=True, paused_at=None, orphaned_at=None), "job", condition="live"),
        _figure("jobs paused", Job.objects.filter(~Q(paused_at=None)), "job", condition="paused"),
        _figure("jobs orphaned", Job.objects.filter(~Q(orphaned_at=None)), "job", trouble=True, condition="orphaned"),
        *_behind(),
    ]


def _behind() -> list[dict[str, Any]]:
    """How far history, which all the other figures come from, is behind; nothing while Redis does not answer."""
    try:
        state = status(open_store())
    except OUTAGE:
        return []
    late = state.backlog_ms > BEHIND_MS
    label = "events not in history yet" + (f", the oldest for {words(state.backlog_ms // 1000)}" if late else "")
    url = reverse("admin:backbeat_run_changelist")
    return [{"label": label, "count": state.backlog, "more": False, "url": url, "trouble": late}]


def _figure(label: str, rows: QuerySet[Any, Model], page: str, *, trouble: bool = False, **query: str) -> dict[str, Any]:
    count = rows.order_by().values("pk")[: COUNTED + 1].count()
    url = reverse(f"admin:backbeat_{page}_changelist") + (f"?{urlencode(query)}" if query else "")
    return {"label": label, "count": min(count, COUNTED), "more": count > COUNTED, "url": url, "trouble": trouble and count > 0}
