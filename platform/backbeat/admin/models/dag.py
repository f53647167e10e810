"""History of DAG runs. Their nodes are rows of `Run`."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import NAME, RUN_ID, long, moment, short


class DagRun(models.Model):
    """One execution of a graph, pinned to the graph's version."""

    dag_run_id = models.CharField("id", max_length=RUN_ID, primary_key=True)
    dag = models.CharField(max_length=NAME)
    version = short(64, help_text="Hash of the graph's content.")
    state = models.CharField(max_length=20)
    nominal = moment()
    params = models.JSONField(null=True, blank=True)
    graph = models.JSONField(null=True, blank=True, help_text='{"nodes": [{"id", "job", …}], "edges": [[from, to], …]}')
    summary = models.JSONField(null=True, blank=True)
    reason = long()
    queued_at = models.DateTimeField()
    started_at = moment()
    finished_at = moment()
    seen = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "DAG run"
        ordering = ["-queued_at"]
        indexes = [
            models.Index(fields=["-queued_at"], name="dagrun_newest"),
            models.Index(fields=["dag", "-queued_at"], name="dagrun_newest_of_dag"),
        ]

    def __str__(self) -> str:
        return self.dag_run_id
