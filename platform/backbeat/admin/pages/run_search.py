"""The search of the run list: `state:failed job:reports.daily 2026-11` and the filters beside the list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.db import connections
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from backbeat.admin.models import Attempt, Job, Run
from backbeat.core.state import RunState

WORDS = ("state", "job", "pool", "queue", "worker", "error", "dag")
_COLUMN = {"error": "error_type", "dag": "dag_run__startswith"}
HELP = (
    "The beginning of a run's id, and words such as state:failed job:reports.daily pool:default error:OSError worker:… dag:… "
    'log:"no disk" looks into the logs of the newest 5,000 runs that the other words leave.'
)
WINDOWS = [
    ("1h", "the last hour", 1),
    ("24h", "the last 24 hours", 24),
    ("7d", "the last 7 days", 168),
    ("30d", "the last 30 days", 720),
]
# With more jobs than this a list of them is no filter any more; the search is.
JOBS_LISTED = 60
LOGS_READ = 5_000
"""No index helps to find a text in a log, so a search reads those of so many runs at most."""
LOGS_AT_ONCE = 250
"""Few enough that PostgreSQL looks each of them up, rather than read a month."""
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')


def found(rows: QuerySet[Run], text: str) -> QuerySet[Run]:
    """The runs that match the words; each of them uses an index or narrows what another one found."""
    logs = []
    for word in _WORD.findall(text):
        name, colon, value = word.replace('"', "").partition(":")
        if colon and name == "log":
            logs.append(value)
        elif colon and name in WORDS:
            rows = rows.filter(**{_COLUMN.get(name, name): value})
        else:
            rows = rows.filter(_begins(word, rows.db))
    return _saying(rows, logs) if logs else rows


def _saying(rows: QuerySet[Run], texts: list[str]) -> QuerySet[Run]:
    """The newest of these runs that have an attempt whose log holds each text, in whatever case.

    Asked a part at a time, and by id: in one question with the rest a database reads every attempt that there is.
    """
    newest: dict[date, list[str]] = {}
    for run_id, month in rows.order_by("-queued_at").values_list("pk", "month")[:LOGS_READ]:
        newest.setdefault(month, []).append(run_id)
    saying: list[str] = []
    for month, ids in newest.items():
        for at in range(0, len(ids), LOGS_AT_ONCE):
            tries = Attempt.objects.filter(month=month, run_id__in=ids[at : at + LOGS_AT_ONCE])
            for text in texts:
                tries = tries.filter(log__icontains=text)
            saying += tries.values_list("run_id", flat=True)
    return rows.filter(pk__in=saying)


def _begins(prefix: str, using: str) -> Q:
    # SQLite's LIKE ignores case and therefore the index; its comparison is by bytes and uses it.
    if connections[using].vendor == "sqlite":
        return Q(run_id__gte=prefix, run_id__lt=prefix + "\U0010ffff")
    return Q(run_id__startswith=prefix)


class _Words(admin.SimpleListFilter):
    column = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows with the chosen word."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


def _with_chosen(request: HttpRequest, parameter: str, words: Iterable[str]) -> list[tuple[str, str]]:
    """The words and the one in the address, which Django would ignore were it not among them."""
    chosen = request.GET.get(parameter)
    return [(word, word) for word in dict.fromkeys([*words, *([chosen] if chosen else [])])]


class ByState(_Words):
    """The state, from the table of states; no query asks which there are."""

    title = parameter_name = column = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every state."""
        return [(state.value, state.value.replace("_", " ")) for state in RunState]


class ByJob(_Words):
    """The job, while there are few enough to list."""

    title = parameter_name = column = "job"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The names of the jobs, or only the chosen one."""
        names = list(Job.objects.order_by("name").values_list("name", flat=True)[: JOBS_LISTED + 1])
        return _with_chosen(request, "job", names if len(names) <= JOBS_LISTED else [])


class ByPool(_Words):
    """The pool."""

    title = parameter_name = column = "pool"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The pools that jobs name."""
        pools = Job.objects.order_by("pool").values_list("pool", flat=True).distinct()[:JOBS_LISTED]
        return _with_chosen(request, "pool", pools)


class ByTime(admin.SimpleListFilter):
    """When it was queued."""

    title = "queued in"
    parameter_name = "within"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """A few windows that end now."""
        return [(name, words) for name, words, _ in WINDOWS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows in the window."""
        hours = {name: hours for name, _, hours in WINDOWS}.get(self.value() or "")
        return queryset.filter(queued_at__gte=timezone.now() - timedelta(hours=hours)) if hours else queryset
