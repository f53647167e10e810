"""The Django project of this deployment: settings, addresses, branding, and its Celery app."""

from __future__ import annotations

from webadmin.celery import app as celery_app

__all__ = ["celery_app"]
