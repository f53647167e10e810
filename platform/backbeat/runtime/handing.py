"""From the parent to its pool processes: a message goes to one that is free at once.

Celery notes that there is something to write, asks the kernel in the next turn of its event loop whether the pipe takes it, and
writes then. A pipe whose process is free is empty, so it takes it.
"""

from __future__ import annotations

from typing import Any

from celery.concurrency.asynpool import SCHED_STRATEGY_FAIR, AsynPool


def hand_at_once(pool: Any, hub: Any) -> None:
    """To be called whenever Celery's event loop begins, since the pool then makes its own handlers anew."""
    processes = getattr(pool, "_pool", None)
    if not isinstance(processes, AsynPool) or processes.sched_strategy != SCHED_STRATEGY_FAIR:
        return
    put, write, waiting = processes._quick_put, hub.consolidate_callback, processes.outbound_buffer  # noqa: SLF001 - there is no other way in

    def hand(message: Any) -> None:
        put(message)
        # As many pipes as messages: Celery searches the others for what it may unregister.
        if free := list(processes._all_inqueues - processes._busy_workers - processes._active_writes)[: len(waiting)]:  # noqa: SLF001 - as above
            write(free)

    processes._quick_put = hand  # noqa: SLF001 - as above
    _forget_only_what_is_known(hub)


def _forget_only_what_is_known(hub: Any) -> None:
    """Each turn the pool lets the loop forget each pipe, mostly one that it does not know: a call to the kernel that fails."""
    if "remove_writer" in vars(hub):
        return
    remove = hub.remove_writer

    def remove_writer(pipe: Any) -> None:
        if (pipe if isinstance(pipe, int) else pipe.fileno()) in hub.writers:
            remove(pipe)

    hub.remove_writer = remove_writer
