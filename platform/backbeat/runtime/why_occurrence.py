"""What is known of one moment of a schedule, for whoever asks why nothing ran then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from backbeat.core import entry as entries
from backbeat.core import why_facts as facts
from backbeat.core.calendar import Fate
from backbeat.core.entry import Timing, offset
from backbeat.core.hashed import hashed
from backbeat.core.job import JobSpec
from backbeat.core.occurrence import last_before
from backbeat.core.when import to_ms
from backbeat.errors import BackbeatError
from backbeat.store.store import Store


def occurrence_of(
    store: Store, spec: JobSpec | None, identity: str, omission: Callable[[str, int], facts.Omission | None]
) -> facts.Occurrence | None:
    """The occurrence that an id names; None when it names none, or its schedule is unknown and nothing is recorded."""
    schedule_id, nominal = parted(identity)
    if nominal is None:
        return None
    timing, recorded = timing_of(store, spec, schedule_id), omission(schedule_id, nominal)
    if timing is None:
        return facts.Occurrence(schedule_id, nominal, nominal, real=False, omission=recorded)
    return _occurrence(store, schedule_id, timing, nominal, recorded)


def next_of(store: Store, spec: JobSpec | None, now: int) -> facts.Occurrence | None:
    """The next occurrence over all enabled schedules of a job."""
    found = []
    for schedule in spec.schedules if spec is not None else ():
        schedule_id = spec.schedule_id(schedule) if spec is not None else ""
        timing = timing_of(store, spec, schedule_id) if schedule.enabled else None
        if timing is not None and (moment := timing.fires_after(now)) is not None:
            found.append(_occurrence(store, schedule_id, timing, moment, None))
    return min(found, key=lambda one: one.effective, default=None)


def parted(identity: str) -> tuple[str, int | None]:
    """Schedule id and nominal time (epoch ms) of an occurrence's id; None for an id that names no moment."""
    schedule_id, _, text = identity.partition("@")
    try:
        return schedule_id, to_ms(datetime.fromisoformat(text))
    except (ValueError, BackbeatError):
        return identity, None


def timing_of(store: Store, spec: JobSpec | None, schedule_id: str) -> Timing | None:
    """When a schedule is due: as defined, else as the index has it."""
    for schedule in spec.schedules if spec is not None else ():
        if spec is not None and spec.schedule_id(schedule) == schedule_id:
            return Timing.of(schedule, hashed(schedule.when, schedule_id), store.calendars.known())
    record = store.slots.client.hget(store.slots.of(schedule_id).entries, schedule_id)
    try:
        return None if record is None else entries.read(schedule_id, str(record), store.calendars.known).timing
    except BackbeatError:
        return None


def _occurrence(
    store: Store, schedule_id: str, timing: Timing, nominal: int, omission: facts.Omission | None
) -> facts.Occurrence:
    keys = store.slots.of(schedule_id)
    place = store.index.next_times([schedule_id])[schedule_id]
    real = timing.next(nominal - 1) == nominal
    return facts.Occurrence(
        schedule=schedule_id,
        nominal=nominal,
        effective=nominal + offset(schedule_id, timing.jitter),
        real=real,
        before=None if real else last_before(timing.when, nominal),
        after=None if real else timing.next(nominal),
        place=place,
        calendar=timing.calendar,
        closed="" if timing.days is None or timing.fate(nominal) is Fate.FIRES else timing.fate(nominal).value,
        parked=str(store.slots.client.hget(keys.parked, schedule_id) or ""),
        omission=omission,
    )
