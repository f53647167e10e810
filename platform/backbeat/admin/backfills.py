"""Backfills: what one would do, ordering it, and pausing, resuming or cancelling it. The CLI and the admin call these."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, close_old_connections, transaction
from django.db.models import Count, F, OuterRef, Subquery

from backbeat.admin import clock
from backbeat.admin.models import Backfill, BackfillSlot, Job, Run
from backbeat.admin.publishing import to_spec
from backbeat.core import backfill as core
from backbeat.core.backfill import Act, Had, Mode, Slot, Stage
from backbeat.core.entry import Timing, offset
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.keys import occurrence_id, retried_id
from backbeat.core.message import arguments_of
from backbeat.core.state import RunState
from backbeat.core.when import from_ms, iso, to_ms
from backbeat.core.zone import load
from backbeat.errors import DefinitionError, NotAllowed, UnknownJob, UnknownRun, nearest
from backbeat.runtime.backfill import DROPPED, Asked, Order
from backbeat.runtime.dag_start import dag_named
from backbeat.store.events import oldest
from backbeat.store.store import Store, open_store

MEASURED = 100
"""The estimate is the mean of so many of the newest runs."""
PATIENCE = 5.0
"""Seconds to wait for history to have everything."""
_CHUNK = 500
MOST_AT_ONCE = 1_000


@dataclass(frozen=True)
class Wish:
    """What somebody asks for. `since` and `until` are naive (a wall clock in the schedule's zone) or have a zone."""

    since: datetime
    until: datetime | None = None
    """The first moment that does not belong to it; None: now."""
    schedule: str = ""
    """The key of a schedule; needed only where a job has several."""
    mode: Mode = Mode.MISSING
    backwards: bool = False
    at_once: int = 2


@dataclass(frozen=True)
class Planned:
    """What a backfill would do: its slots oldest first, and the seconds that a run took on average, if any was measured."""

    job: Job
    schedule_id: str
    wish: Wish
    since: int
    until: int
    slots: tuple[Slot, ...]
    each: float | None
    arguments: str
    at_once: int
    """As wished for, or fewer: a DAG run of ours may not keep a live one from its turn."""

    @property
    def to_create(self) -> list[Slot]:
        """The slots that become runs, in their order."""
        found = [slot for slot in self.slots if slot.act is Act.CREATE]
        return found[::-1] if self.wish.backwards else found

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many there are by act and reason."""
        return core.counts(self.slots)

    @property
    def seconds(self) -> float | None:
        """How long it would take; None when no run was ever measured."""
        return core.estimate(len(self.to_create), self.each, self.at_once)


def plan(job: Job, wish: Wish) -> Planned:
    """What a backfill would do; changes nothing. Raises DefinitionError for a range or schedule that does not exist."""
    spec, store = to_spec(job), open_store()
    schedule = _schedule(spec, wish.schedule)
    if not 1 <= wish.at_once <= MOST_AT_ONCE:
        raise DefinitionError("at once", f"expected 1 to {MOST_AT_ONCE:,} runs at a time; got {wish.at_once}.")
    schedule_id, timing = spec.schedule_id(schedule), Timing.of(schedule, calendars=store.calendars.known())
    zone = getattr(schedule.when, "tz", "UTC")
    since = _instant(wish.since, zone)
    until = store.slots.now_ms() if wish.until is None else _instant(wish.until, zone)
    if since >= until:
        raise DefinitionError("range", f"expected the end after the beginning; got {iso(since)} to {iso(until)}.")
    moments = core.occurrences(timing, since, until)
    had = dict(_had(store, job.name, schedule_id, moments, deep=wish.mode is not Mode.MISSING))
    slots = tuple(core.slots(schedule_id, timing, moments, had, wish.mode, _horizon(store, job, schedule_id, timing)))
    arguments = arguments_of(schedule.args, schedule.kwargs)
    return Planned(
        job, schedule_id, wish, since, until, slots, _measured(job.name), arguments, _lane(store, job.name, wish.at_once)
    )


def order(job: Job, wish: Wish, *, actor: str, reason: str = "") -> Backfill:
    """Order what `plan` says, worked out anew once history has everything. A keeper carries it out.

    Raises DefinitionError, and NotAllowed when nothing needs a run, when another backfill of the schedule is not over, or
    when history lags behind.
    """
    _caught_up(open_store(), job.name)
    planned = plan(job, wish)
    if not planned.to_create:
        raise NotAllowed(
            f"no occurrence from {iso(planned.since)} to {iso(planned.until)} needs a run; `backfill plan` says why."
        )
    left_out = {act: whys for act, whys in planned.counts.items() if act != Act.CREATE and whys}
    try:
        return _saved(planned, left_out, actor, reason)
    except IntegrityError:
        other = Backfill.objects.filter(schedule=planned.schedule_id, state__in=core.OPEN).first()
        name = f"backfill {other.pk}" if other else "another backfill"
        raise NotAllowed(f"{name} of {planned.schedule_id} is not over yet. Wait for it, or cancel it first.") from None


@transaction.atomic
def ask(pk: int, verb: str, *, actor: str, reason: str = "") -> Backfill:
    """Pause (what runs goes on), resume, or cancel (what runs is stopped too); asked twice it is done once.

    Raises UnknownRun, or NotAllowed when the backfill is over.
    """
    found = Backfill.objects.select_for_update().filter(pk=pk).first()
    if found is None:
        raise UnknownRun(f"there is no backfill {pk}; see `backbeat backfill ls`.")
    try:
        stage = core.after(verb, Stage(found.state))
    except KeyError:
        raise NotAllowed(f"backfill {pk} is {found.state}, so `{verb}` does nothing for it.") from None
    if stage is None:
        return found
    if stage is Stage.CANCELLING:
        found.slots.filter(state=BackfillSlot.WAITING).update(state=DROPPED)
    found.state = stage.value
    found.deeds = [*found.deeds, _deed(actor, verb, reason)]
    found.save(update_fields=["state", "deeds"])
    return found


def progress(found: Backfill) -> dict[str, int]:
    """How many of its slots are in which state."""
    return dict(found.slots.order_by().values_list("state").annotate(Count("pk")))


class DatabaseBackfills:
    """The Backfills port."""

    def open(self) -> Sequence[Order]:
        """Those that are not over."""
        close_old_connections()
        return [
            Order(one.pk, one.job, one.schedule, Stage(one.state), one.at_once, one.arguments, one.reason)
            for one in Backfill.objects.filter(state__in=core.OPEN).order_by("pk")
        ]

    def asked(self, order: Order) -> Sequence[Asked]:
        """With the end that history knows."""
        ended = Run.objects.filter(run_id=OuterRef("run_id"), finished_at__isnull=False)
        rows = BackfillSlot.objects.filter(backfill=order.id, state=BackfillSlot.ASKED).annotate(
            ended=Subquery(ended.values("state")[:1])
        )
        return [Asked(row.run_id, to_ms(row.nominal), RunState(row.ended) if row.ended else None) for row in rows]

    def end(self, order: Order, ends: Mapping[str, str]) -> None:
        """Each slot once."""
        for run_id, state in ends.items():
            BackfillSlot.objects.filter(backfill=order.id, run_id=run_id, state=BackfillSlot.ASKED).update(state=state)

    @transaction.atomic
    def take(self, order: Order, at_once: int) -> Sequence[Asked]:
        """The update comes first: it holds the row on PostgreSQL and the whole file on SQLite until the slots are marked."""
        if not Backfill.objects.filter(pk=order.id, state=Stage.RUNNING).update(turns=F("turns") + 1):
            return ()
        slots = BackfillSlot.objects.filter(backfill=order.id)
        room = at_once - slots.filter(state=BackfillSlot.ASKED).count()
        if room <= 0:
            return ()
        backwards = Backfill.objects.values_list("backwards", flat=True).get(pk=order.id)
        chosen = list(slots.filter(state=BackfillSlot.WAITING).order_by("-nominal" if backwards else "nominal")[:room])
        slots.filter(pk__in=[slot.pk for slot in chosen]).update(state=BackfillSlot.ASKED)
        return [Asked(slot.run_id, to_ms(slot.nominal)) for slot in chosen]

    def close(self, order: Order) -> bool:
        """Done when no slot waits and none is asked for."""
        if order.stage is Stage.PAUSED:
            return False
        if BackfillSlot.objects.filter(backfill=order.id, state__in=[BackfillSlot.WAITING, BackfillSlot.ASKED]).exists():
            return False
        then = Stage.CANCELLED if order.stage is Stage.CANCELLING else Stage.DONE
        return bool(Backfill.objects.filter(pk=order.id, state=order.stage).update(state=then, finished_at=clock.now()))


@transaction.atomic
def _saved(planned: Planned, left_out: dict[str, dict[str, int]], actor: str, reason: str) -> Backfill:
    made = Backfill.objects.create(
        job=planned.job.name,
        schedule=planned.schedule_id,
        since=from_ms(planned.since),
        until=from_ms(planned.until),
        mode=planned.wish.mode.value,
        backwards=planned.wish.backwards,
        at_once=planned.at_once,
        arguments=planned.arguments,
        left_out=left_out,
        estimate=planned.seconds,
        actor=actor,
        reason=reason,
        deeds=[_deed(actor, "order", reason)],
    )
    rows = (
        BackfillSlot(backfill=made, nominal=from_ms(slot.nominal), run_id=slot.run_id, why=slot.why) for slot in planned.to_create
    )
    BackfillSlot.objects.bulk_create(rows, batch_size=_CHUNK)
    return made


def _deed(actor: str, verb: str, reason: str) -> dict[str, str]:
    return {"at": clock.now().isoformat(), "actor": actor, "verb": verb, "reason": reason}


def _schedule(spec: JobSpec, key: str) -> Schedule:
    by_key = {schedule.key: schedule for schedule in spec.schedules}
    if not by_key:
        raise DefinitionError("schedule", f"job {spec.name!r} has no schedule, so it has no occurrences. Run it by hand instead.")
    if not key and len(by_key) == 1:
        return next(iter(by_key.values()))
    if key not in by_key:
        told = ", ".join(sorted(filter(None, by_key)))
        raise DefinitionError("schedule", f"expected one of {told}; got {key or 'none'}.{nearest(key, by_key)}")
    return by_key[key]


def _instant(moment: datetime, zone: str) -> int:
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=load(zone)))


def _horizon(store: Store, job: Job, schedule_id: str, timing: Timing) -> int:
    """The first nominal time (epoch ms) that is still the scheduler's affair: it may fire it, or catch it up after a pause."""
    held = job.paused_at or job.catch_up_from
    if held is not None:
        return to_ms(held) + 1
    now, due = store.slots.now_ms(), store.index.next_times([schedule_id])[schedule_id]
    if not job.live or due is None:
        return now
    return min(now, due - offset(schedule_id, timing.jitter))


def _lane(store: Store, job: str, at_once: int) -> int:
    """Of the runs that a DAG may have under way one place stays free for live ones, where there is more than one."""
    try:
        graph = dag_named(store, job)
    except UnknownJob:
        return at_once
    return min(at_once, max(1, graph.max_active - 1))


def _had(store: Store, job: str, schedule_id: str, moments: Sequence[int], *, deep: bool) -> Iterator[tuple[int, Had]]:
    """The last run of each occurrence; `deep` follows retries, which needs no asking where any run will do."""
    look: dict[str, int] = {occurrence_id(schedule_id, moment): moment for moment in moments}
    while look:
        # In this order: a run that leaves the ledger between the two looks has ended, and history's word is the later one.
        states = {**_unfinished(store, list(look)), **_recorded(list(look))}
        yield from ((look[run_id], Had(run_id, state)) for run_id, state in states.items())
        look = {retried_id(run_id, job): look[run_id] for run_id in states} if deep else {}


def _unfinished(store: Store, run_ids: list[str]) -> dict[str, RunState]:
    return {run_id: state for chunk in _chunks(run_ids) for run_id, state in store.ledger.states(chunk).items()}


def _recorded(run_ids: list[str]) -> dict[str, RunState]:
    return {
        run_id: RunState(state)
        for chunk in _chunks(run_ids)
        for run_id, state in Run.objects.filter(run_id__in=chunk).values_list("run_id", "state")
    }


def _chunks(run_ids: list[str]) -> Iterator[list[str]]:
    return (run_ids[at : at + _CHUNK] for at in range(0, len(run_ids), _CHUNK))


def _measured(job: str) -> float | None:
    newest = Run.objects.filter(job=job, state=RunState.SUCCEEDED, started_at__isnull=False).order_by("-queued_at")
    took = newest.values_list("started_at", "finished_at")[:MEASURED]
    lengths = [(end - start).total_seconds() for start, end in took if start is not None and end is not None]
    return sum(lengths) / len(lengths) if lengths else None


def _caught_up(store: Store, job: str) -> None:
    """Wait until history has all that has happened to the job by now, so that a run that just ended is not made again."""
    now, patience = store.slots.now_ms(), time.monotonic() + PATIENCE
    while (first := oldest(store.slots, job)) is not None and first <= now:
        if time.monotonic() > patience:
            raise NotAllowed("history does not have everything yet, so what is missing can't be told. Is a keeper running?")
        time.sleep(0.05)
