"""Why something does not run, with this deployment's own store and database: what the CLI, the pages and the API call."""

from __future__ import annotations

from backbeat.admin.records import DatabaseRecords
from backbeat.core.why import Why
from backbeat.runtime.why import Asking
from backbeat.store.store import open_store


def why(identity: str) -> Why:
    """Why a run (by its id) or an occurrence (`schedule@time`) does not run.

    Raises UnknownRun for what nobody knows, and redis-py's errors while Redis is away.
    """
    return Asking(open_store(), DatabaseRecords()).why(identity)


def why_job(name: str) -> Why:
    """Why a job does not run now. Raises UnknownJob, and redis-py's errors while Redis is away."""
    return Asking(open_store(), DatabaseRecords()).why_job(name)
