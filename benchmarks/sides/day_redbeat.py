"""RedBeat + Celery + django-celery-results: the app of its processes, and `day_redbeat.py N PERIOD START`: N entries, each
due first at a second of its own in the PERIOD after START (epoch seconds), then again PERIOD seconds after it was fired.
Settings are JSON in the environment.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta

import peer_database
from celery import Celery
from celery.schedules import schedule
from worker_effects import effect

peer_database.use(os.environ["DATABASE_URL"], CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)

app = Celery("bench", broker=os.environ["BROKER_URL"])
app.conf.update(json.loads(os.environ["CELERY_SETTINGS"]))
# History is to tell what ran with which arguments, as ours does. That a task began costs one more write, so it is left out.
app.conf.update(result_backend="django-db", result_extended=True, task_track_started=False, task_ignore_result=False)
app.conf.update(redbeat_redis_url=os.environ["REDIS_URL"], redbeat_redis_options={}, beat_scheduler="redbeat.RedBeatScheduler")
# Seconds that RedBeat sleeps after a tick that took longer than until its next entry was due: 300 when nobody says otherwise.
app.conf.update(beat_max_loop_interval=1)


@app.task(name="bench.work")
def work(number: int) -> None:
    """The job."""
    effect(number)


def load(count: int, period: int, start: int) -> None:
    """What RedBeatSchedulerEntry.save writes, many entries at a time."""
    from redbeat import RedBeatSchedulerEntry
    from redbeat.schedulers import RedBeatJSONEncoder, get_redis

    pipe = get_redis(app).pipeline(transaction=False)
    for number in range(count):
        due = start + number % period
        entry = RedBeatSchedulerEntry(f"j{number:07d}", "bench.work", schedule(timedelta(seconds=period)), args=[number], app=app)
        parts = ("name", "task", "args", "kwargs", "options", "schedule", "enabled")
        meta = {"last_run_at": datetime.fromtimestamp(due - period, UTC)}
        pipe.hset(entry.key, "definition", json.dumps({part: getattr(entry, part) for part in parts}, cls=RedBeatJSONEncoder))
        pipe.hset(entry.key, "meta", json.dumps(meta, cls=RedBeatJSONEncoder))
        pipe.zadd(app.redbeat_conf.schedule_key, {entry.key: due})
        if number % 1_000 == 0:
            pipe.execute()
    pipe.execute()


if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    count, period, start = map(int, sys.argv[1:])
    began = time.perf_counter()
    load(count, period, start)
    print(json.dumps({"loads_per_s": count / (time.perf_counter() - began)}))
