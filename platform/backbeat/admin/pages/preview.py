"""What a schedule means, shown while it is written: the sentence, the warnings and the next runs.

Computed by the same functions that the scheduler fires by.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from backbeat.admin import calendars
from backbeat.admin.models import Schedule
from backbeat.admin.pages.moments import shown, viewer_zone
from backbeat.admin.pages.schedule_form import ScheduleForm
from backbeat.admin.rows import schedule_spec, schedule_values_in
from backbeat.core import occurrence
from backbeat.core.check import schedule_problems
from backbeat.core.entry import Timing, offset
from backbeat.core.hashed import hashed
from backbeat.core.job import Schedule as CoreSchedule
from backbeat.core.outlook import outlook, sentence
from backbeat.core.when import Cron, RRule, from_ms, to_ms
from backbeat.errors import DefinitionError

RUNS = 10
TEMPLATE = "admin/backbeat/preview.html"


@permission_required("backbeat.view_job", raise_exception=True)
def preview_view(request: HttpRequest) -> HttpResponse:
    """The preview of a schedule that is being written, as a piece of HTML."""
    form = ScheduleForm(request.GET)
    form.task = request.GET.get("task", "")
    if not form.is_valid():
        return HttpResponse(
            render_to_string(TEMPLATE, {"problems": [str(one) for errors in form.errors.values() for one in errors]})
        )
    schedule = schedule_spec(form.values())
    return HttpResponse(
        render_to_string(TEMPLATE, _facts(schedule, _identity(request.GET.get("job", ""), schedule.key), request))
    )


def preview_html(row: Schedule, request: HttpRequest) -> SafeString:
    """The preview of a schedule as its row has it; a hint for a row that says nothing yet."""
    try:
        schedule = schedule_spec(schedule_values_in(row))
        wrong = [] if not row.expr and row.kind == "cron" else schedule_problems(schedule)
        empty = not wrong and not row.expr and row.kind == "cron"
    except DefinitionError as error:
        wrong, empty = [error], not (row.interval or row.at or row.line)
    if empty:
        return render_to_string(TEMPLATE, {"empty": True})
    if wrong:
        return render_to_string(TEMPLATE, {"problems": [error.sentence for error in wrong]})
    return render_to_string(TEMPLATE, _facts(schedule, _identity(row.job.name if row.job_id else "", row.key), request))


def _identity(job: str, key: str) -> str:
    return f"{job or '?'}#{key}" if key else job or "?"


def _facts(schedule: CoreSchedule, schedule_id: str, request: HttpRequest) -> dict[str, Any]:
    when, viewer, now = hashed(schedule.when, schedule_id), viewer_zone(request), to_ms(timezone.now())
    zone = when.tz if isinstance(when, (Cron, RRule)) else "UTC"
    shift = offset(schedule_id, round(schedule.jitter * 1000))
    timing = Timing.of(schedule, when, calendars.known() if schedule.calendar_name else {})
    found = outlook(timing, now, RUNS)
    runs: list[dict[str, str]] = []
    for moment in found.fires:
        effective = from_ms(moment + shift)
        runs.append({"there": shown(from_ms(moment), zone), "here": shown(effective, viewer), "iso": effective.isoformat()})
    return {
        "sentence": occurrence.describe(when),
        "notes": [*occurrence.notes(when, now), *filter(None, [sentence(timing, found.closed)])],
        "runs": runs,
        "zone": zone,
        "viewer": viewer,
        "jitter": shift,
        "ends": len(runs) < RUNS,
    }
