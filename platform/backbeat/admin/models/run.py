"""History of runs and their attempts. Written by `admin/history.py` only, from the ledger's events."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backbeat.admin.models.fields import NAME, RUN_ID, SCHEDULE_ID, filed, long, moment, short


class Run(models.Model):
    """One piece of work. There is no foreign key to the job: history outlives definitions.

    `seen` orders the events of a run: a snapshot replaces the row's only when it is not older.
    """

    run_id = models.CharField(max_length=RUN_ID, primary_key=True)
    job = short(NAME)
    task = short(255)
    schedule = short(SCHEDULE_ID, help_text="Id of the schedule, when the run is an occurrence.")
    nominal = moment(help_text="When it should have run.")
    effective = moment(help_text="When it was due after jitter.")
    state = models.CharField(max_length=20)
    attempts = models.PositiveIntegerField(default=0)
    pool = short(50)
    queue = short(60)
    priority = models.PositiveSmallIntegerField(null=True)
    args = models.JSONField(null=True, blank=True)
    kwargs = models.JSONField(null=True, blank=True)
    worker = short(255)
    queued_at = models.DateTimeField()
    started_at = moment(help_text="Start of the first attempt.")
    finished_at = moment()
    reason = long(help_text="Why it ended as it did, or who asked for it.")
    error_type = short(255)
    error_message = long()
    result = long(help_text="JSON text.")
    dag_run = short(RUN_ID)
    node = short(NAME + 20)
    month = filed()
    seen = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-queued_at"]
        constraints = [
            # See docs/decisions/001-one-run-per-schedule-and-time.md.
            models.UniqueConstraint(
                fields=["job", "schedule", "nominal"],
                condition=Q(nominal__isnull=False) & ~Q(schedule=""),
                name="run_once_per_occurrence",
            )
        ]
        indexes = [
            models.Index(fields=["-queued_at"], name="run_newest"),
            models.Index(fields=["job", "-queued_at"], name="run_newest_of_job"),
            models.Index(fields=["state", "-queued_at"], name="run_newest_of_state"),
            models.Index(fields=["dag_run", "node"], condition=~Q(dag_run=""), name="run_of_dag_run"),
        ]

    def __str__(self) -> str:
        return self.run_id


class Attempt(models.Model):
    """One try at a run."""

    # Without a database constraint, so that old months can be dropped from either table on its own.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tries", db_constraint=False, db_index=False)
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=20)
    worker = short(255)
    started_at = moment()
    finished_at = moment()
    error_type = short(255)
    error_message = long()
    traceback = long()
    log = long()
    month = filed()
    seen = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="attempt_once_per_number")]

    def __str__(self) -> str:
        return f"{self.run_id} attempt {self.number}"
