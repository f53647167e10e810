"""Graphs that no code defines: the durable truth from which Redis gets them."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import NAME, short
from backbeat.admin.models.job import Source


class Dag(models.Model):
    """One graph as it is now. When it runs, who owns it, and whether it is paused stands with the job of its name."""

    name = models.CharField(max_length=NAME, unique=True)
    data = models.JSONField(help_text="Nodes, parameters and policies, as `backbeat dag export` writes them.")
    version = models.CharField(max_length=64, help_text="Hash of nodes and parameters; each run is pinned to one.")
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.ADMIN)
    edits = models.PositiveBigIntegerField(default=1, help_text="Grows with each change.")
    published_edit = models.PositiveBigIntegerField(default=0, help_text="The change that Redis has.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "DAG"
        verbose_name_plural = "DAGs"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class DagVersion(models.Model):
    """A graph as it once was: each content that was ever saved, and who saved it first."""

    dag = models.CharField(max_length=NAME)
    version = models.CharField(max_length=64)
    graph = models.JSONField(help_text="Nodes and parameters.")
    actor = short(150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "DAG version"
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["dag", "version"], name="dag_version_once")]

    def __str__(self) -> str:
        return f"{self.dag} {self.version}"
