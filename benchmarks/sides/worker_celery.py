"""Bare Celery: an app for its worker, `worker_celery.py N` to fill its queue, `trips N` to ask for one job at a time.

Settings are JSON in the environment.
"""

import json
import os
import sys

from celery import Celery
from worker_effects import effect, stamp, trips

app = Celery("bench", broker=os.environ["BROKER_URL"])
app.conf.update(json.loads(os.environ["CELERY_SETTINGS"]))


@app.task(name="bench.work", ignore_result=True)
def work(number: int) -> None:
    """The job."""
    effect(number)


@app.task(name="bench.stamp", ignore_result=True)
def stamped(number: int) -> None:
    """The job whose trip is measured."""
    stamp(number)


if __name__ == "__main__" and sys.argv[1] == "trips":
    trips(stamped.delay, int(sys.argv[2]))
elif __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(int(sys.argv[1])):
            work.apply_async((number,), producer=producer)
