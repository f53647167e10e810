"""What operators do to one run or DAG run: a page asks, says what it will do, and does it by the function that the CLI calls."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from backbeat.admin import why
from backbeat.admin.models import DagRun, Deed, Run
from backbeat.admin.pages.inputs import Json
from backbeat.admin.pages.moments import when_html
from backbeat.admin.records import DatabaseRecords
from backbeat.core.secrets import MASK, holds_mask, masked
from backbeat.core.state import ASKS, Ask, RunState
from backbeat.errors import BackbeatError, NotAllowed
from backbeat.runtime import deeds
from backbeat.runtime.deeds import By
from backbeat.runtime.insist import OUTAGE
from backbeat.store.store import Store, open_store

LISTED = 500
"""Nodes up to which a list is offered; of more, one types the name."""
SHOWN = 50


class AskWhy(forms.Form):
    """Nothing but a reason."""

    reason = forms.CharField(max_length=500, required=False, widget=forms.TextInput(attrs={"class": "vTextField"}))


class AskAgain(AskWhy):
    """With which arguments. A secret among them is not kept, so it is to be given anew."""

    args = Json(label="Arguments", empty=list, help_text="A JSON list.")
    kwargs = Json(label="Named arguments", empty=dict, help_text="A JSON object.")
    key = forms.CharField(
        label="Idempotency key",
        max_length=100,
        required=False,
        help_text="The same key twice is the same run; without one each call is a new run.",
    )
    field_order = ["args", "kwargs", "key", "reason"]


class AskNode(AskWhy):
    """Which node. An item of a mapped one is written as `load[3]`."""

    node = forms.CharField(max_length=170, widget=forms.TextInput(attrs={"list": "bb-nodes", "class": "vTextField"}))
    field_order = ["node", "reason"]


class AskRerun(AskNode):
    """Which node, and whether what is behind it runs again too."""

    node = forms.CharField(
        max_length=170,
        required=False,
        help_text="Empty: every node that did not end well. An item of a mapped node is written as load[3].",
        widget=forms.TextInput(attrs={"list": "bb-nodes", "class": "vTextField"}),
    )
    only = forms.BooleanField(label="Leave alone what is behind it", required=False)
    field_order = ["node", "only", "reason"]


class AskMark(AskNode):
    """Which node, and as what."""

    state = forms.ChoiceField(choices=[("succeeded", "succeeded"), ("failed", "failed")], widget=forms.RadioSelect)
    field_order = ["node", "state", "reason"]


@dataclass(frozen=True)
class Doing:
    """One thing to do: its words, its form, and the function that does it and returns what came of it."""

    title: str
    button: str
    act: Callable[[Store, str, dict[str, Any], By], str]
    states: Collection[str]
    form: type[AskWhy] = AskWhy
    danger: bool = False


def _cancel(store: Store, run_id: str, _given: dict[str, Any], by: By) -> str:
    return {"asked": "is being stopped", "cancelled": "is cancelled"}.get(deeds.cancel(store, run_id, by), "was over already")


def _retry(store: Store, run_id: str, _given: dict[str, Any], by: By) -> str:
    made = deeds.retry(store, DatabaseRecords(), run_id, by)
    return f"is retried by run {made.run_id}" if made.created else f"was retried before, by run {made.run_id}"


def _again(store: Store, run_id: str, given: dict[str, Any], by: By) -> str:
    wanted = {name: given[name] for name in ("args", "kwargs")}
    other = {} if wanted == _arguments(run_id) else wanted
    if holds_mask(other):
        raise NotAllowed(f"a secret is shown as {MASK} and not kept; give it anew.")
    return f"is run again by run {deeds.again(store, DatabaseRecords(), run_id, by, **other, key=given['key'] or None)}"


def _release(store: Store, run_id: str, _given: dict[str, Any], by: By) -> str:
    return f"is {deeds.release(store, DatabaseRecords(), run_id, by)}"


def _rerun(store: Store, run_id: str, given: dict[str, Any], by: By) -> str:
    nodes, items = deeds.parted([given["node"]] if given["node"] else [])
    count = deeds.rerun(store, run_id, by, nodes or None, items=items or None, descendants=not given["only"])
    return f"goes on: {count} nodes run again" if count else "has nothing to run again"


def _mark(store: Store, run_id: str, given: dict[str, Any], by: By) -> str:
    count = deeds.mark(store, run_id, given["node"], RunState(given["state"]), by)
    return f"has {given['node']} as {given['state']}; {count} nodes are decided anew"


def _hold(store: Store, run_id: str, _given: dict[str, Any], by: By) -> str:
    deeds.hold(store, run_id, by, on=True)
    return "starts no further node"


def _continue(store: Store, run_id: str, _given: dict[str, Any], by: By) -> str:
    deeds.hold(store, run_id, by, on=False)
    return "goes on"


_ACTIVE = (RunState.RUNNING, RunState.QUEUED, RunState.PENDING)
_ANY = tuple(RunState)
OF_RUNS = {
    "cancel": Doing("Cancel this run", "Cancel", _cancel, ASKS[Ask.CANCEL], danger=True),
    "retry": Doing("Run again what did not end well, as a new run", "Retry", _retry, ASKS[Ask.RETRY]),
    "again": Doing("Run its job once more, as a new run", "Run again", _again, ASKS[Ask.AGAIN], AskAgain),
    "release": Doing("Let this run out of quarantine", "Release", _release, ASKS[Ask.RELEASE]),
}
OF_DAG_RUNS = {
    "rerun": Doing("Run nodes again and keep all other results", "Rerun", _rerun, _ANY, AskRerun),
    "mark": Doing("Declare a node succeeded or failed", "Mark a node", _mark, _ANY, AskMark, danger=True),
    "hold": Doing("Start no further node; those at work go on", "Hold", _hold, _ACTIVE),
    "continue": Doing("Let a held DAG run go on", "Continue", _continue, _ACTIVE),
    "again": Doing("Start this DAG once more, as a new run", "Run again", _again, _ANY, AskAgain),
    "cancel": Doing("Stop this DAG run and its nodes at work", "Cancel", _cancel, _ACTIVE, danger=True),
}


class Doable:
    """What a page of runs or DAG runs needs to offer deeds; mixed into its ModelAdmin. Needs the permission to change one."""

    model: type[Model]
    admin_site: Any
    opts: Any
    media: Any

    def deed_urls(self) -> list[URLPattern]:
        """To stand before Django's own."""
        name, view = self.opts.model_name, self.admin_site.admin_view
        return [
            path("<path:object_id>/do/<str:verb>/", view(self.do_view), name=f"backbeat_{name}_do"),
            path("<path:object_id>/why/", view(self.why_view), name=f"backbeat_{name}_why"),
        ]

    def deed_facts(self, request: HttpRequest, run_id: str, state: str) -> dict[str, Any]:
        """The buttons that make sense, and what was done before."""
        listed, name = OF_RUNS if self.model is Run else OF_DAG_RUNS, self.opts.model_name
        offered = listed if self._may(request) and not (self.model is Run and _node(run_id)) else {}
        done = list(Deed.objects.filter(run_id=run_id)[:SHOWN])
        # A DAG run that somebody holds can only go on, and one that goes on can only be held.
        last = next((deed.verb for deed in done if deed.verb in {"hold", "continue"}), "continue")
        return {
            "doings": [
                {
                    "button": one.button,
                    "danger": one.danger,
                    "url": reverse(f"admin:backbeat_{name}_do", args=[quote(run_id), verb]),
                }
                for verb, one in offered.items()
                if state in one.states and verb != last
            ],
            "do_url": reverse(f"admin:backbeat_{name}_do", args=[quote(run_id), "-"]).removesuffix("-/"),
            "why_url": reverse(f"admin:backbeat_{name}_why", args=[quote(run_id)]),
            "deeds": [(when_html(deed.at), deed) for deed in done],
        }

    def do_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Ask, or do it when the answer is there."""
        run_id, doing = unquote(object_id), (OF_RUNS if self.model is Run else OF_DAG_RUNS).get(verb)
        if doing is None or not self.model._default_manager.filter(pk=run_id).exists():  # noqa: SLF001 - public, only spelt privately
            raise Http404(f"there is no {verb!r} for {run_id!r}")
        if not self._may(request):
            raise PermissionDenied
        initial = {"node": request.GET.get("node", ""), **_arguments(run_id)}
        form = doing.form(request.POST if request.method == "POST" else None, initial=initial)
        if request.method == "POST" and form.is_valid():
            by = By(request.user.get_username(), form.cleaned_data["reason"])
            try:
                messages.success(request, f"{run_id} {doing.act(open_store(), run_id, form.cleaned_data, by)}.")
                return HttpResponseRedirect(self._back(run_id))
            except (BackbeatError, *OUTAGE) as error:
                form.add_error(None, str(error))
        context = {"doing": doing, "form": form, "back": self._back(run_id), "nodes": _nodes(run_id), "title": doing.title}
        return TemplateResponse(request, "admin/backbeat/do.html", self._page(request, run_id) | context)

    def why_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Every gate on the way of a run; the first that is shut is the answer."""
        run_id = unquote(object_id)
        if not self.has_view_permission(request):  # type: ignore[attr-defined]  # of the ModelAdmin that this is mixed into
            raise PermissionDenied
        answer, trouble = None, ""
        try:
            answer = why.why(run_id)
        except (BackbeatError, *OUTAGE) as error:
            trouble = str(error)
        context = {"answer": answer, "trouble": trouble, "back": self._back(run_id), "title": f"Why {run_id} does not run"}
        return TemplateResponse(request, "admin/backbeat/why.html", self._page(request, run_id) | context)

    def _may(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"backbeat.change_{self.opts.model_name}")

    def _back(self, run_id: str) -> str:
        return reverse(f"admin:backbeat_{self.opts.model_name}_change", args=[quote(run_id)])

    def _page(self, request: HttpRequest, run_id: str) -> dict[str, Any]:
        list_url = reverse(f"admin:backbeat_{self.opts.model_name}_changelist")
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "run_id": run_id,
            "list_url": list_url,
        }


def _node(run_id: str) -> bool:
    return Run.objects.filter(pk=run_id).exclude(dag_run="").exists()


def _arguments(run_id: str) -> dict[str, Any]:
    """The arguments of a run as history shows them."""
    run = Run.objects.filter(pk=run_id).first()
    return {"args": masked(run.args or []), "kwargs": masked(run.kwargs or {})} if run else {}


def _nodes(run_id: str) -> list[str]:
    """The nodes of a DAG run and the items of its mapped nodes, as far as a list of them is of use."""
    dag_run = DagRun.objects.filter(pk=run_id).first()
    if dag_run is None:
        return []
    drawn = [str(node["id"]) for node in (dag_run.graph or {}).get("nodes", [])]
    begun = Run.objects.filter(dag_run=run_id).exclude(dag_run="").values_list("node", flat=True)[:LISTED]
    return sorted({*drawn, *begun})[:LISTED]
