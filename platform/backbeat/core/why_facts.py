"""What must be known to say why something does not run. Facts only; core/why.py judges them. Times are epoch ms."""

from __future__ import annotations

from dataclasses import dataclass

from backbeat.core.state import Reason, RunState


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's hold on a job."""

    reason: str
    actor: str
    since: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is defined now."""

    name: str
    defined: bool = True
    near: str = ""
    """The nearest name, when this one is not defined."""
    enabled: bool = True
    orphaned: bool = False
    scheduled: bool = True
    """Whether it has a schedule that is switched on."""
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class Omission:
    """A recorded range of occurrences that did not become runs."""

    reason: Reason
    first: int
    last: int
    count: int
    actor: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One moment of a schedule."""

    schedule: str
    nominal: int
    effective: int
    real: bool = True
    """Whether the schedule, as it is now, is due at this moment at all."""
    before: int | None = None
    after: int | None = None
    """The schedule's own moments around it, for one that is not real."""
    place: int | None = None
    """The effective time at which the index has the schedule due next; None when it is not in the index."""
    calendar: str = ""
    """The calendar that the schedule names."""
    closed: str = ""
    """What that calendar does to this moment: "left out" or "moved"; empty when the day is open."""
    parked: str = ""
    """Why the entry could not be evaluated."""
    omission: Omission | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The slot that an occurrence belongs to."""

    number: int
    leader: str | None
    schedulers: int
    """How many schedulers are alive."""
    backlog: int = 0
    """Events of it that history does not have yet."""


@dataclass(frozen=True, slots=True)
class Line:
    """A place in the line behind the run that holds a job's overlap slot."""

    holder: str
    holder_state: str
    ahead: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands at its job's limit of runs at once."""

    job: str
    key: str
    most: int | None
    """How many may work at once; None when the limit was taken away meanwhile."""
    holders: tuple[tuple[str, str], ...]
    """The first of those that have a place, with their states."""
    held: int
    ahead: int | None
    """How many wait before it; None for one that has a place itself."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Until when a run waits, because its job may start only so many in a time."""

    job: str
    key: str
    rate: str
    until: int


@dataclass(frozen=True, slots=True)
class Node:
    """A run that is a node of a DAG run."""

    dag_run: str
    node: str
    state: str
    rule: str
    waits_for: tuple[tuple[str, str], ...] = ()
    """Parents that have not ended, with their states."""
    bad: tuple[tuple[str, str], ...] = ()
    """Parents that ended otherwise than well."""
    held: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """An unfinished run, as the ledger has it."""

    id: str
    state: RunState
    queue: str
    created: int
    attempt: int = 0
    losses: int = 0
    worker: str = ""
    started: int | None = None
    until: int | None = None
    """When somebody looks at it: the end of its lease, the time of its retry, of its start, or of the next letter."""
    cancelled: str = ""
    """Why it was asked to stop."""
    line: Line | None = None
    place: Place | None = None
    pace: Pace | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A run as history has it."""

    state: RunState
    attempts: int = 0
    worker: str = ""
    started: int | None = None
    finished: int | None = None
    reason: str = ""
    error_type: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """Where the run's message waits, and who takes messages from there."""

    name: str
    workers: tuple[str, ...] = ()
    """Live workers that say they consume it."""
    consumers: int | None = None
    """Consumers that the broker counts, other programs' included; None when it can't say."""
    waiting: int | None = None
    """Messages in it; None when the broker can't say."""
    holder: str = ""
    """The worker that has fetched the message and not begun."""
    slots: int = 0
    """Runs that those workers can do at a time."""
    active: int = 0
    """Runs that they do now."""
    outbox: int = 0
    """Messages that wait for the broker itself."""
    trouble: str = ""
    """What the broker said when it was asked in vain."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything at one moment; what does not apply, or could not be learnt, is None."""

    now: int
    subject: str
    job: Job | None = None
    occurrence: Occurrence | None = None
    slot: Slot | None = None
    run: Run | None = None
    record: Record | None = None
    node: Node | None = None
    queue: Queue | None = None
    keepers: int | None = None
    """How many keepers are alive."""
    ahead: bool = False
    """Whether the question is what stands before the next occurrence, so that waiting for its time is no answer yet."""
    notes: tuple[str, ...] = ()
    """What could not be looked at."""
