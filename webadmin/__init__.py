"""The Django project of this deployment: settings, addresses, branding, and the Celery app that `-A webadmin` finds."""

from webadmin.celery import app as celery_app

__all__ = ["celery_app"]
