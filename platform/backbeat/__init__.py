"""Backbeat: a distributed job scheduler on Celery. This is the front door; everything else may move.

Names are looked up when first used (PEP 562), so that `import backbeat` loads neither Celery nor Django.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from backbeat._version import __version__

if TYPE_CHECKING:
    from backbeat.core.calendar import Calendar
    from backbeat.core.job import Schedule
    from backbeat.core.retry import Retry
    from backbeat.core.when import Cron, Every, Once
    from backbeat.runtime.app import Backbeat
    from backbeat.runtime.beat import Scheduler
    from backbeat.runtime.context import current_run
    from backbeat.runtime.dag import dag
    from backbeat.runtime.job import adopt, job
    from backbeat.runtime.secret import Secret
    from backbeat.runtime.submit import submit
    from backbeat.runtime.submit_many import submit_many

__all__ = [
    "Backbeat",
    "Calendar",
    "Cron",
    "Every",
    "Once",
    "Retry",
    "Schedule",
    "Scheduler",
    "Secret",
    "__version__",
    "adopt",
    "current_run",
    "dag",
    "job",
    "submit",
    "submit_many",
]

_HOMES = {
    "Backbeat": "backbeat.runtime.app",
    "Calendar": "backbeat.core.calendar",
    "Cron": "backbeat.core.when",
    "Every": "backbeat.core.when",
    "Once": "backbeat.core.when",
    "Retry": "backbeat.core.retry",
    "Schedule": "backbeat.core.job",
    "Scheduler": "backbeat.runtime.beat",
    "Secret": "backbeat.runtime.secret",
    "adopt": "backbeat.runtime.job",
    "current_run": "backbeat.runtime.context",
    "dag": "backbeat.runtime.dag",
    "job": "backbeat.runtime.job",
    "submit": "backbeat.runtime.submit",
    "submit_many": "backbeat.runtime.submit_many",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'backbeat' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
