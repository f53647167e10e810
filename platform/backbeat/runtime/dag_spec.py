"""The job behind a graph that no code defines, so that it is started and scheduled like any other."""

from __future__ import annotations

from backbeat.core.dag import Dag
from backbeat.core.job import JobSpec
from backbeat.runtime.binding import DAG_TASK


def spec_of(dag: Dag) -> JobSpec:
    """The job whose runs are this DAG's runs."""
    return JobSpec(
        name=dag.name,
        task=DAG_TASK,
        schedules=dag.schedules,
        pool=dag.pool or "default",
        priority=5 if dag.priority is None else dag.priority,
        overlap=dag.overlap,
        misfire=dag.misfire,
        start_deadline=dag.start_deadline,
        enabled=dag.enabled,
        owner=dag.owner,
        labels=dag.labels,
        description=dag.description,
    )
