"""taskiq: a broker that acknowledges after the work, as all here do, and `worker_taskiq.py N` to fill its queue."""

import asyncio
import os
import sys

from taskiq_redis import RedisStreamBroker
from worker_effects import effect

broker = RedisStreamBroker(os.environ["BROKER_URL"])


@broker.task(task_name="bench.work")
def work(number: int) -> None:
    """The job."""
    effect(number)


async def fill(count: int) -> None:
    """Put N messages into the stream."""
    await broker.startup()
    for number in range(count):
        await work.kiq(number)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(fill(int(sys.argv[1])))
