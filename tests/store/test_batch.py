"""A batch of entries: what they share travels once, and each comes out as if it had been alone."""

from __future__ import annotations

import json

import pytest

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.message import arguments_of, envelope
from backbeat.core.template import Template
from backbeat.core.when import Every
from backbeat.runtime.firing import Firer
from backbeat.store.batch import Batch, Fire, Step
from backbeat.store.leases import Leases
from backbeat.store.store import Store

HOURLY = (Schedule(Every("1h"), args=("ä", '"', 1), kwargs={"n": None}),)


def fired(store: Store, *specs: JobSpec) -> dict[str, str]:
    """Fire one occurrence of every schedule; run id -> its message."""
    store.index.put_many(specs)
    for spec in specs:
        keys = store.slots.of(spec.name)
        store.slots.client.zadd(keys.due, {spec.schedule_id(one): store.slots.now_ms() - 1_000 for one in spec.schedules})
    Firer(store).step(Leases(store.slots, "beat", 30).take(range(store.slots.count)))
    messages = store.slots.client.lrange("default.p5", 0, -1)
    return {json.loads(message)["headers"]["id"]: message for message in messages}


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.SKIP])
def test_the_script_writes_the_very_message_that_python_writes(store: Store, overlap: Overlap) -> None:
    spec = JobSpec("pay", "jobs.pay", schedules=HOURLY, overlap=overlap, timeout=9.0)

    ((run_id, message),) = fired(store, spec).items()

    arguments, slot = arguments_of(HOURLY[0].args, HOURLY[0].kwargs), store.slots.of("pay").slot
    assert message == envelope(Template.of(spec).outline, run_id, arguments, slot=slot, schedule="pay")


def test_a_run_of_one_of_several_schedules_knows_its_job_and_its_schedule(store: Store) -> None:
    schedules = (Schedule(Every("1h"), key="a"), Schedule(Every("2h"), key="b", args=(2,)))

    runs = {
        run_id: store.ledger.get(run_id)
        for run_id in fired(store, JobSpec("pay", "jobs.pay", schedules=schedules, overlap=Overlap.ALLOW))
    }

    assert {(run["j"], run["sid"], run["x"]) for run in runs.values()} == {
        ("pay", "pay#a", "[[],\t{}]"), ("pay", "pay#b", "[[2],\t{}]"),
    }  # fmt: skip
    assert all(run["s"] == "queued" and int(run["c"]) >= int(run["n"]) for run in runs.values())


def test_entries_with_jitter_keep_their_own_effective_times(store: Store) -> None:
    specs = [JobSpec(name, "jobs.pay", schedules=(Schedule(Every("1h"), jitter=60.0),)) for name in "abc"]

    runs = [store.ledger.get(run_id) for run_id in fired(store, *specs)]

    assert len({int(run["e"]) - int(run["n"]) for run in runs}) == len(specs)


def test_what_entries_share_is_sent_once() -> None:
    step = Step("1", "2", [Fire(1, "m", ("mould",), "n\x1f1", 1)], [], "q", "allow")
    batch = Batch()
    for number in range(100):
        batch.add(f"job{number}", "[[],\t{}]", step)

    text, *arguments = batch.argv()

    assert text.count("mould") == len(("moulds", "mould"))
    assert len(arguments) == len(("as a run keeps them", "as a message has them"))
    assert batch.due() == {1: 100}
