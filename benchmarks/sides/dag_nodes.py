"""What the nodes of benchmarks/dag.py run: Backbeat's jobs and Celery's own tasks, side by side in one worker.

Each notes its beginning and end in a file, by the machine's one monotonic clock, in a single appending write.
"""

import os
import time

from celery import current_task, shared_task

from backbeat import current_run, job

_stamps = os.open(os.environ["BENCH_STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def work(name: str, seconds: float) -> None:
    """Do nothing, or sleep, and note when."""
    begun = time.monotonic_ns()
    if seconds:
        time.sleep(seconds)
    os.write(_stamps, f"{name} {begun} {time.monotonic_ns()}\n".encode())


@job("bench.node")
def node(seconds: float = 0.0) -> None:
    """A node of ours."""
    work(current_run().id, seconds)


@job("bench.tiny", batch=100, overlap="allow")
def tiny(seconds: float = 0.0) -> None:
    """A node of a job whose nodes may share messages."""
    work(current_run().id, seconds)


@shared_task(name="peer.node", ignore_result=True)
def peer(seconds: float = 0.0) -> None:
    """A task of Celery's canvas, which keeps no result: the cheapest that it can be."""
    work(current_task.request.id, seconds)
