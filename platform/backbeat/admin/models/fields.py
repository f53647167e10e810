"""Short names for the kinds of column that several tables share, with the types that mypy should see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models

# A run id opens with a job's name (150), may carry a schedule key, a moment, a DAG node (150) and a map index.
RUN_ID = 400
NAME = 150
SCHEDULE_ID = 210


def moment(**options: Any) -> models.DateTimeField[datetime | str | None, datetime | None]:
    """A UTC moment that may be unknown."""
    return models.DateTimeField(null=True, blank=True, **options)


def seconds(**options: Any) -> models.FloatField[float | None, float | None]:
    """A length of time in seconds that may be unset."""
    return models.FloatField(null=True, blank=True, **options)


def short(length: int, **options: Any) -> models.CharField[str, str]:
    """A line of text; empty when unknown, never NULL."""
    return models.CharField(max_length=length, blank=True, default="", **options)


def long(**options: Any) -> models.TextField[str, str]:
    """Text of any length; empty when unknown, never NULL."""
    return models.TextField(blank=True, default="", **options)
