"""Runs that somebody asked for within a transaction of the database, until Redis has them."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import NAME, RUN_ID, long, moment, short


class Submission(models.Model):
    """One run that was asked for. The row goes once the run has certainly reached the ledger, see `admin/submissions.py`."""

    run_id = models.CharField(max_length=RUN_ID, primary_key=True)
    job = models.CharField(max_length=NAME)
    arguments = models.TextField(help_text="JSON text, as the ledger keeps it.")
    policies = long(help_text="The job's policies by the code of whoever asked, as JSON text.")
    delay = models.FloatField(default=0.0, help_text="Seconds to wait, counted from when it is sent.")
    due = moment(help_text="Not to begin before.")
    priority = models.PositiveSmallIntegerField(null=True)
    queue = short(60)
    reason = long()
    results = models.BooleanField(default=False, help_text="Whether Celery's result backend keeps what it returns.")
    asked_at = models.DateTimeField(auto_now_add=True)
    sent_at = moment(db_index=True)
    error = long(help_text="Why it could not be sent, the last time that was tried.")

    def __str__(self) -> str:
        return self.run_id
