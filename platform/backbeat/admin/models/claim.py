"""What the database itself knows of runs whose jobs ask it, whatever happens to Redis."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import RUN_ID, long, moment, short


class Claim(models.Model):
    """One run of a job with `claim="database"` or `transactional=True`. Written by workers, see `admin/gate.py`."""

    run_id = models.CharField(max_length=RUN_ID, primary_key=True)
    fence = models.PositiveIntegerField(default=0, help_text="The newest attempt that began.")
    worker = short(255)
    began_at = moment()
    done_at = moment(help_text="When the work was done; empty while it is not.")
    result = long(help_text="JSON text.")
    output = long(help_text="What a DAG node's children get.")

    class Meta:
        indexes = [models.Index(fields=["began_at"], name="claim_by_age")]

    def __str__(self) -> str:
        return self.run_id
