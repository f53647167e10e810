"""When a schedule is due, as data. What these words mean in time is decided in `core/occurrence.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from backbeat.core.duration import seconds, words
from backbeat.errors import BadSchedule

GAP_POLICIES = ("shift", "skip")
OVERLAP_POLICIES = ("first", "both", "last")
DIALECTS = ("vixie", "celery", "quartz", "jenkins", "robfig", "croniter")


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in an IANA zone. The default dialect is Debian cron's (`vixie`)."""

    expr: str
    tz: str = "UTC"
    dialect: str = "vixie"
    gap: str = "shift"
    fold: str = "first"


@dataclass(frozen=True, slots=True)
class Every:
    """A fixed interval, counted from an anchor (epoch by default), not from the last run. Lengths to the millisecond."""

    interval: str | float | timedelta
    anchor: datetime | None = None
    ms: int = field(init=False, default=0)
    anchor_ms: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        length = seconds(self.interval, "schedule")
        if not length or round(length * 1000) < 1:
            raise BadSchedule("schedule", f"expected an interval of a millisecond or more; got {self.interval!r}.")
        object.__setattr__(self, "ms", round(length * 1000))
        object.__setattr__(self, "interval", words(length))
        object.__setattr__(self, "anchor_ms", to_ms(self.anchor) if self.anchor else 0)


@dataclass(frozen=True, slots=True)
class Once:
    """One moment. A datetime without a zone is refused, because it names a different moment on every machine."""

    at: datetime
    ms: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ms", to_ms(self.at))


When = Cron | Every | Once


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch. Raises BadSchedule for a datetime without a zone."""
    if moment.tzinfo is None:
        raise BadSchedule("schedule", f"expected a date with a time zone; got {moment.isoformat()}. Add tzinfo, for example UTC.")
    return round(moment.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The UTC datetime of a count of milliseconds since the epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def iso(ms: int) -> str:
    """`2026-11-23T02:00:00Z`, with milliseconds only when there are any."""
    moment = from_ms(ms)
    text = moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.replace("+00:00", "Z")
