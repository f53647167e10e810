"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class BackbeatConfig(AppConfig):
    """Label `backbeat`, because the package's own last name, `admin`, is taken by Django's."""

    name = "backbeat.admin"
    label = "backbeat"
    verbose_name = "Backbeat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hand the runtime what only the database can do: a worker sets Django up, and nobody else would tell it."""
        from backbeat.admin.gate import DatabaseGate
        from backbeat.admin.submissions import DatabaseSubmissions
        from backbeat.runtime.provided import provide

        provide(DatabaseGate(), DatabaseSubmissions())
