"""Calendars between the database, where they are edited, and Redis, where the schedulers read them."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet

from backbeat.admin.models import Calendar, Job, Source
from backbeat.admin.publishing import now_or_later, put_anew
from backbeat.core.calendar import Calendar as CoreCalendar
from backbeat.core.job import JobSpec
from backbeat.errors import BackbeatError, DefinitionError, NotAllowed
from backbeat.store.store import open_store


def known() -> dict[str, CoreCalendar]:
    """Every calendar by its name; one that can't be read is as good as absent."""
    found = {}
    for row in Calendar.objects.all():
        try:
            found[row.name] = row.core
        except BackbeatError:
            continue
    return found


def users_of(name: str) -> QuerySet[Job]:
    """The jobs with a schedule that names this calendar."""
    return Job.objects.filter(schedules__calendar=name).distinct()


@transaction.atomic
def save(calendar: CoreCalendar, *, description: str = "", source: str = Source.ADMIN) -> Calendar:
    """Store a calendar; the schedulers know it within a second of the commit. Raises NotAllowed for one that the code owns."""
    row = Calendar.objects.select_for_update().filter(name=calendar.name).first() or Calendar(name=calendar.name)
    if row.pk and row.source == Source.CODE and source != Source.CODE:
        raise NotAllowed(f"calendar {calendar.name!r} is defined in code; change it there.")
    same = row.pk and (row.core, row.source) == (calendar, source)
    if same and row.description == description:
        return row
    if not same:
        row.days = "\n".join(calendar.days)
    row.tz, row.description, row.source = calendar.tz, description, source
    row.save()
    publish_later()
    return row


@transaction.atomic
def delete(row: Calendar) -> None:
    """Remove a calendar. Raises NotAllowed while a schedule names it, or while the code would bring it back."""
    if row.source == Source.CODE:
        raise NotAllowed(f"calendar {row.name!r} is defined in code; remove it there.")
    if jobs := list(users_of(row.name).values_list("name", flat=True)[:5]):
        raise NotAllowed(f"calendar {row.name!r} is named by schedules of {', '.join(jobs)}; take it off them first.")
    row.delete()
    publish_later()


def publish_later() -> None:
    """Tell the schedulers when the current transaction commits; a keeper does it while Redis is away."""
    transaction.on_commit(lambda: now_or_later(publish, "the calendars"))


def publish() -> int:
    """Make Redis hold what the database holds, and let go what waited for a calendar; how many changed.

    Raises redis' errors when it is away.
    """
    store = open_store()
    changed = store.calendars.write(known().values())
    waiting = set(store.index.parked()) if changed else set()
    if waiting:
        for job in Job.objects.filter(schedules__calendar__in=changed).distinct().prefetch_related("schedules"):
            if any(str(schedule) in waiting for schedule in job.schedules.all()):
                put_anew(job)
    return len(changed)


def follow_code(specs: Iterable[JobSpec]) -> list[tuple[str, str]]:
    """Store the calendars that schedules of the code bring along; (job, sentence) for each that can't be taken."""
    taken: dict[str, CoreCalendar] = {}
    refused = []
    for spec in specs:
        for calendar in [one.calendar for one in spec.schedules if isinstance(one.calendar, CoreCalendar)]:
            if taken.setdefault(calendar.name, calendar) != calendar:
                sentence = f"two calendars are named {calendar.name!r}, and they differ; give one another name."
                refused.append((spec.name, str(DefinitionError("calendar", sentence))))
    for calendar in taken.values():
        row = Calendar.objects.filter(name=calendar.name).first()
        save(calendar, description=row.description if row else "", source=Source.CODE)
    # What the code gave up is the operators' from now on; schedules may still name it.
    Calendar.objects.filter(source=Source.CODE).exclude(name__in=taken).update(source=Source.ADMIN)
    return refused
