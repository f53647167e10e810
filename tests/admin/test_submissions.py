"""The outbox in the database: what was certainly sent is not sent again, whatever the ledger has forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from backbeat import submit
from backbeat.admin import definitions
from backbeat.admin.models import Run, Submission
from backbeat.admin.submissions import send_waiting
from backbeat.core.state import RunState
from backbeat.errors import UnknownJob
from backbeat.store.store import open_store
from tests.admin.pages import SPEC
from tests.support.servers import RedisServer

RUN = "reports.daily:asked"
QUEUE = f"{SPEC.pool}.p{SPEC.priority}"


@pytest.fixture(autouse=True)
def asked(transactional_db: None, redis: RedisServer) -> None:
    definitions.save(SPEC)
    submit("reports.daily", kwargs={"limit": 1}, key="asked", on_commit=True)
    assert queued() == 1


def queued() -> int:
    return open_store().slots.client.llen(QUEUE)


def later(**age: timedelta) -> None:
    Submission.objects.update(**{name: timezone.now() - by for name, by in age.items()})


def end_run() -> None:
    ledger = open_store().ledger
    ledger.finish(RUN, "w", ledger.claim(RUN, "w", 30, "w1").attempt, RunState.SUCCEEDED, {})


def test_what_redis_lost_within_its_last_second_is_sent_once_more(redis: RedisServer) -> None:
    keys = open_store().slots.of(RUN)
    open_store().slots.client.delete(keys.run(RUN), keys.timers, QUEUE)
    later(sent_at=timedelta(seconds=11))

    assert send_waiting() == 1

    assert (queued(), Submission.objects.count()) == (1, 0)


def test_what_redis_still_knows_stays_one_run() -> None:
    end_run()
    later(sent_at=timedelta(seconds=11))

    assert send_waiting() == 1

    assert (queued(), Submission.objects.count()) == (1, 0)


def test_what_was_sent_longer_ago_than_a_key_is_remembered_is_not_sent_again() -> None:
    end_run()
    open_store().slots.client.delete(open_store().slots.of(RUN).prefix + "done:" + RUN)
    later(sent_at=timedelta(days=2), asked_at=timedelta(days=2))

    assert send_waiting() == 1

    assert (queued(), Submission.objects.count()) == (1, 0)


def test_where_nobody_knows_whether_it_was_sent_history_decides() -> None:
    end_run()
    open_store().slots.client.delete(open_store().slots.of(RUN).prefix + "done:" + RUN)
    later(asked_at=timedelta(days=2))
    Submission.objects.update(sent_at=None)

    assert send_waiting() == 0, "history has not caught up"
    Run.objects.create(run_id=RUN, state="succeeded", queued_at=timezone.now())
    assert send_waiting() == 1

    assert (queued(), Submission.objects.count()) == (1, 0)


def test_a_job_that_is_not_defined_is_refused_without_asking_redis() -> None:
    with pytest.raises(UnknownJob, match=r"no job is named 'reports.dayly'"):
        submit("reports.dayly", on_commit=True)
