"""What a DAG run will take: time with so many workers, messages, and bytes in the broker and the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from backbeat.core.plan import Plan
from backbeat.core.plan_segments import Kind

MESSAGE_BYTES = 900
"""One Celery message of ours with a few short arguments, measured on both brokers."""
TAIL_BYTES = 260
"""What each node that is still to come adds to every message of a chain, before base64."""
LEDGER_BYTES = 150
"""Redis memory of one node of an active DAG run, without its output."""


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate; seconds and bytes."""

    workers: int
    serial: float
    critical: float
    makespan: float
    """With this many workers, always taking the most urgent node that is ready."""
    messages: int
    broker_bytes: int
    ledger_bytes: int

    @property
    def speedup(self) -> float:
        """How many times faster than one node after another."""
        return self.serial / self.makespan if self.makespan else 1.0


def cost(plan: Plan, workers: int = 2) -> Cost:
    """The cost of one run of a plan on a number of workers (processes or threads that run nodes)."""
    chained = [len(segment.nodes) for segment in plan.segments if segment.kind is Kind.CHAIN]
    return Cost(
        workers=workers,
        serial=sum(plan.seconds),
        critical=plan.critical_seconds,
        makespan=makespan(plan, workers),
        messages=len(plan.seconds),
        broker_bytes=len(plan.seconds) * MESSAGE_BYTES + sum(size * (size - 1) // 2 * TAIL_BYTES for size in chained),
        ledger_bytes=len(plan.seconds) * LEDGER_BYTES,
    )


def makespan(plan: Plan, workers: int) -> float:
    """Seconds from first start to last end when a free worker always takes the ready node with the longest way behind it."""
    shape, waiting = plan.shape, plan.shape.in_degree.copy()
    ready = [(-plan.tail[node], node) for node, count in enumerate(waiting) if not count]
    heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            node = heappop(ready)[1]
            heappush(running, (now + plan.seconds[node], node))
        now, node = heappop(running)
        for child in shape.children_of(node):
            waiting[child] -= 1
            if not waiting[child]:
                heappush(ready, (-plan.tail[child], child))
    return now
