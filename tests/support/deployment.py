"""A whole small deployment in a folder of its own: real Django settings, real Celery processes, jobs that log their effects."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis

from backbeat.conf import Settings
from backbeat.core.job import JobSpec
from backbeat.core.priority import queues_of
from backbeat.store.store import Store, _open
from tests.support.processes import OwnProcess

ROOT = Path(__file__).resolve().parents[2]

JOBS = '''
"""Jobs whose effects are lines appended to a file that no fault touches."""
import os, time
from backbeat import Retry, current_run, job

def effect(word):
    run = current_run()
    line = f"{word} {run.id} {run.attempt} {time.time():.3f}\\n"
    handle = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.close(handle)

@job("probe.work")
def work(seconds: float = 0.0) -> str:
    effect("begin")
    time.sleep(seconds)
    effect("end")
    return current_run().id

@job("probe.flaky", retry=Retry(3, delay="100ms", jitter=False))
def flaky(until: int = 3) -> int:
    effect("begin")
    if current_run().attempt < until:
        raise RuntimeError(f"attempt {current_run().attempt} fails")
    effect("end")
    return current_run().attempt

@job("probe.die")
def die() -> None:
    effect("begin")
    os.kill(os.getpid(), 9)

@job("probe.slow", timeout="1s")
def slow() -> None:
    effect("begin")
    time.sleep(60)

@job("probe.loop")
def loop(seconds: float = 60.0) -> str:
    effect("begin")
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            time.sleep(0.02)
    finally:
        effect("cleanup")
    effect("end")
    return "done"

@job("probe.stubborn")
def stubborn(seconds: float) -> str:
    effect("begin")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            time.sleep(0.02)
        except BaseException:
            pass
    effect("end")
    return "too late"

@job("probe.book", transactional=True)
def book(seconds: float = 0.0) -> None:
    from django.db import connection
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO booked (run_id) VALUES (%s)", [current_run().id])
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)

@job("probe.says")
def says(text: str) -> None:
    current_run().log.info("it says %s", text)
'''

SETTINGS = """
import os
SECRET_KEY = "for tests only"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin", "backbeat.admin"]
from backbeat.admin.database import database
DATABASES = {"default": database(os.environ["DATABASE_URL"])}
USE_TZ = True
"""

CELERY = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
if "CRASH" in os.environ:
    import crash_points
from backbeat import Backbeat
app = Backbeat("probe", include=["probe_jobs"])
"""


CRASH = '''
"""Faults just before or after the n-th call of a script: CRASH=name:before|after:n, or several of them with commas between.

The fault is a SIGKILL; with FAULT=cut it is a lost connection, and a line in cuts.log.
"""
import os, signal
from collections import Counter
from redis.exceptions import ConnectionError
from backbeat.store import scripts
from backbeat.store.conversation import Conversation

POINTS = [point.split(":") for point in os.environ["CRASH"].split(",")]
seen = Counter()

def reached(names, when):
    for name, at, nth in POINTS:
        if at == when and name in names:
            seen[name, at] += 1
            if seen[name, at] == int(nth):
                fault(f"{name}:{at}")

def fault(point):
    if os.environ.get("FAULT") != "cut":
        os.kill(os.getpid(), signal.SIGKILL)
    with open("cuts.log", "a") as file:
        file.write(point + "\\n")
    raise ConnectionError(f"cut {point}")

def around(inner, names_of):
    def call(*args):
        names = names_of(*args)
        reached(names, "before")
        answer = inner(*args)
        reached(names, "after")
        return answer
    return call

def asking(inner):
    def ask(talk, calls):
        reached([call[0].name for call in calls], "before")
        inner(talk, calls)
    return ask

def answering(inner):
    def answer(talk):
        names = [call[0].name for call in talk._asked[0]]
        got = inner(talk)
        reached(names, "after")
        return got
    return answer

scripts.Script.__call__ = around(scripts.Script.__call__, lambda script, *_: [script.name])
scripts._pipelined = around(scripts._pipelined, lambda client, calls: [call[0].name for call in calls])
Conversation.ask, Conversation.answer = asking(Conversation.ask), answering(Conversation.answer)
'''


class Deployment:
    """Start it, submit to it, kill parts of it, and count effects."""

    def __init__(self, folder: Path, redis_url: str, broker_url: str | None = None, **env: str) -> None:
        self.folder = folder
        self.effects_file = folder / "effects.log"
        places = {"REDIS_URL": redis_url, "BROKER_URL": broker_url or "", "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("BACKBEAT_", "CELERY", "DJANGO_"))}
        own = {"BACKBEAT_HOME": str(folder), "EFFECTS": str(self.effects_file), "DJANGO_SETTINGS_MODULE": "site_settings"}
        paths = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT / 'platform'}", "PYTHONSAFEPATH": ""}
        self.env = {**clean, **{name: value for name, value in places.items() if value}, **own, **paths, **env}
        for name, text in (
            ("probe_jobs.py", JOBS),
            ("site_settings.py", SETTINGS),
            ("probe_app.py", CELERY),
            ("crash_points.py", CRASH),
            ("celeryconfig.py", ""),
        ):
            (folder / name).write_text(text)
        self.settings = Settings.load({name: value for name, value in self.env.items() if name.isupper()})
        self.processes: dict[str, OwnProcess] = {}
        self.command(sys.executable, "-m", "django", "migrate", "-v0", "--skip-checks")

    def includes(self, *modules: str) -> None:
        """Let processes that start from now on import more modules of jobs."""
        app = self.folder / "probe_app.py"
        app.write_text(
            app.read_text().replace(
                'include=["probe_jobs"', "".join(['include=["probe_jobs"', *(f', "{name}"' for name in modules)])
            )
        )

    @property
    def store(self) -> Store:
        """The deployment's ledger and index, as this process sees them."""
        return _open(self.settings)

    @property
    def client(self) -> redis.Redis:
        """The deployment's Redis."""
        return self.store.slots.client

    def command(self, *argv: str) -> str:
        """Run a command inside the deployment; its output. Fails loudly."""
        done = subprocess.run(argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def worker(self, name: str = "worker", *more: str, pools: Iterable[str] = ("default",), children: int = 2) -> OwnProcess:
        """A plain Celery worker."""
        queues = ",".join(queues_of(pools))
        argv = [
            "-m",
            "celery",
            "-A",
            "probe_app",
            "worker",
            "-Q",
            queues,
            "-c",
            str(children),
            "-n",
            f"{name}@test",
            "-l",
            "INFO",
        ]
        return self._start(name, [*argv, *more])

    def beat(self, name: str = "beat") -> OwnProcess:
        """A scheduler."""
        return self._start(
            name, ["-m", "celery", "-A", "probe_app", "beat", "-S", "backbeat.Scheduler", "--pidfile=", "-l", "INFO"]
        )

    def keeper(self, name: str = "keeper") -> OwnProcess:
        """A keeper."""
        return self._start(name, ["-m", "backbeat.cli", "keeper", "-A", "probe_app"])

    def crashing(self, start: Callable[[str], OwnProcess], name: str, point: str, fault: str = "kill") -> OwnProcess:
        """Start a process that kills itself at a point, written `script:before|after:nth`.

        With the fault `cut` it loses its connection there instead, at several points with commas between; see `cuts.log`.
        """
        self.env |= {"CRASH": point, "FAULT": fault}
        try:
            return start(name)
        finally:
            del self.env["CRASH"], self.env["FAULT"]

    def _start(self, name: str, argv: list[str]) -> OwnProcess:
        # A second one under the same name would be left running by a test that stops it by its name.
        assert name not in self.processes or not self.processes[name].alive, f"{name} runs already"
        process = OwnProcess(name, [sys.executable, *argv], self.folder, self.env)
        process.start()
        self.processes[name] = process
        return process

    def stop(self) -> None:
        """Stop what is still running, by PID."""
        for process in self.processes.values():
            process.stop(within=10)

    def define(self, *specs: JobSpec) -> None:
        """Save definitions, as the admin and the importers do."""
        script = "import base64, pickle, sys, django; django.setup(); from backbeat.admin.definitions import save; "
        script += "[save(spec) for spec in pickle.loads(base64.b64decode(sys.argv[1]))]"
        self.command(sys.executable, "-c", script, base64.b64encode(pickle.dumps(specs)).decode())

    def submit(self, job: str, key: str, **kwargs: Any) -> str:
        """Submit a run under a key, by the same code that a web process would use."""
        from backbeat.core.message import arguments_of
        from backbeat.runtime.submit import prepare

        run_id = f"{job}:{key}"
        prepare(self.store, job, run_id, arguments_of((), kwargs), keyed=True, send=True)
        return run_id

    def effects(self, word: str = "end") -> Counter[str]:
        """How often each run had this effect."""
        lines = self.effects_file.read_text().splitlines() if self.effects_file.exists() else []
        return Counter(line.split()[1] for line in lines if line.startswith(f"{word} "))

    def attempts(self, run_id: str) -> list[tuple[int, str, str]]:
        """What history knows of a run's attempts: number, state, error."""
        sql = f"select number, state, error_type from backbeat_attempt where run_id = '{run_id}' order by number"
        return self.rows(sql)  # type: ignore[return-value] # as the columns are

    def state(self, run_id: str) -> str:
        """The state of a run in history; empty when it is not recorded yet."""
        return next((state for (state,) in self.rows(f"select state from backbeat_run where run_id = '{run_id}'")), "")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the deployment's database; a statement that gives none is carried out."""
        if not self.env["DATABASE_URL"].startswith("sqlite"):
            import psycopg

            with psycopg.connect(self.env["DATABASE_URL"]) as session:
                done = session.execute(sql.encode())
                return done.fetchall() if done.description else []
        import sqlite3

        with sqlite3.connect(self.folder / "db.sqlite3", timeout=20) as connection:
            return connection.execute(sql).fetchall()

    def story(self) -> str:
        """The ends of all logs, for a failure's message."""
        return "\n".join(f"===== {name}\n{process.logs(1500)}" for name, process in self.processes.items())
