"""A run that no worker can do is left to others for a while, and then has failed with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery.app.task import Context
from celery.exceptions import Ignore, NotRegistered

from backbeat import conf
from backbeat.core.template import Template
from backbeat.runtime.claims import LONGEST_PAUSE, PUT_OFF_LIMIT, claimed, leave_to_another, put_off
from backbeat.store.ledger import Waiting
from backbeat.store.store import Store, open_store

pytestmark = pytest.mark.redis
RUN = "jobs.pay:a"


@pytest.fixture
def store(redis_url: str, redis_broker_url: str) -> Iterator[Store]:
    with conf.override(redis_url=redis_url, broker_url=redis_broker_url):
        yield open_store()


def submit(store: Store) -> Context:
    template = Template("jobs.pay")
    store.index.keep_template(RUN, template, template.task)
    store.ledger.submit(RUN, {"j": "jobs.pay", "n": "", "q": template.queue, "tid": template.id, "x": "[[],\t{}]"}, "message")
    return Context({"id": RUN, "task": "jobs.pay", "hostname": "w", "backbeat": {"slot": 0}})


def events(store: Store) -> list[dict[str, str]]:
    return [fields for _, fields in store.slots.client.xrange(store.slots.of(RUN).events)]


def test_each_time_it_waits_longer_and_then_it_has_failed(store: Store) -> None:
    request, waits = submit(store), []
    for _ in range(PUT_OFF_LIMIT):
        leave_to_another(request, NotRegistered("jobs.pay"))
        (_, score), *_ = store.slots.client.zrange(store.slots.of(RUN).timers, 0, -1, withscores=True)
        waits.append(round((score - store.slots.now_ms()) / 1000))
        assert store.ledger.queue(Waiting(RUN, str(int(score)), store.ledger.get(RUN)), "again")

    leave_to_another(request, NotRegistered("jobs.pay"))

    assert waits == [min(2**number, LONGEST_PAUSE) for number in range(PUT_OFF_LIMIT)]
    assert store.ledger.get(RUN) == {}
    last = events(store)[-1]
    assert (last["k"], last["state"]) == ("finished", "failed")
    assert "NotRegistered" in last["outcome"]


def test_a_duplicate_of_such_a_message_changes_nothing(store: Store) -> None:
    request = submit(store)
    leave_to_another(request, NotRegistered("jobs.pay"))

    with pytest.raises(Ignore):
        leave_to_another(request, NotRegistered("jobs.pay"))

    assert store.ledger.get(RUN)["b"] == "1"


def test_one_that_was_cancelled_meanwhile_is_cancelled(store: Store) -> None:
    request = submit(store)
    claim = claimed(store, request, None)
    store.ledger.cancel(RUN, "enough")

    put_off(store, RUN, claim, NotRegistered("jobs.pay"))

    assert events(store)[-1]["state"] == "cancelled"
