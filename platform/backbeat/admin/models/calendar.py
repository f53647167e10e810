"""Closed days under a name, shared by any number of schedules."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import long
from backbeat.admin.models.job import Source
from backbeat.core.calendar import Calendar as CoreCalendar


class Calendar(models.Model):
    """The durable truth about one calendar; schedules name it by its name."""

    name = models.CharField(max_length=100, unique=True)
    days = models.TextField(help_text="One a line: 2026-12-25, 2026-12-24/2027-01-02, 12-25 for each year, sat for each week.")
    tz = models.CharField("zone", max_length=64, default="UTC", help_text="Where a day begins and ends.")
    description = long()
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.ADMIN)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def core(self) -> CoreCalendar:
        """What it closes. Raises DefinitionError."""
        # What follows a # explains the day.
        words = (line.partition("#")[0].strip() for line in self.days.splitlines())
        return CoreCalendar(self.name, [word for word in words if word], self.tz)
