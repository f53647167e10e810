"""One of two RedBeat schedulers with the shortest sensible lock. usage: failover_redbeat.py REDIS_URL ENTRIES NUMBER"""

import logging
import sys

from celery import Celery
from celery.beat import Service
from celery.schedules import schedule
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry

logging.disable(logging.CRITICAL)
url, count, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
app = Celery("bench", broker=url)
app.conf.update(redbeat_redis_url=url, redbeat_redis_options={}, redbeat_lock_timeout=10, timezone="UTC", enable_utc=True)
if number == 1:
    for i in range(count):
        RedBeatSchedulerEntry(f"j{i:04d}", "bench.work", schedule(1.0), app=app).save()
Service(app, max_interval=2, scheduler_cls=RedBeatScheduler).start()
