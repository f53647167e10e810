"""When a schedule is due, as data. What these words mean in time is decided in `core/occurrence.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from backbeat.core.dialect import BY_NAME, dialect_of
from backbeat.core.duration import seconds, words
from backbeat.errors import BadSchedule, nearest

GAP_POLICIES = ("shift", "skip")
OVERLAP_POLICIES = ("first", "both", "last")
DAY_POLICIES = ("dialect", "either", "both")
DIALECTS = tuple(BY_NAME)
_TWILIGHTS = ("civil", "nautical", "astronomical")
SOLAR_EVENTS = (
    "sunrise",
    "solar_noon",
    "sunset",
    *(f"{kind}_{twilight}" for kind in ("dawn", "dusk") for twilight in _TWILIGHTS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in an IANA zone. The default dialect is Debian cron's (`vixie`).

    `gap` and `fold` say what a fixed time does when the clock jumps over it or shows it twice; empty means what the
    dialect does (Debian: shift, first). `days` overrules how the dialect joins day of month and weekday. `hash_key` is
    what `H` is hashed from, usually the schedule's id. Raises BadSchedule for an unknown dialect or policy; the
    expression itself is read by `occurrence.check`.
    """

    expr: str
    tz: str = "UTC"
    dialect: str = "vixie"
    gap: str = ""
    fold: str = ""
    days: str = "dialect"
    hash_key: str = ""

    def __post_init__(self) -> None:
        for name, text in (("schedule", self.expr), ("tz", self.tz)):
            if not isinstance(text, str):
                raise BadSchedule(name, f"expected text; got {text!r}.")
        row = dialect_of(self.dialect)
        object.__setattr__(self, "dialect", row.name)
        object.__setattr__(self, "gap", _one_of("gap", self.gap or row.gap, GAP_POLICIES))
        object.__setattr__(self, "fold", _one_of("fold", self.fold or row.fold, OVERLAP_POLICIES))
        _one_of("days", self.days, DAY_POLICIES)


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
        object.__setattr__(self, "anchor", from_ms(self.anchor_ms) if self.anchor_ms else None)


@dataclass(frozen=True, slots=True)
class Once:
    """One moment. A datetime without a zone is refused, because it names a different moment on every machine."""

    at: datetime
    ms: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ms", to_ms(self.at))
        object.__setattr__(self, "at", from_ms(self.ms))


@dataclass(frozen=True, slots=True)
class RRule:
    """An iCalendar rule (RFC 5545) from a start in an IANA zone: `RRule("FREQ=WEEKLY;BYDAY=MO", start=…, tz="Europe/Berlin")`.

    `start` is the rule's DTSTART, and the first occurrence when the rule matches it. Rules by the hour or finer follow
    elapsed time when the clock jumps; `gap` and `fold` are for the others, as with Cron.
    """

    rule: str
    start: datetime
    tz: str = "UTC"
    gap: str = "shift"
    fold: str = "first"

    def __post_init__(self) -> None:
        _one_of("gap", self.gap, GAP_POLICIES)
        _one_of("fold", self.fold, OVERLAP_POLICIES)
        object.__setattr__(self, "start", from_ms(to_ms(self.start) // 1000 * 1000))


@dataclass(frozen=True, slots=True)
class Solar:
    """An event of the sun at a place, as Celery's `solar`: `Solar("sunset", lat=52.5, lon=13.4)`, degrees north and east."""

    event: str
    lat: float
    lon: float

    def __post_init__(self) -> None:
        _one_of("event", self.event, SOLAR_EVENTS)
        for name, value, limit in (("lat", self.lat, 90), ("lon", self.lon, 180)):
            if not -limit <= value <= limit:
                raise BadSchedule(name, f"expected degrees from -{limit} to {limit}; got {value!r}.")


When = Cron | Every | Once | RRule | Solar


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise BadSchedule(name, f"expected one of {', '.join(known)}; got {value!r}.{nearest(value, known)}")
    return value


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


def to_text(when: When) -> str:
    """One line that `from_text` reads back: `cron|Europe/Berlin|30 2 * * *`, `every|300000|0`, `once|1700000000000`.

    What differs from the dialect's own ways follows as `|name=value`.
    """
    match when:
        case Every():
            return f"every|{when.ms}|{when.anchor_ms}"
        case Once():
            return f"once|{when.ms}"
        case Solar():
            return f"solar|{when.event}|{when.lat!r}|{when.lon!r}"
        case RRule():
            head = ["rrule", _quoted(when.tz), str(to_ms(when.start)), _quoted(when.rule)]
            return "|".join([*head, *_changed(when, RRule(when.rule, when.start, when.tz), ("gap", "fold"))])
    usual = Cron(when.expr, when.tz, when.dialect)
    dialect = [f"dialect={when.dialect}"] if when.dialect != "vixie" else []
    return "|".join(
        ["cron", _quoted(when.tz), _quoted(when.expr), *dialect, *_changed(when, usual, ("gap", "fold", "days", "hash_key"))]
    )


def _changed(when: When, usual: When, names: tuple[str, ...]) -> list[str]:
    return [f"{name}={_quoted(value)}" for name in names if (value := getattr(when, name)) != getattr(usual, name)]


def from_text(text: str) -> When:
    """The schedule of a line that `to_text` wrote. Raises BadSchedule for anything else."""
    kind, *parts = text.split("|")
    try:
        match kind, parts:
            case "every", [length, anchor]:
                return Every(timedelta(milliseconds=int(length)), from_ms(int(anchor)))
            case "once", [ms]:
                return Once(from_ms(int(ms)))
            case "cron", [tz, expr, *extras]:
                return Cron(_plain(expr), _plain(tz), **_named(extras))
            case "rrule", [tz, start, rule, *extras]:
                return RRule(_plain(rule), _moment(start), _plain(tz), **_named(extras))
            case "solar", [event, lat, lon]:
                return Solar(event, float(lat), float(lon))
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise BadSchedule("schedule", f"expected a line as Backbeat writes it; got {text!r} ({error}).") from error
    raise BadSchedule("schedule", f"expected a line that starts with cron|, every|, once|, rrule| or solar|; got {text!r}.")


def _moment(text: str) -> datetime:
    """Milliseconds as `to_text` writes them, or a date as a person does."""
    return from_ms(int(text)) if text.lstrip("-").isdecimal() else datetime.fromisoformat(text)


def _named(extras: list[str]) -> dict[str, str]:
    return {name: _plain(value) for name, value in (extra.split("=", 1) for extra in extras)}


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C")


def _plain(text: str) -> str:
    return text.replace("%7C", "|").replace("%25", "%")
