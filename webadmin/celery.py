"""The Celery app of this deployment: `celery -A webadmin …` finds it here. Its settings stand in celeryconfig.py."""

from __future__ import annotations

import os

from backbeat import Backbeat

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webadmin.settings")
app = Backbeat("webadmin")
