"""The pages of DAG runs: the list, and one run with its picture and its nodes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from backbeat.admin.dag_times import bars_of
from backbeat.admin.models import DagRun, Run
from backbeat.admin.pages.badges import badge, colour_of
from backbeat.admin.pages.browsing import ReadOnly
from backbeat.admin.pages.doing import Doable
from backbeat.admin.pages.graph import DRAWN, HEIGHT, WIDTH, draw
from backbeat.admin.pages.moments import span, when_html
from backbeat.admin.pages.run_search import ByState, ByTime
from backbeat.core.gantt import Split, split
from backbeat.core.state import RunState
from backbeat.core.when import to_ms

NODES_A_PAGE = 100
# Trouble first, then what is still to come.
_ORDER = {
    state: place
    for place, state in enumerate(
        ("failed", "timed_out", "quarantined", "lost", "upstream_failed", "running", "retrying", "queued")
    )
}


class DagRunAdmin(Doable, ReadOnly):
    """DAG runs, newest first."""

    list_display = ["dag_run_id", "outcome", "dag", "due", "queued", "took"]
    list_filter = [ByState, ByTime]
    search_fields = ["=dag", "dag_run_id__startswith"]
    ordering = ["-queued_at"]
    sortable_by = ["dag_run_id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DagRun]:
        """Without the graphs, which the list does not show."""
        return super().get_queryset(request).defer("graph", "summary", "params")

    @admin.display(description="state")
    def outcome(self, dag_run: DagRun) -> SafeString:
        """The state as a coloured word."""
        return badge(dag_run.state)

    @admin.display(description="due")
    def due(self, dag_run: DagRun) -> SafeString:
        """The nominal time."""
        return when_html(dag_run.nominal, relative=False)

    @admin.display(description="began")
    def queued(self, dag_run: DagRun) -> SafeString:
        """How long ago it began."""
        return when_html(dag_run.started_at or dag_run.queued_at)

    @admin.display(description="took")
    def took(self, dag_run: DagRun) -> str:
        """From its start to its end, or until now."""
        return _took(dag_run)

    def get_urls(self) -> list[URLPattern]:
        """Django's, with what may be done."""
        return [*self.deed_urls(), *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The page of one DAG run."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        dag_run = DagRun.objects.filter(pk=unquote(object_id)).first()
        if dag_run is None:
            raise Http404(f"history has no DAG run {unquote(object_id)!r}")
        context = {**self.admin_site.each_context(request), **_facts(dag_run, request), "opts": self.opts, "media": self.media}
        context |= self.deed_facts(request, dag_run.pk, dag_run.state)
        return TemplateResponse(request, "admin/backbeat/dag_run.html", context | {"title": dag_run.pk} | (extra_context or {}))


def _took(dag_run: DagRun) -> str:
    return span((dag_run.finished_at or timezone.now()) - dag_run.started_at) if dag_run.started_at else ""


def _facts(dag_run: DagRun, request: HttpRequest) -> dict[str, Any]:
    nodes = Run.objects.filter(dag_run=dag_run.pk).exclude(dag_run="")
    chosen, node = request.GET.get("state", ""), request.GET.get("node", "")
    states = list(nodes.values_list("node", "state"))
    listed = nodes.filter(state=chosen) if chosen in set(RunState) else nodes
    if node:
        listed = listed.filter(Q(node=node) | Q(node__startswith=f"{node}["))
    page = Paginator(listed.order_by("queued_at", "node").defer("args", "kwargs", "result"), NODES_A_PAGE).get_page(
        request.GET.get("p")
    )
    picture = draw(dag_run.graph, states)
    return {
        "dag_run": dag_run,
        "badge": badge(dag_run.state),
        "took": _took(dag_run),
        "times": [(name, when_html(moment, relative=False)) for name, moment in _times(dag_run)],
        "picture": picture,
        "boxes": [
            {"box": box, "colour": colour_of(box.state), "url": "" if picture.folded else _here(node=box.id)}
            for box in picture.boxes
        ],
        "drawn": DRAWN,
        "box": {"width": WIDTH, "height": HEIGHT},
        "counts": [(state, count, badge(state)) for state, count in _counts(states)],
        "total": len(states),
        "chosen": chosen,
        "node": node,
        "here": _here(**{name: value for name, value in (("state", chosen), ("node", node)) if value}),
        "page": page,
        "nodes": _nodes(dag_run, list(page)),
        "summary": json.dumps(dag_run.summary, indent=2, ensure_ascii=False) if dag_run.summary else "",
        "params": json.dumps(dag_run.params, indent=2, ensure_ascii=False) if dag_run.params else "",
    }


def _here(**query: str) -> str:
    return f"?{urlencode(query)}" if query else "?"


def _times(dag_run: DagRun) -> list[tuple[str, Any]]:
    return [
        ("due", dag_run.nominal),
        ("queued", dag_run.queued_at),
        ("started", dag_run.started_at),
        ("finished", dag_run.finished_at),
    ]


def _counts(states: list[tuple[str, str]]) -> list[tuple[str, int]]:
    counted: dict[str, int] = {}
    for _, state in states:
        counted[state] = counted.get(state, 0) + 1
    return sorted(counted.items(), key=lambda pair: (_ORDER.get(pair[0], 99), pair[0]))


def _nodes(dag_run: DagRun, runs: list[Run]) -> list[dict[str, Any]]:
    """The rows of the table; where their time went comes by the one query that `backbeat dag show` asks, too."""
    now, bars = timezone.now(), {bar.node: bar for bar in bars_of(dag_run.pk, [run.node for run in runs])}
    begun = to_ms(dag_run.started_at or dag_run.queued_at)
    return [_node(run, split(bars[run.node], begun, to_ms(now))) for run in runs if run.node in bars]


def _node(run: Run, parts: Split) -> dict[str, Any]:
    return {
        "run": run,
        "url": reverse("admin:backbeat_run_change", args=[quote(run.pk)]),
        "badge": badge(run.state),
        "colour": colour_of(run.state),
        "parts": [span(ms / 1000) if ms else "" for ms in (parts.waiting, parts.queued, parts.running, parts.retry)],
    }
