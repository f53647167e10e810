"""`delay_on_commit` and `apply_async_on_commit` of jobs: durable with the transaction, and sent when it commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from backbeat.core.keys import submitted_id
from backbeat.core.priority import priority_of
from backbeat.core.when import to_ms
from backbeat.errors import BadArguments, nearest
from backbeat.runtime import provided
from backbeat.runtime.ports import Submission
from backbeat.runtime.submit import checked_arguments, policies_of

OPTIONS = ("countdown", "eta", "ignore_result", "priority", "queue", "reason")
"""What can wait in a row of the database. Anything else belongs to one message, which is not made yet."""


def ask_on_commit(
    job: str, args: Sequence[Any], kwargs: Mapping[str, Any], task_id: str | None, options: Mapping[str, Any]
) -> str:
    """Keep what is asked for with the current transaction; the run's id. Raises BadArguments, ConfigurationError."""
    for name in options:
        if name not in OPTIONS:
            known = ", ".join(OPTIONS)
            raise BadArguments(name, f"expected an option that can wait for a commit: {known}.{nearest(name, OPTIONS)}")
    run_id = task_id or submitted_id(job, uuid4().hex)
    eta, priority = options.get("eta"), options.get("priority")
    provided.submissions().add(
        Submission(
            run_id,
            job,
            checked_arguments(job, args, kwargs),
            policies_of(job),
            delay=max(0.0, float(options.get("countdown") or 0.0)),
            due=None if eta is None else to_ms(moment_of(eta)),
            priority=None if priority is None else priority_of(priority),
            queue=str(options.get("queue") or ""),
            reason=options.get("reason", ""),
            results=not options.get("ignore_result"),
        )
    )
    return run_id


def moment_of(eta: datetime | str) -> datetime:
    """Celery's `eta`; one without a zone is UTC."""
    moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
