"""The deployment's Celery app: `celery -A webadmin worker`, `celery -A webadmin beat -S backbeat.Scheduler`."""

import os

from backbeat import Backbeat

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webadmin.settings")

app = Backbeat("webadmin")
