"""The pages of calendars: closed days, and whom they concern."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backbeat.admin import calendars
from backbeat.admin.models import Calendar, Job, Source
from backbeat.admin.pages.job_form import suggesting
from backbeat.admin.pages.suggestions import suggestions
from backbeat.errors import DefinitionError

SHOWN = 200


class CalendarForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only for type checkers
    """A calendar; its days are read by the function that the scheduler reads them by."""

    tz = forms.CharField(label="Zone", max_length=64, initial="UTC", widget=suggesting("zones", ""))

    class Meta:
        model = Calendar
        fields: ClassVar[list[str]] = ["name", "days", "tz", "description"]
        widgets: ClassVar[dict[str, Any]] = {
            "days": forms.Textarea(attrs={"rows": 14, "class": "vLargeTextField", "spellcheck": "false"}),
            "description": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
        }

    def clean(self) -> dict[str, Any]:
        """Ask the one reader."""
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            name = self.instance.name if self.instance.pk else cleaned["name"]
            try:
                _ = Calendar(name=name, days=cleaned["days"], tz=cleaned["tz"]).core
            except DefinitionError as error:
                self.add_error(error.field if error.field in self.fields else "days", error.sentence)
        return cleaned


class CalendarAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only for type checkers
    """Calendars. What is saved counts for every scheduler within a second."""

    form = CalendarForm
    list_display = ["name", "closes", "tz", "jobs", "source", "description"]
    search_fields = ["name", "description"]
    readonly_fields = ["concerns", "source"]
    fields = ["name", "days", "tz", "description", "source", "concerns"]
    actions = None
    change_form_template = "admin/backbeat/calendar_form.html"

    class Media:
        css = {"all": ["backbeat/backbeat.css"]}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """A name is an identity: schedules name it."""
        return [*self.readonly_fields, *(["name"] if obj else [])]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Django's, with the zones to choose from."""
        context = {"suggestions": suggestions(), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    @admin.display(description="closed days")
    def closes(self, row: Calendar) -> str:
        """The first of its lines, and how many there are."""
        lines = [line for line in row.days.splitlines() if line.strip()]
        return ", ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")

    @admin.display(description="jobs")
    def jobs(self, row: Calendar) -> int:
        """How many name it."""
        return calendars.users_of(row.name).count()

    @admin.display(description="jobs that name it")
    def concerns(self, row: Calendar) -> SafeString | str:
        """Whom an edit concerns, each with a link."""
        found = calendars.users_of(row.name) if row.pk else Job.objects.none()
        links = [(reverse("admin:backbeat_job_change", args=[job.pk]), job.name) for job in found[:SHOWN]]
        if not links:
            return "none"
        more = found.count() - len(links)
        listed = format_html_join("", '<li><a href="{}">{}</a></li>', links)
        return format_html("<ul>{}</ul>{}", listed, f"and {more} more" if more else "")

    def save_model(self, request: HttpRequest, obj: Calendar, form: Any, change: bool) -> None:
        """Save, and tell the schedulers when it is committed."""
        super().save_model(request, obj, form, change)
        calendars.publish_later()

    def delete_model(self, request: HttpRequest, obj: Calendar) -> None:
        """Through the one door."""
        calendars.delete(obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not for one that the code owns: the next deploy would take the change back."""
        owned = obj is not None and obj.source == Source.CODE
        return super().has_change_permission(request, obj) and not owned

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not while a schedule names it."""
        free = obj is None or (obj.source != Source.CODE and not calendars.users_of(obj.name).exists())
        return super().has_delete_permission(request, obj) and free
