"""Priorities 0 to 9 (9 most urgent) and the queues `<pool>.p<n>` that carry them, alike on both brokers."""

from __future__ import annotations

from collections.abc import Iterable

from backbeat.core.job import POOL
from backbeat.errors import DefinitionError

PRIORITIES = range(10)
NAMES = {"low": 2, "normal": 5, "high": 8}


def priority_of(value: object) -> int:
    """A priority as a number; the words low, normal and high are accepted. Raises DefinitionError."""
    if isinstance(value, str) and value in NAMES:
        return NAMES[value]
    if isinstance(value, int) and not isinstance(value, bool) and value in PRIORITIES:
        return value
    raise DefinitionError("priority", f"expected 0 to 9 (9 is most urgent) or one of {', '.join(NAMES)}; got {value!r}.")


def queue_of(pool: str, priority: int) -> str:
    """The queue of a pool and priority. Raises DefinitionError for a pool that can't be a queue's name."""
    if not POOL.match(pool):
        raise DefinitionError("pool", f"expected lower-case letters, digits, '-' and '_', at most 50; got {pool!r}.")
    return f"{pool}.p{priority}"


def raised(queue: str) -> str | None:
    """The next more urgent queue of the same pool; None for the most urgent one, and for one that is no pool's."""
    pool, dot, number = queue.rpartition(".p")
    if not dot or not POOL.match(pool) or len(number) != 1 or number not in "012345678":
        return None
    return queue_of(pool, int(number) + 1)


def queues_of(pools: Iterable[str]) -> list[str]:
    """Every queue of these pools, most urgent first, in the order in which a worker should look at them."""
    pools = list(pools)
    return [queue_of(pool, priority) for priority in reversed(PRIORITIES) for pool in pools]
