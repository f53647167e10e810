"""The tables. Definitions (jobs, schedules) are the truth here; history (runs, attempts, omissions) is a copy of events."""

from __future__ import annotations

from backbeat.admin.models.backfill import Backfill, BackfillSlot
from backbeat.admin.models.calendar import Calendar
from backbeat.admin.models.claim import Claim
from backbeat.admin.models.dag import DagRun
from backbeat.admin.models.dag_definition import Dag, DagVersion
from backbeat.admin.models.deed import Deed
from backbeat.admin.models.job import Job, Removal, Schedule, Source
from backbeat.admin.models.omission import Omission
from backbeat.admin.models.problem import ImportProblem
from backbeat.admin.models.run import Attempt, Run
from backbeat.admin.models.submission import Submission

__all__ = [
    "Attempt",
    "Backfill",
    "BackfillSlot",
    "Calendar",
    "Claim",
    "Dag",
    "DagRun",
    "DagVersion",
    "Deed",
    "ImportProblem",
    "Job",
    "Omission",
    "Removal",
    "Run",
    "Schedule",
    "Source",
    "Submission",
]
