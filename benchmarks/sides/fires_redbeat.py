"""Fire N RedBeat entries that are all due, with one RedBeat scheduler. usage: fires_redbeat.py REDIS_URL N"""

import json
import logging
import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from celery import Celery
from celery.schedules import crontab
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import RedBeatScheduler, get_redis

logging.disable(logging.CRITICAL)
url, count = sys.argv[1], int(sys.argv[2])
app = Celery("bench", broker=url)
# Its own documented best: a lock that is never in the way, and the loop's longest sleep out of the picture.
app.conf.update(redbeat_redis_url=url, redbeat_redis_options={}, redbeat_lock_key=None, timezone="UTC", enable_utc=True)
client = get_redis(app)
before = client.info("memory")["used_memory"]
long_ago = datetime.now(UTC) - timedelta(minutes=10)
began = time.perf_counter()
for i in range(count):
    entry = RedBeatSchedulerEntry(f"job.number{i:07d}", "jobs.work", crontab(minute="*/5"), args=[i], app=app)
    entry.last_run_at = long_ago
    entry.save()
loaded = time.perf_counter() - began
held = client.info("memory")["used_memory"] - before

scheduler = RedBeatScheduler(app, lazy=True, lock_key=None)
scheduler.lock_key = None
cpu = resource.getrusage(resource.RUSAGE_SELF)
began = time.perf_counter()
while client.llen("celery") < count:
    scheduler.tick()
wall = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF)
print(
    json.dumps(
        {
            "fires_per_s": count / wall,
            "messages": client.llen("celery"),
            "bytes_per_schedule": held / count,
            "loads_per_s": count / loaded,
            "client_us": (after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime) / count * 1e6,
            "rss_mb": after.ru_maxrss / 1024,
        }
    )
)
