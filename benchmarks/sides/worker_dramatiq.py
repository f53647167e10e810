"""dramatiq: an actor for its worker, and `worker_dramatiq.py N` to fill its queue."""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from worker_effects import effect

dramatiq.set_broker(RedisBroker(url=os.environ["BROKER_URL"]))


@dramatiq.actor
def work(number: int) -> None:
    """The job."""
    effect(number)


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        work.send(number)
