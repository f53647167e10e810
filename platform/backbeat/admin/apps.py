"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class BackbeatConfig(AppConfig):
    """Label `backbeat`, because the package's own last name, `admin`, is taken by Django's."""

    name = "backbeat.admin"
    label = "backbeat"
    verbose_name = "Backbeat"
    default_auto_field = "django.db.models.BigAutoField"
