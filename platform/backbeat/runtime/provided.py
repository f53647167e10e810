"""Ports for processes that we don't start: the Django app of a worker or a web server hands in what it implements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from backbeat.errors import ConfigurationError
from backbeat.runtime.ports import Gate, Submissions

T = TypeVar("T")


@dataclass(slots=True)
class Provided:
    """What was handed in so far."""

    gate: Gate | None = None
    submissions: Submissions | None = None


_provided = Provided()


def provide(gate: Gate, submissions: Submissions) -> None:
    """Called by the Django app when it is ready."""
    _provided.gate, _provided.submissions = gate, submissions


def gate() -> Gate:
    """The database as the second gate. Raises ConfigurationError in a process without it."""
    return _there(_provided.gate)


def submissions() -> Submissions:
    """The database as an outbox. Raises ConfigurationError in a process without it."""
    return _there(_provided.submissions)


def _there(port: T | None) -> T:
    if port is None:
        expected = "this process has no database: expected Django with 'backbeat.admin' among INSTALLED_APPS"
        raise ConfigurationError(f"{expected}. Set DJANGO_SETTINGS_MODULE before the Celery app is made.")
    return port
