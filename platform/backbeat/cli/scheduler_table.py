"""The status of the schedulers as a page of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from backbeat.cli.listing import columns
from backbeat.core.duration import words
from backbeat.runtime.queue_check import Unserved, named
from backbeat.runtime.status import Status
from backbeat.store.stands import Stand
from backbeat.store.vitals import Process


def show(state: Status, unserved: Sequence[Unserved]) -> None:
    """Print it; what is wrong comes first."""
    for problem in state.problems:
        click.echo(f"{click.style('!!', fg='red')}  {problem.sentence}\n    cure: {problem.cure}")
    if state.healthy:
        click.echo(f"{click.style('ok', fg='green')}  everything that is due is fired")
    for queue in unserved:
        click.echo(f"{click.style('!!', fg='yellow')}  {_nobody_consumes(queue)}")
    click.echo("\nprocesses")
    columns(("KIND", "NAME", "UP", "MOVED", "DOES"), (_process(one, state.now) for one in state.processes))
    names = {one.id: one.name for one in state.processes}
    shards = state.layout or len(state.slots)
    click.echo(f"\n{len(state.slots)} slots in {shards} shards: slot s belongs to shard s mod {shards}")
    head = ("SLOT", "LEADER", "LEASE", "FENCE", "ENTRIES", "OVERDUE", "OLDEST", "PARKED", "RUNS", "EVENTS", "OUTBOX")
    columns(head, (_slot(one, names) for one in state.slots))
    click.echo("")
    columns((), _figures(state))
    if state.parked:
        click.echo(f"\nparked ({state.parked_count})")
        columns((), (("  " + schedule, reason) for schedule, reason in state.parked.items()))


def _nobody_consumes(one: Unserved) -> str:
    held = "what is fired into it is held back" if one.waiting is None else f"{one.waiting} fires are held back in it"
    pool = one.queue.rpartition(".p")[0] or one.queue
    sentence = f"no live worker consumes queue {one.queue}, which {named(list(one.jobs))} use; {held}."
    return f"{sentence}\n    cure: Start one: backbeat worker --pool {pool}"


def _process(one: Process, now: int) -> tuple[str, ...]:
    moved = f"{'silent for ' if one.silent(now) else ''}{_ago(now - (one.seen if one.silent(now) else one.progress))}"
    return one.kind, one.name, _ago(now - one.started), moved, _does(one)


def _does(one: Process) -> str:
    figures = one.figures
    if one.kind == "scheduler":
        tick = f"tick {(figures['tick']['p50_us'] or 0) / 1000:.1f} ms, at most {figures['tick']['max_us'] / 1000:.1f} ms"
        return f"leads {figures['shards']}, fired {figures['fired']}, {tick}"
    if one.kind == "worker":
        queues = ", ".join(_pools(figures["queues"])) or "no queue"
        return f"{figures['active']} of {figures['slots']} slots, holds {len(figures['held'])}, consumes {queues}"
    duties = figures.get("duties", {})
    failing = [f"{name} fails: {duty['error']}" for name, duty in duties.items() if duty["error"]]
    return "; ".join(failing) or ", ".join(duties)


def _pools(queues: list[str]) -> list[str]:
    """Whole pools by their name, other queues as they are."""
    found: dict[str, None] = {}
    for queue in queues:
        pool, dot, number = queue.rpartition(".p")
        found[f"{pool}.p*" if dot and number.isdecimal() else queue] = None
    return list(found)


def _slot(one: Stand, names: dict[str, str]) -> tuple[str, ...]:
    leader = names.get(one.leader, one.leader) if one.leader else "-"
    left = f"{(one.lease_until - one.now) / 1000:.1f}s" if one.leader else "-"
    oldest = _ago(one.late_ms) if one.head else "-"
    counts = (one.parked, one.unfinished, one.events, one.letters)
    return str(one.slot), leader, left, str(one.fence), str(one.entries), str(one.overdue), oldest, *map(str, counts)


def _figures(state: Status) -> Iterator[tuple[str, str]]:
    lag, counts, oldest = state.lag, state.counts, state.oldest
    entries = sum(one.entries for one in state.slots)
    yield "entries", f"{entries}, of which {sum(one.scheduled for one in state.slots)} are due some day"
    yield "oldest overdue", f"{oldest.head.schedule}, for {_ago(oldest.late_ms)}" if oldest and oldest.head else "nothing is due"
    late = f"p50 {lag.p50} ms, p99 {lag.p99} ms, at most {lag.max} ms" if lag.count else "-"
    yield "lag (last minute)", f"{late} ({lag.count} fires)"
    missed = ", ".join(f"{reason} {count}" for reason, count in sorted(state.missed.items()))
    yield "fired", f"{counts['fired']} since the schedulers began; refused {counts['refused']}, duplicates {counts['duplicates']}"
    yield "left out", missed or "none"
    yield "rebalances", str(counts["rebalances"])
    waited = f", the oldest for {_ago(state.backlog_ms)}" if state.backlog else ""
    yield "not recorded yet", f"{state.backlog} events{waited}"
    yield "outbox", f"{state.outbox} messages"


def _ago(ms: int) -> str:
    """A length for a glance: tenths below ten seconds, whole seconds above."""
    return f"{max(0, ms) / 1000:.1f}s" if ms < 10_000 else words(ms // 1000)
