"""An entry of RedBeat's, and what it becomes here: a job with one schedule, under the id that keeps it apart from jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backbeat.core.celery_options import Options, options_of
from backbeat.core.celery_schedules import when_of
from backbeat.core.duration import seconds
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.occurrence import check
from backbeat.core.options import job_spec
from backbeat.core.redbeat import Ran, Saved
from backbeat.core.when import Cron, RRule, When
from backbeat.errors import DefinitionError, UnknownOption, nearest

_TIMING = ("tz", "gap", "fold", "jitter")
_POLICIES = ("misfire", "misfire_limit", "misfire_window", "overlap", "start_deadline", "retry", "timeout", "soft_timeout")
_NO_OPTIONS: Mapping[str, Any] = {}


def ours_of(text: str | None) -> Mapping[str, Any]:
    """What the field of our own says: `{"tz": "Europe/Berlin", "misfire": "all"}`. Raises DefinitionError."""
    if not text:
        return _NO_OPTIONS
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DefinitionError("backbeat", f"expected a JSON object; got {text!r} ({error}).") from error
    if not isinstance(data, dict):
        raise DefinitionError("backbeat", f"expected a JSON object; got {text!r}.")
    known = (*_TIMING, *_POLICIES, "imported")
    for name in data:
        if name not in known:
            raise UnknownOption("backbeat", f"expected one of {', '.join(known)}; got {name!r}.{nearest(name, known)}")
    return data


def spec_of(entry_id: str, saved: Saved, ran: Ran, tz: str, ours: Mapping[str, Any] = _NO_OPTIONS) -> tuple[JobSpec, Options]:
    """The job to fire, and where its messages go. `tz` is the zone of the app. Raises DefinitionError.

    Policies are those of a stock beat unless our field says otherwise: several runs at a time, one late fire after a gap.
    """
    options = options_of(saved.options)
    when = _with_policies(when_of(saved.schedule, str(ours.get("tz") or tz), ran.last), ours)
    check(when)
    schedule = Schedule(
        when, args=saved.args, kwargs=saved.kwargs or {}, end=options.end, jitter=seconds(ours.get("jitter"), "jitter") or 0.0
    )
    limits = {"start_deadline": options.expires, "timeout": options.timeout, "soft_timeout": options.soft_timeout}
    said = {name: ours[name] for name in _POLICIES if name in ours}
    given = {"overlap": Overlap.ALLOW.value} | {name: value for name, value in limits.items() if value} | said
    return replace(job_spec(entry_id, saved.task, given), schedules=(schedule,)), options


def _with_policies(when: When, ours: Mapping[str, Any]) -> When:
    if "gap" not in ours and "fold" not in ours:
        return when
    if isinstance(when, (Cron, RRule)):
        return replace(when, gap=str(ours.get("gap", when.gap)), fold=str(ours.get("fold", when.fold)))
    raise DefinitionError("backbeat", "expected gap and fold with a crontab or a rule only.")
