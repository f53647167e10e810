"""A project as it was before Backbeat: Celery tasks, entries saved through RedBeat's own API, a `beat_schedule`."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery
from celery.schedules import schedule as interval
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import ensure_conf, get_redis

from backbeat.conf import kombu_url

TASKS = '''
"""Plain Celery tasks whose effects are lines appended to a file that no fault touches."""
import os, time
from celery import shared_task

def effect(word, run_id):
    handle = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{word} {run_id} 0 {time.time():.3f}\\n".encode())
    os.close(handle)

@shared_task(name="old.work", bind=True)
def work(self, word="end", seconds=0.0):
    effect("begin", self.request.id)
    time.sleep(seconds)
    effect(word, self.request.id)
    return self.request.id

@shared_task(name="old.headers", bind=True)
def headers(self, key):
    effect(f"{key}={self.request.get(key)}", self.request.id)
'''


class OldBeat:
    """RedBeat's API on a server, as a program of the project would use it."""

    def __init__(self, redis_url: str, **settings: Any) -> None:
        self.app = Celery("old", set_as_current=False)
        self.app.conf.update(
            broker_url=settings.pop("broker_url", kombu_url(redis_url)),
            redbeat_redis_url=redis_url,
            redbeat_redis_options={},
            timezone="UTC",
            enable_utc=True,
            # With an expiry Celery may add an entry of its own, to clean up a result backend.
            **{"result_expires": None, **settings},
        )
        ensure_conf(self.app)
        self.client = get_redis(self.app)

    def save(self, name: str, schedule: Any, task: str = "old.work", **fields: Any) -> RedBeatSchedulerEntry:
        """Save an entry as the documentation of RedBeat says; a number is seconds."""
        schedule = interval(schedule, app=self.app) if isinstance(schedule, (int, float)) else schedule
        return RedBeatSchedulerEntry(name, task, schedule, app=self.app, **fields).save()

    def entry(self, name: str) -> RedBeatSchedulerEntry:
        """Read it back, by RedBeat's own means."""
        return RedBeatSchedulerEntry.from_key(f"redbeat:{name}", app=self.app)

    def last_run(self, name: str, when: datetime) -> None:
        """Let an entry have run last at this time, as a scheduler that ran before would have left it."""
        self.entry(name).reschedule(last_run_at=when)


def write_project(folder: Path, beat_schedule: str = "{}", more: str = "") -> None:
    """The project's tasks and configuration; `beat_schedule` is Python."""
    (folder / "old_tasks.py").write_text(TASKS)
    (folder / "celeryconfig.py").write_text(
        "from celery.schedules import crontab, schedule, solar\nfrom datetime import timedelta\n"
        f'imports = ("old_tasks",)\nbeat_schedule = {beat_schedule}\n{more}\n'
    )


def lines(path: Path, word: str) -> list[tuple[str, float]]:
    """(run id, time) of every line of this word."""
    found = path.read_text().splitlines() if path.exists() else []
    rows = [line.split() for line in found]
    return [(row[1], float(row[3])) for row in rows if row[0] == word]


def counted(path: Path, word: str) -> Counter[str]:
    """How often each run had this effect."""
    return Counter(run_id for run_id, _ in lines(path, word))


def seconds_of(ids: Iterable[str]) -> list[int]:
    """The nominal times (epoch seconds) of run ids, in order."""
    return sorted(round(datetime.fromisoformat(one.partition("@")[2]).timestamp()) for one in ids)


def now() -> datetime:
    """This moment."""
    return datetime.fromtimestamp(time.time(), UTC)


def decoded(message: str) -> dict[str, Any]:
    """A message as it lies in a Redis queue."""
    found: dict[str, Any] = json.loads(message)
    return found
