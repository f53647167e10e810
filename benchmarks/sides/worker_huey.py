"""huey: a queue for its consumer, which takes a message out before the work, and `worker_huey.py N` to fill it."""

import os
import sys

from huey import RedisHuey
from worker_effects import effect

huey = RedisHuey("bench", url=os.environ["BROKER_URL"], results=False)


@huey.task()
def work(number: int) -> None:
    """The job."""
    effect(number)


if __name__ == "__main__":
    # Under its own name: a task is known by the module that it was defined in.
    from worker_huey import work as task

    for number in range(int(sys.argv[1])):
        task(number)
