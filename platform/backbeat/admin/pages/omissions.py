"""The list of occurrences that did not become runs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from backbeat.admin.models import Omission
from backbeat.admin.pages.badges import chip
from backbeat.admin.pages.browsing import ReadOnly
from backbeat.admin.pages.moments import when_html
from backbeat.core.state import Reason


class ByReason(admin.SimpleListFilter):
    """The reason code; a list of words, so that no query asks which there are."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The reasons."""
        return [(reason.value, reason.value) for reason in Reason]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Omission]) -> QuerySet[Omission]:
        """Those left out for that reason."""
        return queryset.filter(reason=self.value()) if self.value() else queryset


class OmissionAdmin(ReadOnly):
    """Nothing is left out without a row here."""

    list_display = ["label", "why", "count", "first_at", "last_at", "actor", "note"]
    list_filter = [ByReason]
    search_fields = ["=job", "=schedule"]
    search_help_text = "The exact name of a job or the id of a schedule."
    list_display_links = None

    @admin.display(description="schedule")
    def label(self, omission: Omission) -> str:
        """The schedule's id."""
        return omission.schedule or omission.job

    @admin.display(description="reason", ordering="reason")
    def why(self, omission: Omission) -> SafeString:
        """The reason code."""
        return chip(omission.reason, "grey")

    @admin.display(description="from")
    def first_at(self, omission: Omission) -> SafeString:
        """The first occurrence left out."""
        return when_html(omission.first, relative=False)

    @admin.display(description="to", ordering="-last")
    def last_at(self, omission: Omission) -> SafeString:
        """The last one."""
        return when_html(omission.last, relative=False)
