"""Lists over tables that may hold ten million rows: nothing is counted to the end, nothing can be edited."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import Model, QuerySet
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


def about(model: type[Model], using: str = "default") -> int | None:
    """How many rows the planner believes a table to have; None where the database keeps no such figure."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table])  # noqa: SLF001 - public, only spelt privately
        found = cursor.fetchone()
    return int(found[0]) if found and found[0] >= 0 else None


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
