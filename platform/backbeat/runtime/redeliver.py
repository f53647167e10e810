"""Building the message of a run that is in the ledger already: for a retry, a delayed run, or one whose message got lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from backbeat.core.message import envelope
from backbeat.core.template import Template
from backbeat.store.store import Store


def message_of(store: Store, run_id: str, fields: Mapping[str, str]) -> str | None:
    """The message, or None when the run's policies are unknown (its template is gone), so that nothing can be built."""
    slot = store.slots.of(run_id).slot
    template = store.index.template(slot, fields["tid"])
    if template is None:
        return None
    outline = replace(template.outline, queue=fields["q"], ignore_result="res" not in fields)
    # A tag of its own: should an older copy still be unacknowledged, the transport must tell the two apart.
    tag = f"{run_id}~{uuid4().hex[:8]}"
    return envelope(outline, run_id, fields["x"], slot=slot, attempt=int(fields["a"]), tag=tag, extra=headers_of(fields))


def headers_of(fields: Mapping[str, str]) -> dict[str, str] | None:
    """Headers of a run that a schedule asked for, as django-celery-beat names them."""
    return {"periodic_task_name": fields["sid"]} if fields.get("sid") else None


def scheduled_fields(schedule_id: str, nominal: int, effective: int, template: Template, arguments: str) -> list[str]:
    """The fields of a run that a schedule asked for, in the order on which lua/fire.lua relies: job first, nominal second."""
    job = schedule_id.split("#", 1)[0]
    fields = ["j", job, "n", str(nominal), "sid", schedule_id, "e", str(effective), "q", template.queue]
    fields += ["tid", template.id, "x", arguments]
    if template.start_deadline is not None:
        fields += ["dl", str(nominal + round(template.start_deadline * 1000))]
    return fields
