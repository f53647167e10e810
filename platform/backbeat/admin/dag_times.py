"""When the nodes of a DAG run were queued, worked and ended, by one query."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import DurationField, ExpressionWrapper, F, Max, Sum

from backbeat.admin.models import Run
from backbeat.core.gantt import Bar
from backbeat.core.state import RunState
from backbeat.core.when import to_ms

_WORKED = Sum(ExpressionWrapper(F("tries__finished_at") - F("tries__started_at"), output_field=DurationField()))


def bars_of(dag_run: str, nodes: Collection[str] | None = None) -> list[Bar]:
    """Every node and item of a DAG run that history knows of, or those named, with the time that its attempts took."""
    columns = ("node", "state", "queued_at", "started_at", "finished_at", "attempts")
    # Without the run's id: Django would group by it alone, for which a partitioned table lacks the key.
    named = Run.objects.filter(dag_run=dag_run, **({} if nodes is None else {"node__in": nodes}))
    rows = named.order_by().values_list(*columns)
    return [
        Bar(
            node,
            RunState(state),
            _ms(queued),
            _ms(started),
            _ms(finished),
            attempts or 1,
            0 if worked is None else round(worked.total_seconds() * 1000),
            _ms(last),
        )
        for node, state, queued, started, finished, attempts, worked, last in rows.annotate(
            worked=_WORKED, last=Max("tries__started_at")
        )
    ]


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)
