"""Short names for the kinds of column that several tables share, with the types that mypy should see."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.db import models
from django.utils import timezone

# A run id opens with a job's name (150), may carry a schedule key, a moment, a DAG node (150) and a map index.
RUN_ID = 400
NAME = 150
SCHEDULE_ID = 210


def moment(**options: Any) -> models.DateTimeField[datetime | str | None, datetime | None]:
    """A UTC moment that may be unknown."""
    return models.DateTimeField(null=True, blank=True, **options)


def this_month() -> date:
    """The first day of the month that it is in UTC."""
    return timezone.now().date().replace(day=1)


def filed() -> models.DateField[date, date]:
    """The first day of the month whose partition a row lies in; see docs/decisions/010-history-by-month.md. It never changes."""
    return models.DateField(default=this_month, editable=False)


def seconds(**options: Any) -> models.FloatField[float | None, float | None]:
    """A length of time in seconds that may be unset."""
    return models.FloatField(null=True, blank=True, **options)


def short(length: int, **options: Any) -> models.CharField[str, str]:
    """A line of text; empty when unknown, never NULL."""
    return models.CharField(max_length=length, blank=True, default="", **options)


def long(**options: Any) -> models.TextField[str, str]:
    """Text of any length; empty when unknown, never NULL."""
    return models.TextField(blank=True, default="", **options)
