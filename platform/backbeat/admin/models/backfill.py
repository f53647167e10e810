"""Backfills: runs for the occurrences of a stretch of time, made a few at a time in the lowest priority."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backbeat.admin.models.fields import NAME, RUN_ID, SCHEDULE_ID, long, moment, seconds, short
from backbeat.core.backfill import OPEN, Stage


class Backfill(models.Model):
    """One order: which occurrences of a schedule, and how many of its runs may be unfinished at once."""

    job = models.CharField(max_length=NAME)
    schedule = models.CharField(max_length=SCHEDULE_ID, help_text="Id of the schedule.")
    since = models.DateTimeField(help_text="The first nominal time that belongs to it.")
    until = models.DateTimeField(help_text="The first nominal time that does not.")
    mode = models.CharField(max_length=20)
    backwards = models.BooleanField(default=False, help_text="The newest occurrence first.")
    at_once = models.PositiveSmallIntegerField(help_text="How many of its runs may be unfinished at a time.")
    arguments = models.TextField(help_text="Of every run, as JSON text of [args, kwargs].")
    state = models.CharField(max_length=20, default=Stage.RUNNING.value)
    left_out = models.JSONField(default=dict, help_text="What needed no run: act -> why -> count.")
    estimate = seconds(help_text="Expected length, from the runs that were measured; empty when none was.")
    actor = short(150)
    reason = long()
    deeds = models.JSONField(default=list, help_text="Who did what to it: [{at, actor, verb, reason}].")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = moment()
    turns = models.PositiveBigIntegerField(default=0, help_text="Grows whenever slots are taken; the update is the lock.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            # Two that run the same occurrence again would each choose the same id for two different ends.
            models.UniqueConstraint(
                fields=["schedule"], condition=Q(state__in=sorted(OPEN)), name="backfill_open_once_per_schedule"
            )
        ]

    def __str__(self) -> str:
        return f"backfill {self.pk} of {self.schedule}"


class BackfillSlot(models.Model):
    """One occurrence that gets a run: `waiting`, `asked`, then the state in which the run ended, or `dropped`."""

    WAITING, ASKED = "waiting", "asked"

    backfill = models.ForeignKey(Backfill, on_delete=models.CASCADE, related_name="slots")
    nominal = models.DateTimeField()
    run_id = models.CharField(max_length=RUN_ID)
    why = short(200, help_text="Why the occurrence gets a run.")
    state = models.CharField(max_length=20, default=WAITING)

    class Meta:
        ordering = ["nominal"]
        constraints = [models.UniqueConstraint(fields=["backfill", "nominal"], name="backfill_slot_once_per_occurrence")]
        indexes = [models.Index(fields=["backfill", "state", "nominal"], name="backfill_slot_next")]

    def __str__(self) -> str:
        return self.run_id
