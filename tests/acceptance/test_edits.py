"""A definition that is saved takes effect within a second, on a scheduler that has nothing else to do."""

from __future__ import annotations

import sys
from statistics import median

from tests.support.deployment import Deployment
from tests.support.eventually import eventually

SAVES = """
import sys, time, django
django.setup()
from backbeat.admin.definitions import save
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Once, from_ms
from backbeat.store.store import open_store
now_ms = open_store().slots.now_ms
save(JobSpec("warm", "probe.work"))
for number in range(6):
    due = now_ms() + 700
    save(JobSpec(f"job{number}", "probe.work", schedules=(Schedule(Once(from_ms(due))),)))
    # A save that came after its own moment proves nothing.
    print(f"job{number}", due, now_ms() < due)
    time.sleep(0.9)
"""


def test_a_saved_definition_fires_within_a_second(deployment: Deployment) -> None:
    store = deployment.store
    deployment.beat()
    eventually(lambda: all(store.slots.client.exists(keys.lease) for keys in store.slots.all), within=60)

    lines = [line.split() for line in deployment.command(sys.executable, "-c", SAVES).splitlines()]
    saved = {job: int(due) for job, due, in_time in lines if in_time == "True"}

    def created() -> dict[str, int]:
        runs = [store.ledger.get(str(run)) for keys in store.slots.all for run in store.slots.client.zrange(keys.timers, 0, -1)]
        found = {run["j"]: int(run["c"]) for run in runs if run}
        return found if saved.keys() <= found.keys() else {}

    times = eventually(created, within=30, message=deployment.story)
    late = [times[job] - due for job, due in saved.items()]
    assert late, "no save came before its moment"
    assert median(late) < 1_000, late
