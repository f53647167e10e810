"""What the job list tells besides the definition: the next run of each job, and how its last runs went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import quote
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from redis.exceptions import RedisError

from backbeat.admin import calendars
from backbeat.admin.models import Job, Run
from backbeat.admin.pages.badges import LOOKS, colour_of
from backbeat.admin.publishing import to_spec
from backbeat.core.entry import Entry, entries_of, offset
from backbeat.core.state import RunState
from backbeat.core.when import from_ms, to_ms
from backbeat.errors import BackbeatError
from backbeat.store.store import open_store

LAST = 20
Recent = list[tuple[str, str]]


def next_runs(jobs: Sequence[Job]) -> dict[str, datetime]:
    """When each job is due next, as the scheduler's index has it; computed here while Redis is away."""
    entries = {job.name: entries_of(spec) for job in jobs if (spec := _spec(job)) is not None}
    ids = [entry.id for listed in entries.values() for entry in listed]
    try:
        due: dict[str, int | None] = open_store().index.next_times(ids)
    except (RedisError, BackbeatError, OSError):
        now = to_ms(timezone.now())
        due = {entry.id: entry.timing.next(now) for listed in entries.values() for entry in listed}
    _past_closed_days(entries, due)
    found = {name: [moment for entry in listed if (moment := due.get(entry.id)) is not None] for name, listed in entries.items()}
    return {name: from_ms(min(moments)) for name, moments in found.items() if moments}


def _past_closed_days(entries: dict[str, list[Entry]], due: dict[str, int | None]) -> None:
    """The index looks at closed times too, in case they open; shown is when a schedule fires."""
    closing = [entry for listed in entries.values() for entry in listed if entry.timing.calendar]
    known = calendars.known() if closing else {}
    for entry in closing:
        if (place := due.get(entry.id)) is not None:
            shift = offset(entry.id, entry.timing.jitter)
            fires = entry.timing.within(known).fires_after(place - shift - 1)
            due[entry.id] = None if fires is None else fires + shift


def _spec(job: Job) -> Any:
    try:
        return to_spec(job)
    except BackbeatError:
        return None


def last_runs(names: Iterable[str]) -> dict[str, Recent]:
    """The last runs of each job as (run id, state), oldest first. One query, which reads so many rows and no more."""
    names = list(names)
    if not names:
        return {}
    # A window function would read every run of these jobs; a limited branch for each reads twenty.
    newest = f"SELECT job, run_id, state FROM {Run._meta.db_table} WHERE job = %s ORDER BY queued_at DESC LIMIT {LAST}"  # noqa: S608, SLF001 - our own table's name
    found: dict[str, Recent] = {name: [] for name in names}
    with connection.cursor() as cursor:
        branches = [f"SELECT * FROM ({newest}) AS r{n}" for n in range(len(names))]  # noqa: S608 - only numbers are put in
        cursor.execute(" UNION ALL ".join(branches), names)
        for job, run_id, state in cursor.fetchall():
            found[job].insert(0, (run_id, state))
    return found


def strip(recent: Recent) -> SafeString:
    """Twenty small bars, the newest on the right; each links to its run."""
    if not recent:
        return format_html('<span class="bb-none">{}</span>', "no run yet")
    bars = format_html_join(
        "",
        '<a href="{}"><title>{}</title><rect x="{}" y="{}" width="5" height="{}" rx="1" class="bb-fill-{}"/></a>',
        (_bar(place, run_id, state) for place, (run_id, state) in enumerate(recent, start=LAST - len(recent))),
    )
    summary = f"last {len(recent)} runs: {sum(state == RunState.SUCCEEDED for _, state in recent)} succeeded"
    return format_html(
        '<svg class="bb-strip" width="{}" height="18" role="img" aria-label="{}">{}</svg>', LAST * 7, summary, bars
    )


def _bar(place: int, run_id: str, state: str) -> tuple[Any, ...]:
    # Trouble stands taller than success, so that it is seen without colour as well.
    height = 10 if colour_of(state) in ("good", "idle") else 16
    sign = LOOKS[RunState(state)][1] if state in set(RunState) else ""
    url = reverse("admin:backbeat_run_change", args=[quote(run_id)])
    return url, f"{sign} {state}: {run_id}", place * 7, 18 - height, height, colour_of(state)
