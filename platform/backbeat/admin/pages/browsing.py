"""Lists over tables that may hold ten million rows: nothing is counted to the end, nothing can be edited."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

COUNTED = 10_000
"""Rows are counted up to here, which is also as far as one can page; filters lead further than page numbers."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic only for type checkers
    """Counts to COUNTED and stops, so that the cost of a page does not grow with the table."""

    @cached_property
    def count(self) -> int:
        """How many rows there are, at most COUNTED."""
        rows: Any = self.object_list
        return len(rows) if not isinstance(rows, QuerySet) else rows.order_by().values("pk")[:COUNTED].count()


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only for type checkers
    """History is written by the recorder alone."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    actions = None

    class Media:
        css = {"all": ["backbeat/backbeat.css"]}
        js = ["backbeat/zone.js"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds history by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nor changes it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nor deletes it; retention does."""
        return False
