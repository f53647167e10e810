"""The pages of backfills: the list, one with its progress, and the form that plans one before it is ordered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backbeat.admin import backfills, definitions
from backbeat.admin.backfills import Wish
from backbeat.admin.models import Backfill, BackfillSlot, Job
from backbeat.admin.pages.badges import badge
from backbeat.admin.pages.browsing import ReadOnly
from backbeat.admin.pages.moments import when_html
from backbeat.core.backfill import VERBS, Mode, Stage, after
from backbeat.core.duration import words
from backbeat.core.when import from_ms
from backbeat.errors import BackbeatError, DefinitionError, UnknownJob
from backbeat.runtime.backfill import DROPPED
from backbeat.runtime.insist import OUTAGE

SHOWN = 100
"""Occurrences listed one by one."""
_OPEN = (BackfillSlot.WAITING, BackfillSlot.ASKED)
_MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class WishForm(forms.Form):
    """What somebody asks for. Its moments are read in the schedule's zone, as on the command line."""

    job = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"list": "bb-jobs", "class": "vTextField"}))
    schedule = forms.CharField(max_length=50, required=False, help_text="The key of a schedule, where the job has several.")
    since = forms.CharField(label="From", widget=_MOMENT, help_text="In the schedule's zone.")
    until = forms.CharField(label="To", widget=_MOMENT, required=False, help_text="Does not belong to it; empty: now.")
    mode = forms.ChoiceField(
        choices=[(mode.value, mode.value) for mode in Mode], widget=forms.RadioSelect, initial=Mode.MISSING.value
    )
    backwards = forms.BooleanField(label="Newest first", required=False)
    at_once = forms.IntegerField(label="At once", initial=2, min_value=1, max_value=backfills.MOST_AT_ONCE)
    reason = forms.CharField(max_length=500, required=False, widget=forms.TextInput(attrs={"class": "vTextField"}))

    def clean_since(self) -> Any:
        """A moment."""
        return self._moment("since")

    def clean_until(self) -> Any:
        """A moment, or None."""
        return self._moment("until") if self.cleaned_data["until"] else None

    def _moment(self, name: str) -> Any:
        try:
            return datetime.fromisoformat(self.cleaned_data[name])
        except ValueError:
            text = self.cleaned_data[name]
            raise forms.ValidationError(f"expected a time such as 2027-01-31T06:00; got {text!r}.") from None

    def wish(self) -> Wish:
        """The wish, once the form is valid."""
        given = self.cleaned_data
        return Wish(given["since"], given["until"], given["schedule"], Mode(given["mode"]), given["backwards"], given["at_once"])


class AskWhy(forms.Form):
    """A reason for the record."""

    reason = forms.CharField(max_length=500, required=False, widget=forms.TextInput(attrs={"class": "vTextField"}))


class BackfillAdmin(ReadOnly):
    """Backfills, newest first."""

    list_display = ["title", "stage", "range", "mode", "done", "actor"]
    list_filter = ["state"]
    search_fields = ["=job", "=schedule"]
    sortable_by = []

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may order one."""
        return request.user.has_perm("backbeat.add_backfill")

    def get_urls(self) -> list[URLPattern]:
        """Django's, with the verbs."""
        view = self.admin_site.admin_view(self.ask_view)
        return [path("<int:pk>/do/<str:verb>/", view, name="backbeat_backfill_ask"), *super().get_urls()]

    @admin.display(description="backfill")
    def title(self, row: Backfill) -> str:
        """Its number and schedule."""
        return f"{row.pk} · {row.schedule}"

    @admin.display(description="state")
    def stage(self, row: Backfill) -> SafeString:
        """Where it stands."""
        return badge(row.state)

    @admin.display(description="from, to")
    def range(self, row: Backfill) -> SafeString:
        """Its stretch of time."""
        return format_html("{}<br>{}", when_html(row.since, relative=False), when_html(row.until, relative=False))

    @admin.display(description="done")
    def done(self, row: Backfill) -> SafeString:
        """How many of its occurrences are over."""
        over, whole = _over(backfills.progress(row))
        return format_html('<progress value="{}" max="{}"></progress> {} of {}', over, max(whole, 1), f"{over:,}", f"{whole:,}")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Plan first, then order what was planned."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form, planned = (
            WishForm(request.POST if request.method == "POST" else None, initial={"job": request.GET.get("job", "")}),
            None,
        )
        if request.method == "POST" and form.is_valid():
            try:
                job = definitions.job_named(form.cleaned_data["job"])
                if "_run" in request.POST:
                    made = backfills.order(
                        job, form.wish(), actor=request.user.get_username(), reason=form.cleaned_data["reason"]
                    )
                    messages.success(request, f"Backfill {made.pk} is ordered.")
                    return HttpResponseRedirect(reverse("admin:backbeat_backfill_change", args=[made.pk]))
                planned = backfills.plan(job, form.wish())
            except (BackbeatError, *OUTAGE) as error:
                _show(form, error)
        context = {"form": form, "plan": _plan(planned), "jobs": Job.objects.values_list("name", flat=True)[:1000]}
        return TemplateResponse(
            request, "admin/backbeat/backfill_form.html", self._page(request, "Backfill occurrences") | context
        )

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The page of one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = Backfill.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        if found is None:
            raise Http404(f"there is no backfill {object_id}")
        return TemplateResponse(
            request,
            "admin/backbeat/backfill.html",
            self._page(request, str(found).capitalize()) | _facts(found) | self._verbs(request, found),
        )

    def ask_view(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Pause, resume or cancel, by POST from the page of one."""
        if verb not in VERBS:
            raise Http404(f"there is no {verb!r}")
        if not request.user.has_perm("backbeat.change_backfill"):
            raise PermissionDenied
        form = AskWhy(request.POST)
        if request.method == "POST" and form.is_valid():
            try:
                found = backfills.ask(pk, verb, actor=request.user.get_username(), reason=form.cleaned_data["reason"])
                messages.success(request, f"Backfill {pk} is {found.state}.")
            except BackbeatError as error:
                messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:backbeat_backfill_change", args=[pk]))

    def _verbs(self, request: HttpRequest, found: Backfill) -> dict[str, Any]:
        may = request.user.has_perm("backbeat.change_backfill")
        return {
            "verbs": [
                (verb, reverse("admin:backbeat_backfill_ask", args=[found.pk, verb]))
                for verb in VERBS
                if may and _allowed(verb, found)
            ]
        }

    def _page(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, "title": title}


def _allowed(verb: str, found: Backfill) -> bool:
    try:
        return after(verb, Stage(found.state)) is not None
    except KeyError:
        return False


def _over(slots: dict[str, int]) -> tuple[int, int]:
    whole = sum(slots.values())
    return whole - sum(slots.get(state, 0) for state in _OPEN), whole


def _facts(found: Backfill) -> dict[str, Any]:
    slots = backfills.progress(found)
    over, whole = _over(slots)
    listed = found.slots.exclude(state=BackfillSlot.WAITING).order_by("-nominal")[:SHOWN]
    return {
        "backfill": found,
        "badge": badge(found.state),
        "over": over,
        "whole": whole,
        "counts": [(count, badge(state)) for state, count in sorted(slots.items())],
        "left": _left(found, over, whole),
        "left_out": [(act, why, count) for act, whys in found.left_out.items() for why, count in whys.items()],
        "times": [("from", when_html(found.since, relative=False)), ("to", when_html(found.until, relative=False))],
        "listed": [
            (
                slot,
                badge(slot.state),
                "" if slot.state == DROPPED else _run_url(slot.run_id),
                when_html(slot.nominal, relative=False),
            )
            for slot in listed
        ],
        "shown": SHOWN,
        "deeds": [{**deed, "at": when_html(datetime.fromisoformat(deed["at"]), relative=False)} for deed in found.deeds],
    }


def _left(found: Backfill, over: int, whole: int) -> str:
    """How long it still takes at the pace that it had; before it has one, what was estimated."""
    if found.finished_at or over == whole:
        return ""
    if not over:
        return "" if found.estimate is None else f"about {words(round(found.estimate, 1))}"
    pace = (timezone.now() - found.created_at).total_seconds() / over
    return f"about {words(round(pace * (whole - over)) or 1)}"


def _run_url(run_id: str) -> str:
    return reverse("admin:backbeat_run_change", args=[quote(run_id)])


def _plan(planned: backfills.Planned | None) -> dict[str, Any] | None:
    if planned is None:
        return None
    return {
        "create": len(planned.to_create),
        "whole": len(planned.slots),
        "counts": [(act, why, count) for act, whys in planned.counts.items() for why, count in whys.items()],
        "length": None if planned.seconds is None else words(round(planned.seconds, 1)),
        "at_once": planned.at_once,
        "slots": [(when_html(from_ms(slot.nominal), relative=False), slot) for slot in planned.slots[:SHOWN]],
        "more": max(0, len(planned.slots) - SHOWN),
    }


def _show(form: WishForm, error: Exception) -> None:
    fields = {"at once": "at_once", "range": "since"}
    name = (
        fields.get(error.field, error.field)
        if isinstance(error, DefinitionError)
        else "job"
        if isinstance(error, UnknownJob)
        else None
    )
    form.add_error(name if name in form.fields else None, getattr(error, "sentence", str(error)))
