"""An entry of another Celery beat, in Celery's words, made into a job of ours. The importers of RedBeat and
django-celery-beat differ only in where they read these words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backbeat.core.celery_options import Options
from backbeat.core.check import verify
from backbeat.core.foreign import plain_name
from backbeat.core.job import NAME, POOL, JobSpec, Overlap, Schedule
from backbeat.core.notes import notes
from backbeat.core.occurrence import next_after
from backbeat.core.taking import Names, Refused, Taken
from backbeat.core.when import Once, When, from_ms, iso
from backbeat.errors import DefinitionError

_OURS = re.compile(r"^(?P<pool>.+)\.p(?P<priority>[0-9])$")
_CELERYS_OWN = "celery"
"""What Celery calls its queue when nobody named one."""
NORMAL = 5


@dataclass(frozen=True, slots=True)
class Moving:
    """How entries are taken over. `now` is epoch ms; `pools` says which queue becomes which pool."""

    source: str
    now: int
    prefix: str = ""
    pools: Mapping[str, str] = field(default_factory=dict)
    zero_first: bool = False
    """Whether 0 was the most urgent priority, as on Redis."""


@dataclass(frozen=True, slots=True)
class OldEntry:
    """One entry. Times are epoch ms; `last` and `count` are what the old scheduler remembers of its fires."""

    name: str
    task: str
    when: When
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    enabled: bool = True
    last: int | None = None
    count: int = 0
    start: int | None = None
    saved: int | None = None
    """When it was last saved."""
    once: bool = False
    """Whether it ends itself after one run."""
    description: str = ""
    remarks: tuple[str, ...] = ()


def take(entry: OldEntry, how: Moving, names: Names, text: str) -> Taken | Refused:
    """The job of one entry. A name is used up even by an entry that is refused, so that mending it renames no other."""
    name = names.free(_name(entry, how))
    try:
        spec = verify(_spec(entry, how, name))
    except DefinitionError as error:
        return Refused(entry.name, text, error.sentence if error.field == "schedule" else str(error))
    return Taken(entry.name, text, spec, (*entry.remarks, *_remarks(entry, how, spec)), _since(entry))


def _name(entry: OldEntry, how: Moving) -> str:
    name = (how.prefix + entry.name)[:150]
    return name if NAME.match(name) else plain_name(name)[:140]


def _spec(entry: OldEntry, how: Moving, name: str) -> JobSpec:
    options, ran = entry.options, entry.once and entry.count > 0
    when = _once(entry, how.now) if entry.once else entry.when
    pool, priority = _place(options, how)
    labels = {"imported": how.source} | ({"runs_before": str(entry.count)} if entry.count else {})
    return JobSpec(
        name=name,
        task=entry.task,
        schedules=(Schedule(when, args=entry.args, kwargs=entry.kwargs, start=entry.start, end=options.end),),
        pool=pool,
        priority=priority,
        timeout=options.timeout,
        soft_timeout=options.soft_timeout,
        start_deadline=options.expires,
        # A beat never looks whether the run before has ended.
        overlap=Overlap.ALLOW,
        enabled=entry.enabled and not ran,
        labels=labels,
        description=entry.description or f"Imported from {how.source}: {entry.name}",
    )


def _once(entry: OldEntry, now: int) -> When:
    """The one moment at which an entry that ends itself would run."""
    if isinstance(entry.when, Once):
        return entry.when
    # Counted from what does not change, so that the same import again finds the same moment.
    since = next(moment for moment in (entry.last, entry.saved, now) if moment is not None)
    moment = next_after(entry.when, max(since, (entry.start or 0) - 1))
    return entry.when if moment is None else Once(from_ms(moment))


def _since(entry: OldEntry) -> int | None:
    if entry.last is not None:
        return entry.last
    # Its one moment may have passed while its scheduler was down: then it runs late, as it would there.
    if entry.once and not entry.count:
        return entry.when.ms - 1 if isinstance(entry.when, Once) else entry.saved
    return None


def _place(options: Options, how: Moving) -> tuple[str, int]:
    """Pool and priority of a queue. Raises DefinitionError for a pool that can't be one."""
    queue, priority = options.queue or "", NORMAL
    if queue in how.pools:
        pool = how.pools[queue]
    elif found := _OURS.match(queue):
        pool, priority = found["pool"], int(found["priority"])
    else:
        pool = queue if POOL.match(queue) and queue != _CELERYS_OWN else "default"
    if options.priority is not None:
        urgent = min(options.priority, 9)
        priority = 9 - urgent if how.zero_first else urgent
    return pool, priority


def _remarks(entry: OldEntry, how: Moving, spec: JobSpec) -> Iterator[str]:
    options = entry.options
    if spec.name != how.prefix + entry.name:
        yield f"A job's name holds letters, digits, '_', '-' and '.' only, so this one is called {spec.name!r}."
    yield from _remarks_on_queue(options, how, spec)
    if options.headers:
        yield f"Headers are not kept ({', '.join(map(str, options.headers))}): hand the values over as arguments."
    if entry.once and spec.enabled and isinstance(when := spec.schedules[0].when, Once):
        late = when.ms <= how.now
        yield f"It runs once, {f'at once, since its moment {iso(when.ms)} has passed' if late else f'at {iso(when.ms)}'}."
    if entry.once and entry.count:
        yield "It was to run once and has run, so it is disabled."
    yield from notes(spec.schedules[0].when)


def _remarks_on_queue(options: Options, how: Moving, spec: JobSpec) -> Iterator[str]:
    queue = options.queue
    if queue and queue not in how.pools and queue != _CELERYS_OWN and not _OURS.match(queue) and not POOL.match(queue):
        yield f"The queue {queue!r} can't be a pool's name, so it goes to {spec.pool!r}. Say which by --queue {queue}=POOL."
    if options.exchange or options.routing_key:
        said = " and ".join(f"{name} {value!r}" for name in ("exchange", "routing_key") if (value := getattr(options, name)))
        yield f"{said[0].upper()}{said[1:]} are not kept: a job goes to the queue of its pool and priority."
    if spec.pool != "default":
        yield f"A worker has to serve the pool {spec.pool!r}: backbeat worker --pool {spec.pool}."
