"""Building the message of a run that is in the ledger already: for a retry, a delayed run, or one whose message got lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from backbeat.core.message import envelope
from backbeat.core.template import Template
from backbeat.runtime.canvas import CARRIES, with_canvas
from backbeat.store.ledger import PACKED
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
    message = envelope(
        outline, run_id, fields["x"], slot=slot, attempt=int(fields.get("a", 0)), tag=tag, schedule=schedule_of(fields)
    )
    canvas = fields.get("cv", CARRIES)
    # What a node of a DAG carries, the ledger sends by itself when it does not come.
    return message if canvas == CARRIES else with_canvas(message, canvas)


def schedule_of(fields: Mapping[str, str]) -> str:
    """The schedule that asked for a run; "" for one that nobody's schedule did."""
    return (fields.get("sid") or fields["j"]) if fields.get("n") else ""


def scheduled_facts(template: Template, nominal: int, shift: int) -> str:
    """The packed fields of a run that a schedule asked for, apart from whose run it is and its arguments.

    What follows from another field (the effective time from the nominal one, when `shift` (ms) is 0) is left out: there
    may be many runs.
    """
    fields = ["n", str(nominal), "q", template.queue, "tid", template.id]
    if shift:
        fields += ["e", str(nominal + shift)]
    if template.start_deadline is not None:
        fields += ["dl", str(nominal + round(template.start_deadline * 1000))]
    if template.sending and template.sending.results:
        fields += ["res", "1"]
    return PACKED.join(fields)
