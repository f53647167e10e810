"""What `backbeat run` tells of runs, as data: history where it has them, the ledger where they are unfinished."""

from __future__ import annotations

import json
from typing import Any

import click
from django.db import DatabaseError

from backbeat.admin.models import Attempt, Run
from backbeat.admin.pages.run_search import found
from backbeat.cli.run_where import Where
from backbeat.core.secrets import masked
from backbeat.core.when import iso, to_ms
from backbeat.errors import UnknownRun
from backbeat.runtime.insist import OUTAGE
from backbeat.store.store import open_store
from backbeat.store.unfinished import Unfinished, newest

_HEAVY = ("args", "kwargs", "result")


def rows(where: Where, limit: int) -> list[dict[str, Any]]:
    """The newest runs that fit, unfinished ones as the ledger has them now."""
    merged = _recorded(where, limit) | _unfinished(where, limit)
    state = where.value("state")
    kept = [row for row in merged.values() if state in (None, row["state"])]
    return sorted(kept, key=lambda row: str(row["queued"]), reverse=True)[:limit]


def _recorded(where: Where, limit: int) -> dict[str, dict[str, Any]]:
    try:
        listed = list(found(Run.objects.defer(*_HEAVY), where.text).order_by("-queued_at")[:limit])
    except DatabaseError as error:
        click.echo(f"The database does not answer, so only unfinished runs are shown: {error}", err=True)
        return {}
    return {run.run_id: _row(run) for run in listed}


def _unfinished(where: Where, limit: int) -> dict[str, dict[str, Any]]:
    shown: dict[str, dict[str, Any]] = {}
    try:
        for one in newest(open_store().slots, where.takes, where.value("job")):
            shown[one.run_id] = _live_row(one)
            if len(shown) >= limit:
                break
    except OUTAGE as error:
        click.echo(f"Redis does not answer, so runs are shown as history has them: {error}", err=True)
    return shown


def details(run_id: str) -> dict[str, Any]:
    """Everything there is to know of one run. Raises UnknownRun."""
    store = open_store()
    fields = store.ledger.get(run_id)
    run = Run.objects.filter(run_id=run_id).first()
    if run is None and not fields:
        raise UnknownRun(f"no run {run_id!r} is known; `backbeat run ls` shows the newest.")
    facts = _row(run) | _past(run) if run is not None else {}
    if fields:
        args, kwargs = masked(json.loads(fields["x"]))
        live = _live_row(Unfinished(run_id, fields))
        facts |= {name: value for name, value in live.items() if value not in (None, "")} | {"args": args, "kwargs": kwargs}
        facts["losses"] = int(fields.get("l") or 0)
        facts["progress"] = fields.get("pg")
    return facts | {"attempts": attempts(run_id)}


def attempts(run_id: str) -> list[dict[str, Any]]:
    """What is kept of each attempt, the first one first."""
    return [
        {
            "attempt": one.number,
            "state": one.state,
            "worker": one.worker,
            "started": _iso(one.started_at),
            "finished": _iso(one.finished_at),
            "error": _error(one),
            "traceback": one.traceback,
            "log": one.log,
        }
        for one in Attempt.objects.filter(run_id=run_id).order_by("number")
    ]


def _row(run: Run) -> dict[str, Any]:
    return {
        "run": run.run_id,
        "job": run.job,
        "state": run.state,
        "queue": run.queue,
        "attempt": run.attempts,
        "worker": run.worker,
        "nominal": _iso(run.nominal),
        "queued": _iso(run.queued_at),
        "started": _iso(run.started_at),
        "finished": _iso(run.finished_at),
        "reason": run.reason,
        "error": _error(run),
    }


def _past(run: Run) -> dict[str, Any]:
    result = json.loads(run.result) if run.result else None
    return {"task": run.task, "schedule": run.schedule, "args": run.args, "kwargs": run.kwargs, "result": result}


def _live_row(one: Unfinished) -> dict[str, Any]:
    fields = one.fields
    return {
        "run": one.run_id,
        "job": fields.get("j", ""),
        "state": one.state,
        "queue": fields.get("q", ""),
        "attempt": int(fields.get("a") or 0),
        "worker": fields.get("w", "") if one.state == "running" else "",
        "nominal": iso(int(fields["n"])) if fields.get("n") else None,
        "queued": iso(one.created),
        "started": iso(int(fields["st"])) if fields.get("st") else None,
        "finished": None,
        "reason": fields.get("why", ""),
        "error": None,
    }


def _error(row: Run | Attempt) -> dict[str, str] | None:
    return {"type": row.error_type, "message": row.error_message} if row.error_type else None


def _iso(moment: Any) -> str | None:
    return None if moment is None else iso(to_ms(moment))
