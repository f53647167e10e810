"""What a job is, as frozen data: the same record whether it came from code, the admin or an importer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backbeat.core.calendar import Calendar
from backbeat.core.limits import key_of, rate_of
from backbeat.core.retry import Retry
from backbeat.core.when import When
from backbeat.errors import DefinitionError

# A name is part of run ids and Redis keys, where @ : # / [ ] and { } separate things.
NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,149}$")
POOL = re.compile(r"^[a-z0-9][a-z0-9_\-]{0,49}$")


class Overlap(StrEnum):
    """What happens when an occurrence is due while an earlier run of the same job is still unfinished."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class Misfire(StrEnum):
    """What happens to occurrences that nobody could fire in time."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


class Claim(StrEnum):
    """Who decides whether an attempt may begin."""

    LEDGER = "ledger"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One reason for a job to be due, with arguments of its own. `key` tells the schedules of one job apart."""

    when: When
    key: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    start: int | None = None
    """First instant (epoch ms) at which it may be due."""
    end: int | None = None
    """Last instant (epoch ms) at which it may be due."""
    max_runs: int | None = None
    """How many runs it may have in all, counted for as long as its key stays the same."""
    jitter: float = 0.0
    """Seconds over which occurrences are spread, by a hash of the schedule id, so that it never changes."""
    calendar: str | Calendar | None = None
    """A calendar, or the name of one: on the days that it closes nothing fires."""
    calendar_mode: str = "skip"
    """What a closed day does: `skip` leaves the occurrence out, `shift` moves it to the next open day."""

    @property
    def calendar_name(self) -> str:
        """The name of its calendar, empty without one."""
        return self.calendar.name if isinstance(self.calendar, Calendar) else self.calendar or ""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A named function with its policies. Times are seconds."""

    name: str
    task: str
    """Name of the Celery task that does the work; several jobs may share one."""
    schedules: tuple[Schedule, ...] = ()
    pool: str = "default"
    priority: int = 5
    """0 to 9, 9 is most urgent, on both brokers."""
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    """Hard limit of one attempt: the worker's child is killed."""
    soft_timeout: float | None = None
    memory: int | None = None
    """Bytes that the process of one attempt may take: the worker's child is killed."""
    start_deadline: float | None = None
    """A run not started so long after its nominal time is recorded as expired instead of run."""
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.LATEST
    misfire_limit: int = 100
    misfire_window: float = 86400.0
    claim: Claim = Claim.LEDGER
    """With `database` a row there is asked as well. The code's alone, as `transactional` is: an operator can't change it."""
    transactional: bool = False
    """The job's work in the database and the note that it is done are one transaction."""
    max_concurrency: int | None = None
    """How many of its runs may work at once, over all workers; of each key, when `concurrency_key` names one."""
    concurrency_key: str = ""
    """A template over its arguments, such as `{tenant}`."""
    rate: str = ""
    """How many of its runs may start in a time, over all workers: `100/m`; of each key, when `rate_key` names one."""
    rate_key: str = ""
    rate_burst: int | None = None
    """How many may start at once after a lull; None for what a second brings."""
    batch: int = 1
    """How many due runs one message may carry; 1 gives each run a message of its own."""
    enabled: bool = True
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            allowed = "letters, digits, '_', '-' and '.', at most 150, not starting with '.' or '-'"
            raise DefinitionError("name", f"expected {allowed}; got {self.name!r}.")
        for option, read in (("rate", rate_of), ("concurrency_key", key_of), ("rate_key", key_of)):
            if getattr(self, option):
                object.__setattr__(self, option, read(getattr(self, option), option))

    @property
    def gated(self) -> bool:
        """Whether the database is asked before an attempt begins."""
        return self.transactional or self.claim is Claim.DATABASE

    def schedule_id(self, schedule: Schedule) -> str:
        """Identity of a schedule everywhere: the job's name, and its key when it has one."""
        return f"{self.name}#{schedule.key}" if schedule.key else self.name
