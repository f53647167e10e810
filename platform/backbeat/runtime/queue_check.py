"""What is wrong with the queues that jobs use: nobody takes messages from one, or RabbitMQ takes a long run's message back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from backbeat.core import template as templates
from backbeat.core.duration import words
from backbeat.core.template import Template
from backbeat.errors import NewerPolicy
from backbeat.runtime.status import of_kind
from backbeat.store.store import Store
from backbeat.store.vitals import Process

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Unserved:
    """A queue that jobs use and no live worker consumes."""

    queue: str
    jobs: tuple[str, ...]
    waiting: int | None
    """Runs that were fired and wait in it; None where another broker than the ledger's own server has it."""


def policies_of_all(store: Store) -> Iterator[tuple[str, Template]]:
    """Every defined job with the policies in force, without asking the server for all of them at once."""
    for keys in store.slots.all:
        for job, template_id in store.slots.client.hscan_iter(keys.jobs, count=1000):
            try:
                template = store.index.template(keys.slot, str(template_id))
            except NewerPolicy:
                continue
            if template is not None:
                yield str(job), template


def unserved(policies: Iterable[tuple[str, Template]], alive: Iterable[Process], now: int) -> dict[str, list[str]]:
    """Queues that jobs use and no live worker consumes, with those jobs. Empty while no worker lives at all."""
    workers = _living(alive, now)
    return _using(policies, _consumed(workers)) if workers else {}


def without_consumer(store: Store, alive: Iterable[Process], now: int) -> list[Unserved]:
    """The queues that jobs use and no live worker consumes: all of them while no worker lives.

    One round trip while there is none; else every defined job is looked at.
    """
    consumed = _consumed(_living(alive, now))
    suspects = _queues_known(store) - consumed
    found = _using(policies_of_all(store), consumed) if suspects else {}
    return [Unserved(queue, tuple(sorted(jobs)), _waiting(store, queue)) for queue, jobs in sorted(found.items())]


def _living(alive: Iterable[Process], now: int) -> list[Process]:
    return [one for one in of_kind(alive, "worker") if not one.silent(now)]


def _consumed(workers: Iterable[Process]) -> set[str]:
    return {str(queue) for one in workers for queue in one.figures["queues"]}


def _using(policies: Iterable[tuple[str, Template]], consumed: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job, template in policies:
        if template.queue not in consumed:
            found.setdefault(template.queue, []).append(job)
    return found


def _queues_known(store: Store) -> set[str]:
    """Of all policies that are kept, those that no job has any more included."""
    pipe = store.slots.client.pipeline(transaction=False)
    for keys in store.slots.all:
        pipe.hvals(keys.templates)
    found = set()
    for text in (text for texts in pipe.execute() for text in texts):
        with suppress(NewerPolicy):
            found.add(templates.read(str(text)).queue)
    return found


def _waiting(store: Store, queue: str) -> int | None:
    return int(store.slots.client.llen(queue)) if store.slots.direct else None


def outlasting(jobs: Iterable[tuple[str, float | None]], consumer_timeout: float) -> str:
    """A sentence about jobs whose timeout is longer than RabbitMQ leaves a message with a worker; empty when there are none."""
    longer = sorted((job for job in jobs if job[1] is not None and job[1] > consumer_timeout), key=lambda job: -(job[1] or 0))
    if not longer:
        return ""
    named = ", ".join(f"{job} ({words(timeout or 0)})" for job, timeout in longer[:_SHOWN]) + _more(len(longer))
    return f"RabbitMQ takes the message of a run back after {words(consumer_timeout)}, and these may run longer: {named}"


def longer_timeout(jobs: Iterable[tuple[str, float | None]]) -> str:
    """The cure: a consumer_timeout above the longest of them."""
    wanted = max(timeout or 0.0 for _, timeout in jobs) * 1.1
    length = words(60 * (wanted // 60 + 1))
    line = f"consumer_timeout = {round(60_000 * (wanted // 60 + 1))}"
    own = f"set BACKBEAT_CONSUMER_TIMEOUT={length}; or shorten their timeout"
    return f"Put `{line}` into rabbitmq.conf, restart RabbitMQ, and {own}."


def named(jobs: list[str]) -> str:
    """A few names."""
    return ", ".join(sorted(jobs)[:_SHOWN]) + _more(len(jobs))


def _more(count: int) -> str:
    return f" and {count - _SHOWN} more" if count > _SHOWN else ""
