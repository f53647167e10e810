"""Modules of jobs and dags that could not be imported."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import long, short


class ImportProblem(models.Model):
    """What stopped one module from loading. The row goes when the module loads again."""

    module = models.CharField(max_length=255, unique=True)
    file = short(500)
    line = models.PositiveIntegerField(null=True, blank=True)
    error = long()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["module"]

    def __str__(self) -> str:
        return self.module
