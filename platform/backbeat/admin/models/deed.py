"""What people did to runs, from the admin and from the command line. Written by the recorder, from the ledger's events."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import RUN_ID, long, short


class Deed(models.Model):
    """One thing that somebody did to one run or DAG run."""

    event = models.CharField(max_length=100, unique=True, help_text="The event that tells of it.")
    run_id = models.CharField(max_length=RUN_ID, db_index=True)
    verb = models.CharField(max_length=20)
    actor = short(150)
    what = long(help_text="To which nodes, with what outcome.")
    reason = long()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.run_id}"
