"""What fires when: a pure function from the time and an entry to its runs, its omissions and its next place."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from backbeat.core.calendar import Fate
from backbeat.core.entry import Entry, offset
from backbeat.core.job import Misfire
from backbeat.core.state import Reason
from backbeat.core.template import Template

GRACE_MS = 60_000
"""An occurrence no older than this is late, not misfired, and is fired whatever the misfire policy (Quartz's threshold)."""

SCAN_LIMIT = 2_000
"""Occurrences looked at in one decision; a longer past is worked off in several, so that a tick stays short."""

FIRES_LIMIT = 200
"""Runs of one decision: the script that makes them holds up everybody else. What would follow is left to the next."""


@dataclass(frozen=True, slots=True)
class Omission:
    """A range of occurrences that did not become runs. Times are nominal, epoch ms, both included."""

    reason: Reason
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one due entry: nominal times to fire, ranges to omit, and the next nominal time (None: never again)."""

    fires: tuple[int, ...]
    omissions: tuple[Omission, ...]
    next: int | None


def decide(now: int, score: int, entry: Entry, template: Template) -> Decision:
    """Sort the occurrences that are due into runs and omissions, by the job's misfire policy and start deadline.

    `score` is the effective time (ms) that the index holds for the entry; occurrences are due when their effective
    time is not after `now`. Those on closed days of the entry's calendar are left out, or moved, first. Late by up to
    GRACE_MS is fired; older ones follow the policy: `latest` fires the newest when nothing fresher is due, `all` fires
    as many as the count and window allow, `skip` none. Raises DefinitionError when the entry's calendar is not known.
    """
    shift = offset(entry.id, entry.timing.jitter)
    now, first = now - shift, score - shift
    following = entry.timing.next(first)
    on_time = first > now - GRACE_MS and template.start_deadline is None and (following is None or following > now)
    if on_time and not entry.timing.calendar:
        # Nearly always: one occurrence, on time.
        return Decision((first,), (), following)
    due, following = _due(now, first, entry, keep=_wanted(template))
    cut = following is not None and following <= now
    fates = {moment: entry.timing.fate(moment) for moment in due} if entry.timing.calendar else {}
    blocked = [moment for moment in due if fates.get(moment) is Fate.LEFT_OUT]
    due = [moment for moment in due if fates.get(moment, Fate.FIRES) is Fate.FIRES]
    fresh = [moment for moment in due if moment > now - GRACE_MS]
    old = due[: len(due) - len(fresh)]
    chosen = [] if cut or (template.misfire is Misfire.LATEST and fresh) else _chosen(now, old, template)
    fires, expired = _in_time(now, [*chosen, *fresh], template.start_deadline)
    kept = {*fires, *expired}
    omitted = [moment for moment in old if moment not in kept]
    left_out = {Reason.MISFIRE: omitted, Reason.EXPIRED: expired, Reason.BLACKOUT: blocked}
    if len(fires) > FIRES_LIMIT:
        following = fires[FIRES_LIMIT]
        fires = fires[:FIRES_LIMIT]
        left_out = {reason: [one for one in moments if one < following] for reason, moments in left_out.items()}
    return Decision(tuple(fires), tuple(chain.from_iterable(_range(*one) for one in left_out.items())), following)


def _wanted(template: Template) -> int:
    """How many of the misfired occurrences the policy may still fire."""
    return {Misfire.SKIP: 0, Misfire.LATEST: 1, Misfire.ALL: min(template.misfire_limit, SCAN_LIMIT // 2)}[template.misfire]


def _due(now: int, first: int, entry: Entry, keep: int) -> tuple[list[int], int | None]:
    """Nominal times from `first` to `now`, and the one after them.

    A longer past than SCAN_LIMIT is cut, and its newest `keep` are left to the next decision, which can tell whether
    they are the latest.
    """
    due: list[int] = []
    moment: int | None = first
    while moment is not None and moment <= now and len(due) < SCAN_LIMIT:
        due.append(moment)
        moment = entry.timing.next(moment)
    if moment is not None and moment <= now and keep:
        return due[:-keep], due[-keep]
    return due, moment


def _chosen(now: int, old: list[int], template: Template) -> list[int]:
    """The misfired occurrences that are fired after all."""
    keep = _wanted(template)
    newest = old[-keep:] if keep else []
    if template.misfire is Misfire.ALL:
        return [moment for moment in newest if moment >= now - template.misfire_window * 1000]
    return newest


def _in_time(now: int, moments: list[int], deadline: float | None) -> tuple[list[int], list[int]]:
    """What may still start, and what is past its start deadline."""
    if deadline is None:
        return moments, []
    limit = now - deadline * 1000
    return [moment for moment in moments if moment >= limit], [moment for moment in moments if moment < limit]


def _range(reason: Reason, moments: list[int]) -> tuple[Omission, ...]:
    return (Omission(reason, moments[0], moments[-1], len(moments)),) if moments else ()
