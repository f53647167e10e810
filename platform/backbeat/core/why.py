"""Why something does not run: the gates between a moment and a started run, in order, and the first that is shut.

One answer for Python, the command line, the admin and the API. A gate about which nothing is known, or which does not
apply, is left out. The codes stay; sentences may be reworded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backbeat.core import why_due, why_limits, why_start
from backbeat.core.state import RunState
from backbeat.core.when import iso
from backbeat.core.why_facts import Facts
from backbeat.core.why_gate import Gate, ago

GATES: tuple[Callable[[Facts], Gate | None], ...] = (
    why_due.defined,
    why_due.scheduled,
    why_due.due,
    why_due.enabled,
    why_due.paused,
    why_due.calendar,
    why_due.fired,
    why_due.in_time,
    why_due.overlap,
    why_start.parents,
    why_limits.concurrency,
    why_limits.rate,
    why_start.wanted,
    why_start.sound,
    why_start.dispatched,
    why_start.consumed,
    why_start.fetched,
    why_start.started,
    why_start.ended_well,
)
"""The order in which causes come before effects."""
WAITING = frozenset({"not-due", "delayed", "retry-waits", "rate"})
"""Gates that open by themselves when the time has come."""


@dataclass(frozen=True, slots=True)
class Why:
    """The answer."""

    subject: str
    state: str
    """The run's state, `omitted`, or `none` when there is no run yet."""
    code: str
    """The code of the gate that answers the question, else the state."""
    sentence: str
    """The same in words; when all gates are open, how the run stands."""
    remedy: str
    gates: tuple[Gate, ...]
    blocked_by: Gate | None
    """The first gate that is shut; looking ahead, the first that would not open by itself with time."""
    notes: tuple[str, ...] = ()
    """What could not be looked at."""


def why(facts: Facts) -> Why:
    """Judge the facts."""
    gates = tuple(gate for look in GATES if (gate := look(facts)) is not None)
    shut = [gate for gate in gates if not gate.passed]
    lasting = [gate for gate in shut if gate.code not in WAITING] if facts.ahead else []
    found = next(iter(lasting or shut), None)
    state = _state(facts)
    code, sentence, remedy = (found.code, found.sentence, found.remedy) if found else (state, _open(facts), "")
    return Why(facts.subject, state, code, sentence, remedy, gates, found, facts.notes)


def as_data(answer: Why) -> dict[str, Any]:
    """The answer as plain data, with names that stay: what `-o json` prints and the API answers."""
    return {
        "subject": answer.subject,
        "state": answer.state,
        "code": answer.code,
        "sentence": answer.sentence,
        "remedy": answer.remedy,
        "gates": [
            {"name": one.name, "passed": one.passed, "code": one.code, "sentence": one.sentence, "remedy": one.remedy}
            for one in answer.gates
        ],
        "notes": list(answer.notes),
    }


def _state(facts: Facts) -> str:
    if facts.run is not None:
        return facts.run.state.value
    if facts.record is not None:
        return facts.record.state.value
    return "omitted" if facts.occurrence is not None and facts.occurrence.omission is not None else "none"


def _open(facts: Facts) -> str:
    run, record = facts.run, facts.record
    if run is not None and run.state is RunState.RUNNING:
        since = f" since {ago(facts.now, run.started)}" if run.started else ""
        return f"it is running: attempt {run.attempt} on {run.worker or 'a worker'}{since}."
    if record is not None and record.finished is not None:
        tries = f" at attempt {record.attempts}" if record.attempts > 1 else ""
        return f"it has run: {record.state.value.replace('_', ' ')}{tries}, {iso(record.finished)}."
    if record is not None and run is None:
        return f"it is over ({record.state.value.replace('_', ' ')}); history does not have it yet."
    return "nothing holds it back."
