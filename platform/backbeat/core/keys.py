"""Names that several processes must agree on: run ids, the slot of an id, Redis keys.

A run id opens with the name of its owner (a job or a DAG), so that its slot can be told from the id alone, and
every key of a slot carries the slot's hash tag, so that each script touches one slot (Redis Cluster).
"""

from __future__ import annotations

import re
from binascii import crc32
from functools import lru_cache
from typing import NewType

from backbeat.core.when import iso

RunId = NewType("RunId", str)

_OWNER_ENDS = re.compile(r"[@:#/]")
_NUMBERED = re.compile(r"^(.*)~(\d+)$", re.DOTALL)
_MONTH = re.compile(r"(\d{4})-(\d\d)-\d\dT")


def occurrence_id(schedule_id: str, nominal_ms: int) -> RunId:
    """The id of the one run of an occurrence: `reports.daily@2026-11-23T02:00:00Z`."""
    return RunId(f"{schedule_id}@{moment_of(nominal_ms)}")


moment_of = lru_cache(maxsize=4096)(iso)
"""A nominal time as run ids have it. Many schedules fall on the same moments."""


def submitted_id(job: str, key: str) -> RunId:
    """The id of a run that a caller asked for, under the caller's idempotency key or a fresh unique one."""
    return RunId(f"{job}:{key}")


def retried_id(run_id: str, job: str) -> RunId:
    """The id of a run's retry: its own id as the key, with a number that counts up from retry to retry."""
    rest = run_id[len(owner_of(run_id)) :].removeprefix(":")
    found = _NUMBERED.match(rest)
    stem, number = (found[1], int(found[2]) + 1) if found else (rest, 1)
    return submitted_id(job, f"{stem}~{number}")


def owner_of(identity: str) -> str:
    """The job or DAG that a run id or schedule id belongs to."""
    return _OWNER_ENDS.split(identity, maxsplit=1)[0]


def month_in(run_id: str) -> tuple[int, int] | None:
    """Year and month of the moment that a run id holds; None for an id that a caller or chance gave."""
    _, _, moment = run_id.partition("@")
    return _month(moment[:11])


@lru_cache(maxsize=4096)
def _month(day: str) -> tuple[int, int] | None:
    found = _MONTH.match(day)
    return (int(found[1]), int(found[2])) if found else None


def slot_of(identity: str, slots: int) -> int:
    """The slot (shard) that holds everything about a run or schedule: by hash of its owner."""
    return crc32(owner_of(identity).encode()) % slots


class SlotKeys:
    """The Redis keys of one slot. Types and lifetimes stand in docs/reference/redis-keys.md."""

    __slots__ = (
        "busy", "counts", "dags", "due", "entries", "events", "fired", "foreign", "jobs", "lease", "limits", "outbox", "parked",
        "prefix", "slot", "spent", "templates", "timers",
    )  # fmt: skip

    def __init__(self, prefix: str, slot: int) -> None:
        self.slot = slot
        self.prefix = tag = f"{{{prefix}:{slot}}}:"
        self.due = tag + "due"
        self.entries = tag + "entries"
        self.jobs = tag + "jobs"
        self.templates = tag + "templates"
        self.lease = tag + "lease"
        self.limits = tag + "limits"
        self.timers = tag + "timers"
        self.busy = tag + "busy"
        self.dags = tag + "dags"
        self.parked = tag + "parked"
        self.events = tag + "events"
        self.outbox = tag + "outbox"
        self.foreign = tag + "foreign"
        self.counts = tag + "counts"
        self.fired = tag + "fired"
        self.spent = tag + "spent"

    def run(self, run_id: str) -> str:
        """The hash that holds one unfinished run."""
        return f"{self.prefix}run:{run_id}"

    def hold(self, gate: str) -> str:
        """Runs that have a place at a gate: `<job>` or `<job>:<key>`; see lua/gate.lua."""
        return f"{self.prefix}hold:{gate}"

    def wait(self, gate: str) -> str:
        """Runs that wait for one."""
        return f"{self.prefix}wait:{gate}"

    def dag(self, run_id: str, letter: str = "", place: int | None = None) -> str:
        """A key of a DAG run, or of one mapped node of it; lua/dag.lua says which letter holds what."""
        kind = f"dag.{letter}" if letter else "dag"
        return f"{self.prefix}{kind}:{run_id}" if place is None else f"{self.prefix}{kind}:{place}:{run_id}"

    def graph(self, version: str) -> str:
        """The hash that holds one version of a DAG's graph, for all runs of it."""
        return f"{self.prefix}graph:{version}"
