"""A Redis that lost everything is filled from the database, and the schedule goes on where history ends."""

from __future__ import annotations

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Every
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


def test_the_index_is_rebuilt_and_the_schedule_goes_on(deployment: Deployment) -> None:
    for start in (deployment.beat, deployment.worker, deployment.keeper):
        start()
    deployment.define(JobSpec("tick", "probe.work", schedules=(Schedule(Every("1s")),), overlap=Overlap.ALLOW))
    eventually(lambda: len(deployment.effects()) >= 3, within=40, message=deployment.story)

    deployment.client.flushall()

    before = len(deployment.effects())
    eventually(lambda: len(deployment.effects()) >= before + 4, within=40, message=deployment.story)
    late = sorted(deployment.effects())[-1]
    eventually(lambda: deployment.rows(f"select 1 from backbeat_run where run_id='{late}' and state='succeeded'"), within=20)
