"""Backbeat: a distributed job scheduler on Celery. The front door; everything else may move."""

from __future__ import annotations
