"""Occurrences that did not become runs."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import NAME, SCHEDULE_ID, long, short


class Omission(models.Model):
    """One occurrence, or an unbroken range of them, that was left out, with the reason."""

    job = models.CharField(max_length=NAME)
    schedule = short(SCHEDULE_ID)
    reason = models.CharField(max_length=20)
    first = models.DateTimeField(help_text="Nominal time of the first occurrence left out.")
    last = models.DateTimeField(help_text="Nominal time of the last one.")
    count = models.PositiveBigIntegerField(default=1)
    actor = short(150)
    note = long()

    class Meta:
        ordering = ["-last"]
        constraints = [models.UniqueConstraint(fields=["job", "schedule", "reason", "first"], name="omission_once_per_range")]
        indexes = [
            models.Index(fields=["-last"], name="omission_newest"),
            models.Index(fields=["job", "-last"], name="omission_newest_of_job"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule or self.job}: {self.count} x {self.reason}"
