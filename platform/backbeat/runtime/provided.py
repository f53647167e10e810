"""Ports for processes that only Celery starts: a worker's Django app hands in what it implements, when Django is set up."""

from __future__ import annotations

from dataclasses import dataclass

from backbeat.errors import ConfigurationError
from backbeat.runtime.ports import Gate


@dataclass(slots=True)
class Provided:
    """What was handed in so far."""

    gate: Gate | None = None


_provided = Provided()


def provide(gate: Gate) -> None:
    """Called by the Django app when it is ready."""
    _provided.gate = gate


def gate() -> Gate:
    """The database as the second gate. Raises ConfigurationError in a process without it."""
    return _there(_provided.gate)


def _there(port: Gate | None) -> Gate:
    if port is None:
        expected = "this process has no database: expected Django with 'backbeat.admin' among INSTALLED_APPS"
        raise ConfigurationError(f"{expected}. Set DJANGO_SETTINGS_MODULE before the Celery app is made.")
    return port
