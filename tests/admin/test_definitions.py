"""Definitions reach the scheduler's index when they are saved, and again when Redis was away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from backbeat import conf
from backbeat.admin import calendars, definitions
from backbeat.admin.models import Backfill, Job, Omission, Removal, Run, Source
from backbeat.core.calendar import Calendar
from backbeat.core.job import JobSpec, Misfire, Overlap, Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron, Every, Once, from_ms, to_ms
from backbeat.errors import DefinitionError, NotAllowed, UnknownJob
from backbeat.store.store import open_store
from tests.support.servers import RedisServer

SPEC = JobSpec(
    name="reports.daily",
    task="reports.daily",
    schedules=(
        Schedule(Cron("30 2 * * *", tz="Europe/Berlin"), args=("a", 1), kwargs={"limit": 10}, jitter=2.5, max_runs=7),
        Schedule(Every("15m", anchor=datetime(2026, 1, 1, 0, 5, tzinfo=UTC)), key="often", start=1_790_000_000_000),
        Schedule(Once(datetime(2030, 1, 1, tzinfo=UTC)), key="then", enabled=False, end=1_990_000_000_000),
    ),
    pool="reports",
    priority=8,
    retry=Retry(3, cap="10m", on=("OSError",), give_up_on=("ValueError",)),
    timeout=1200.0,
    soft_timeout=1100.0,
    start_deadline=60.0,
    overlap=Overlap.QUEUE,
    misfire=Misfire.ALL,
    misfire_limit=5,
    misfire_window=3600.0,
    owner="team-x",
    labels={"tier": "1"},
    description="What it is for.",
)


def scheduled(ids: Sequence[str] = ("reports.daily", "reports.daily#often", "reports.daily#then")) -> set[str]:
    """Those of the schedules that the index will fire."""
    return {one for one, moment in open_store().index.next_times(ids).items() if moment is not None}


def test_a_definition_comes_back_as_it_was_saved(each_database: str, redis: RedisServer) -> None:
    definitions.save(SPEC, source=Source.IMPORT)

    job = Job.objects.get()
    assert (job.source, job.version) == ("import", 1)
    assert definitions.to_spec(job) == SPEC
    assert definitions.DatabaseDefinitions().names() == [SPEC.name]
    assert list(definitions.DatabaseDefinitions().specs([SPEC.name, "unknown"])) == [SPEC]


def test_saving_takes_effect_on_commit(each_database: str, redis: RedisServer) -> None:
    with transaction.atomic():
        definitions.save(SPEC)
        assert scheduled() == set()

    assert scheduled() == {"reports.daily", "reports.daily#often"}
    job = Job.objects.get()
    assert job.published_version == job.version == 1


def test_saving_the_same_again_changes_nothing(each_database: str, redis: RedisServer) -> None:
    definitions.save(SPEC)

    definitions.save(SPEC)

    assert Job.objects.get().version == 1


def test_a_schedule_taken_out_of_a_job_leaves_the_index(each_database: str, redis: RedisServer) -> None:
    definitions.save(SPEC)

    definitions.save(replace(SPEC, schedules=SPEC.schedules[:1]))

    assert scheduled() == {"reports.daily"}


def test_deleting_a_job_takes_it_out_of_the_index_and_keeps_its_history(each_database: str, redis: RedisServer) -> None:
    job = definitions.save(SPEC)
    Run.objects.create(run_id="reports.daily:1", job=job.name, state="succeeded", queued_at=timezone.now())

    definitions.delete(job)

    assert scheduled() == set()
    assert open_store().index.template_of("reports.daily") is None
    assert not Removal.objects.exists()
    assert Run.objects.count() == 1


def test_what_was_saved_while_redis_was_away_is_published_by_the_sweep(each_database: str, redis: RedisServer) -> None:
    definitions.save(replace(SPEC, name="old", schedules=SPEC.schedules[:1]))
    with conf.override(redis_url="unix:///nowhere/redis.sock?db=0"):
        definitions.save(SPEC)
        definitions.delete(Job.objects.get(name="old"))
    assert scheduled(["old"]) == {"old"}
    assert Job.objects.get().published_version == 0

    assert definitions.republish() == 1

    assert scheduled(["old", "reports.daily"]) == {"reports.daily"}
    assert definitions.republish() == 0


def test_a_job_made_again_under_a_deleted_name_stays_in_the_index(each_database: str, redis: RedisServer) -> None:
    definitions.save(SPEC)
    with conf.override(redis_url="unix:///nowhere/redis.sock?db=0"):
        definitions.delete(Job.objects.get())
    definitions.save(SPEC)

    definitions.republish()

    assert scheduled() == {"reports.daily", "reports.daily#often"}


def test_every_mistake_is_refused_in_one_error(each_database: str, redis: RedisServer) -> None:
    wrong = replace(SPEC, priority=11, pool="Ü", schedules=(Schedule(Cron("61 * * * *")), Schedule(Cron("0 0 30 2 *"))))

    with pytest.raises(DefinitionError) as caught:
        definitions.save(wrong)

    for word in ("9 is most urgent", "lower-case letters", "61", "30 2", "is there 2 times"):
        assert word in str(caught.value)
    assert not Job.objects.exists()


def test_an_unknown_job_is_answered_with_the_nearest_name(each_database: str, redis: RedisServer) -> None:
    definitions.save(SPEC)

    with pytest.raises(UnknownJob, match=r"no job is named 'reports.dayly'. Did you mean 'reports.daily'\?"):
        definitions.job_named("reports.dayly")


def test_a_disabled_job_does_not_fire(each_database: str, redis: RedisServer) -> None:
    job = definitions.save(SPEC)

    assert definitions.set_enabled(job, enabled=False)
    assert scheduled() == set()

    assert definitions.set_enabled(job, enabled=True)
    assert scheduled() == {"reports.daily", "reports.daily#often"}
    assert not definitions.set_enabled(job, enabled=True)


def test_a_pause_has_a_reason_and_an_actor_and_stops_the_fires(each_database: str, redis: RedisServer) -> None:
    job = definitions.save(SPEC)

    definitions.pause(job, reason="disk is full", actor="ann", until=timezone.now() + timedelta(hours=1))

    assert scheduled() == set()
    job.refresh_from_db()
    assert (job.paused_reason, job.paused_by, job.live) == ("disk is full", "ann", False)


@pytest.mark.parametrize(("reason", "until", "field"), [(" ", None, "reason"), ("why", timedelta(seconds=-1), "until")])
def test_a_pause_without_reason_or_with_an_end_in_the_past_is_refused(
    each_database: str, redis: RedisServer, reason: str, until: timedelta | None, field: str
) -> None:
    job = definitions.save(SPEC)

    with pytest.raises(DefinitionError) as caught:
        definitions.pause(job, reason=reason, actor="ann", until=until and timezone.now() + until)

    assert caught.value.field == field


def paused_for(job: Job, length: timedelta) -> Job:
    """The same job, with the clock of its pause turned back."""
    definitions.pause(job, reason="disk is full", actor="ann")
    Job.objects.filter(pk=job.pk).update(paused_at=timezone.now() - length)
    return Job.objects.get(pk=job.pk)


def test_what_fell_into_a_pause_is_counted_before_and_recorded_after_resuming(each_database: str, redis: RedisServer) -> None:
    job = paused_for(definitions.save(replace(SPEC, schedules=SPEC.schedules[1:2])), timedelta(hours=10))

    assert {one: gap.count for one, gap in definitions.missed_while_paused(job).items()} == {"reports.daily#often": 40}
    definitions.resume(job, actor="bob")

    omission = Omission.objects.get()
    assert (omission.schedule, omission.reason, omission.count, omission.actor) == ("reports.daily#often", "paused", 40, "bob")
    assert omission.note == "disk is full"
    assert scheduled() == {"reports.daily#often"}
    assert open_store().index.next_times(["reports.daily#often"])["reports.daily#often"] > to_ms(timezone.now())


def test_days_that_a_calendar_closes_do_not_fall_into_a_pause(each_database: str, redis: RedisServer) -> None:
    today = timezone.now().date()
    calendars.save(Calendar("closed", [(today - timedelta(days=3), today)]))
    daily = Schedule(Every("1d"), key="daily", calendar="closed")
    job = paused_for(definitions.save(replace(SPEC, schedules=(daily,))), timedelta(days=6))

    (gap,) = definitions.missed_while_paused(job).values()

    assert gap.count in (2, 3)
    assert from_ms(gap.last).date() == today - timedelta(days=4)


def test_what_fell_into_a_pause_may_be_left_to_the_misfire_policy(each_database: str, redis: RedisServer) -> None:
    job = paused_for(definitions.save(replace(SPEC, schedules=SPEC.schedules[1:2])), timedelta(hours=10))

    definitions.resume(job, actor="bob", afterwards="policy")

    due = open_store().index.next_times(["reports.daily#often"])["reports.daily#often"]
    assert due < to_ms(timezone.now() - timedelta(hours=9))
    assert not Omission.objects.exists()
    job.refresh_from_db()
    assert job.catch_up_from is None


@pytest.mark.parametrize(("afterwards", "runs"), [("last", 1), ("all", 40)])
def test_the_last_or_all_of_what_fell_into_a_pause_may_be_run_after_all(
    each_database: str, redis: RedisServer, afterwards: str, runs: int
) -> None:
    job = paused_for(definitions.save(replace(SPEC, schedules=SPEC.schedules[1:2])), timedelta(hours=10))

    definitions.resume(job, actor="bob", afterwards=afterwards)

    backfill = Backfill.objects.get()
    nominals = [slot.nominal for slot in backfill.slots.order_by("nominal")]
    assert (backfill.schedule, backfill.actor, len(nominals)) == ("reports.daily#often", "bob", runs)
    assert nominals[-1] == Omission.objects.get().last
    assert scheduled() == {"reports.daily#often"}


def test_a_pause_ends_by_itself(each_database: str, redis: RedisServer) -> None:
    job = definitions.save(SPEC)
    definitions.pause(job, reason="disk is full", actor="ann", until=timezone.now() + timedelta(hours=1))
    assert definitions.end_pauses() == []
    Job.objects.update(paused_until=timezone.now() - timedelta(seconds=1))

    assert definitions.end_pauses() == ["reports.daily"]

    assert scheduled() == {"reports.daily", "reports.daily#often"}
    assert definitions.end_pauses() == []


def test_the_newest_occurrence_known_to_history_is_told_per_schedule(each_database: str, redis: RedisServer) -> None:
    definitions.save(SPEC)
    now = timezone.now().replace(microsecond=0)
    for hours in (3, 1, 2):
        nominal = now - timedelta(hours=hours)
        run_id = f"reports.daily#often@{hours}"
        Run.objects.create(
            run_id=run_id, job="reports.daily", schedule="reports.daily#often", nominal=nominal, state="failed", queued_at=now
        )
    moments = {"first": now - timedelta(days=2), "last": now - timedelta(days=1)}
    Omission.objects.create(job="reports.daily", schedule="reports.daily", reason="misfire", **moments)

    assert definitions.DatabaseDefinitions().last_fires() == {
        "reports.daily#often": to_ms(now - timedelta(hours=1)),
        "reports.daily": to_ms(now - timedelta(days=1)),
    }


def test_a_hashed_schedule_is_hashed_from_its_own_id(each_database: str, redis: RedisServer) -> None:
    hashed = replace(SPEC, schedules=(Schedule(Cron("H H * * *"), key="x"), Schedule(Cron("0 4 * * THU"), key="y")))

    spec = definitions.to_spec(definitions.save(hashed))

    assert [schedule.when.hash_key for schedule in spec.schedules] == ["reports.daily#x", ""]


def test_a_job_of_the_code_can_not_be_deleted_by_hand(each_database: str, redis: RedisServer) -> None:
    definitions.sync_from_code([SPEC])

    with pytest.raises(NotAllowed, match="defined in code"):
        definitions.delete(Job.objects.get())
