"""The pages of graphs that no code defines: the list, and the form with the picture."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from backbeat.admin import dags
from backbeat.admin.dag_rows import graph_in
from backbeat.admin.models import Dag, DagVersion, Job
from backbeat.admin.pages.dag_form import MOST, GraphForm, graph_of, node_forms, rows_in, rows_of, sent_forms
from backbeat.admin.pages.graph import DRAWN, HEIGHT, WIDTH, draw
from backbeat.admin.pages.moments import when_html
from backbeat.core.dag import Dag as Graph
from backbeat.errors import GraphError

VERSIONS = 20


class DagAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only for type checkers
    """Graphs. Everything that changes one goes through `admin/dags.py`."""

    list_display = ["name", "version", "source", "updated_at"]
    search_fields = ["name"]
    actions = None
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["backbeat/backbeat.css"]}
        js = ["backbeat/zone.js"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dag]:
        """Without the graphs, which the list does not show."""
        return super().get_queryset(request).defer("data")

    def delete_model(self, request: HttpRequest, obj: Dag) -> None:
        """Through the one door."""
        dags.delete(obj.name)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Rows to fill in; `Draw` checks and draws them and makes room for more, `Save` saves what has no error."""
        row = Dag.objects.filter(pk=object_id).first() if object_id and object_id.isdecimal() else None
        if object_id is not None and row is None:
            raise Http404(f"there is no DAG {object_id}")
        may = self.has_add_permission(request) if row is None else self.has_change_permission(request, row)
        if not may and (row is None or request.method == "POST" or not self.has_view_permission(request, row)):
            raise PermissionDenied
        before = graph_in(row) if row is not None else None
        if request.method == "POST" and (before is None or len(before.nodes) <= MOST):
            return self._sent(request, row, before)
        return self._shown(request, row, before, GraphForm(initial=_initial(before), new=row is None), None, before, [])

    def _sent(self, request: HttpRequest, row: Dag | None, before: Graph | None) -> HttpResponse:
        form = GraphForm(request.POST, initial=_initial(before), new=row is None)
        nodes = sent_forms(_choices(before), request.POST)
        if not form.is_valid() or not nodes.is_valid():
            return self._shown(request, row, before, form, nodes, None, [])
        rows = rows_in(nodes)
        try:
            graph = graph_of(before, form.cleaned_data, rows)
        except GraphError as error:
            return self._shown(request, row, before, form, nodes, None, [(sentence, False) for sentence in error.problems])
        problems = [(problem.sentence, problem.warning) for problem in dags.problems(graph)]
        if "_save" not in request.POST or not all(warning for _, warning in problems):
            return self._shown(request, row, before, form, None, graph, problems)
        dags.save(graph, actor=request.user.get_username())
        saved = Dag.objects.get(name=graph.name)
        self.log_change(request, saved, f"saved version {saved.version}")
        messages.success(request, f"DAG {graph.name} is saved as version {saved.version}.")
        return HttpResponseRedirect(reverse("admin:backbeat_dag_change", args=[saved.pk]))

    def _shown(
        self,
        request: HttpRequest,
        row: Dag | None,
        before: Graph | None,
        form: GraphForm,
        nodes: Any,
        graph: Graph | None,
        problems: list[tuple[str, bool]],
    ) -> HttpResponse:
        """The page. Without `nodes` the rows are those of the graph."""
        large = graph is not None and len(graph.nodes) > MOST
        if nodes is None and not large:
            nodes = node_forms(_choices(before), rows_of(graph) if graph else [])
        context = {
            **self.admin_site.each_context(request),
            **_picture(graph),
            "opts": self.opts,
            "media": self.media,
            "title": row.name if row else "Draw a DAG",
            "row": row,
            "form": form,
            "nodes": nodes,
            "large": MOST if large else 0,
            "may": self.has_change_permission(request, row) if row else self.has_add_permission(request),
            "may_delete": row is not None and self.has_delete_permission(request, row),
            "problems": problems,
            "drawn_now": request.method == "POST",
            "job": Job.objects.filter(name=row.name).first() if row else None,
            "versions": [(one, when_html(one.created_at)) for one in DagVersion.objects.filter(dag=row.name)[:VERSIONS]]
            if row
            else [],
        }
        return TemplateResponse(request, "admin/backbeat/dag_form.html", context)


def _choices(before: Graph | None) -> list[str]:
    """What a node may be: a job, or another graph."""
    return sorted(dags.known_jobs() | dags.others(before.name if before else ""))


def _initial(before: Graph | None) -> dict[str, Any]:
    names = ("name", "description", "owner", "max_active", "timeout", "required", "params", "types")
    return {} if before is None else {name: getattr(before, name) for name in names}


def _picture(graph: Graph | None) -> dict[str, Any]:
    if graph is None or not graph.nodes:
        return {}
    edges = [[parent, node.id] for node in graph.nodes for parent in node.parents]
    picture = draw({"nodes": [{"id": node.id} for node in graph.nodes], "edges": edges}, [])
    boxes = [{"box": box, "colour": "idle", "url": ""} for box in picture.boxes]
    return {"picture": picture, "boxes": boxes, "box": {"width": WIDTH, "height": HEIGHT}, "drawn": DRAWN}
