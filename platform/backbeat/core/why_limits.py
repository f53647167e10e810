"""The gates that limits of a job make: is a place free, is it too early for the rate."""

from __future__ import annotations

from backbeat.core.why_facts import Facts
from backbeat.core.why_gate import Gate, ago, opened, shut

_SHOWN = 5


def concurrency(facts: Facts) -> Gate | None:
    """Whether it has one of the places of its job, or of its key."""
    run = facts.run
    place = run.place if run is not None else None
    if place is None:
        return None
    whose = f" with key {place.key!r}" if place.key else ""
    if place.ahead is None:
        return opened("concurrency", f"it has one of {place.most or 'all the'} places of job {place.job}{whose}.")
    others = f" and {place.held - len(place.holders[:_SHOWN])} more" if place.held > len(place.holders[:_SHOWN]) else ""
    who = ", ".join(f"{one} ({state})" for one, state in place.holders[:_SHOWN]) + others
    line = f" ({place.ahead} wait before it)" if place.ahead else ""
    sentence = f"job {place.job} may do {place.most} runs{whose} at once; it waits for a place of {who or 'nobody'}{line}."
    cure = (
        f"Ask why one does not end: `backbeat run why {place.holders[0][0]}`. Or raise max_concurrency." if place.holders else ""
    )
    return shut("concurrency", "concurrency", sentence, cure)


def rate(facts: Facts) -> Gate | None:
    """Whether so many have started lately that it must wait."""
    run = facts.run
    pace = run.pace if run is not None else None
    if pace is None:
        return None
    whose = f" with key {pace.key!r}" if pace.key else ""
    if pace.until <= facts.now:
        return opened("rate", f"its turn among those that wait for the rate of job {pace.job} has come.")
    sentence = f"job {pace.job} may start {pace.rate}{whose}, and others were first: its turn comes {ago(facts.now, pace.until)}."
    return shut("rate", "rate", sentence, "It starts by itself then; a higher rate holds at once.")
