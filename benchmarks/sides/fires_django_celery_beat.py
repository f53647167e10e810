"""Fire what is due of N django-celery-beat entries for a while. usage: fires_django_celery_beat.py REDIS_URL N SECONDS FOLDER"""

import json
import logging
import resource
import sys
import time
from datetime import timedelta

import django
from django.conf import settings

url, count, seconds, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/beat.sqlite3"}},
    INSTALLED_APPS=["django_celery_beat"],
    USE_TZ=True,
    TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()
logging.disable(logging.CRITICAL)

from celery import Celery  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks  # noqa: E402
from django_celery_beat.schedulers import DatabaseScheduler  # noqa: E402

call_command("migrate", verbosity=0)
connection.cursor().execute("PRAGMA journal_mode=WAL")
app = Celery("bench", broker=url)
app.conf.update(timezone="UTC", enable_utc=True)
every = CrontabSchedule.objects.create(minute="*/5")
ago = timezone.now() - timedelta(minutes=10)
PeriodicTask.objects.bulk_create(
    [
        PeriodicTask(name=f"job.number{i:07d}", task="jobs.work", crontab=every, args=f"[{i}]", last_run_at=ago)
        for i in range(count)
    ],
    batch_size=500,
)
PeriodicTasks.update_changed()

scheduler = DatabaseScheduler(app)
client = app.connection().default_channel.client
scheduler.tick()  # the first one only builds its heap
done = client.llen("celery")
began = time.perf_counter()
while time.perf_counter() - began < seconds and client.llen("celery") < count:
    scheduler.tick()
wall = time.perf_counter() - began
print(
    json.dumps(
        {
            "fires_per_s": (client.llen("celery") - done) / wall,
            "messages": client.llen("celery"),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
