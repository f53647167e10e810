"""What `backbeat doctor` looks at. Each check says what it found and, when that is not well, the cure."""

from __future__ import annotations

import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from backbeat.conf import Settings, settings
from backbeat.errors import ConfigurationError, StoreUnavailable
from backbeat.store import health

OK, PROBLEM, UNREACHABLE = "ok", "problem", "unreachable"
_SKEW_MS = 2_000
_LATE_MS = 10_000
_PING_SECONDS = 1.5


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    status: str
    detail: str
    cure: str = ""


def examine(app: Callable[[], Any]) -> Iterator[Check]:
    """Every check, in the order in which causes come before effects. `app` loads the deployment's Celery app."""
    yield from _python()
    yield from _packages()
    try:
        conf = settings()
    except ConfigurationError as error:
        yield Check("settings", PROBLEM, str(error), "Correct the environment variables that it names.")
        return
    yield from _redis(conf)
    try:
        celery = app()
    except Exception as error:  # noqa: BLE001 - the deployment's own code runs here, and may raise anything
        yield Check("deployment", PROBLEM, _where(error), "Correct what it names; nothing of this deployment can start.")
        return
    yield from _code(celery)
    yield from _database()
    yield from _broker(celery, conf)


def _python() -> Iterator[Check]:
    fine = sys.version_info >= (3, 11)
    cure = "" if fine else "Use Python 3.11 or later."
    yield Check("python", OK if fine else PROBLEM, f"{platform.python_implementation()} {platform.python_version()}", cure)


def _packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    wrong = []
    for line in metadata.requires("backbeat") or ():
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        got = _version(wanted.name)
        if got is None or not wanted.specifier.contains(got, prereleases=True):
            wrong.append(f"{wanted.name}: expected {wanted.specifier or 'any version'}; got {got or 'none'}")
    if wrong:
        yield Check("packages", PROBLEM, "; ".join(wrong), "Run `make install`, or `pip install --upgrade backbeat`.")
    else:
        names = ("celery", "kombu", "redis", "django")
        yield Check("packages", OK, ", ".join(f"{name} {_version(name)}" for name in names))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _redis(conf: Settings) -> Iterator[Check]:
    from backbeat.store.store import open_store

    slots = open_store(conf).slots
    try:
        for finding in health.examine(slots.client):
            yield Check(
                f"redis {finding.name}", OK if finding.ok else PROBLEM, finding.detail, "" if finding.ok else finding.cure
            )
        yield _clock(slots.client)
        yield _schedulers(slots)
        yield _lateness(slots)
        yield _recorder(slots)
    except StoreUnavailable as error:
        yield Check("redis", UNREACHABLE, str(error), "Start the deployment with `backbeat dev`, or correct REDIS_URL.")


def _clock(client: Any) -> Check:
    skew = health.skew_ms(client, time.time_ns() // 1_000_000)
    if abs(skew) <= _SKEW_MS:
        return Check("clock", OK, f"{abs(skew)} ms beside Redis' clock")
    cure = "Nothing fires wrongly, since Redis' clock alone decides, but logs will confuse: run a time service here and there."
    return Check("clock", PROBLEM, f"this machine is {skew / 1000:+.1f} s beside Redis' clock", cure)


def _schedulers(slots: Any) -> Check:
    from backbeat.store.leases import living

    alive = living(slots)
    if alive:
        return Check("schedulers", OK, f"{len(alive)} alive: {', '.join(sorted(alive))}")
    return Check(
        "schedulers", PROBLEM, "none is alive, so nothing fires", "Start one: celery -A webadmin beat -S backbeat.Scheduler"
    )


def _lateness(slots: Any) -> Check:
    """The oldest occurrence that is due and not fired."""
    now = slots.now_ms()
    heads = [slots.client.zrange(keys.due, 0, 0, withscores=True) for keys in slots.all]
    late = max([now - int(float(head[0][1])) for head in heads if head], default=0)
    if late <= _LATE_MS:
        return Check("firing", OK, "nothing waits to be fired")
    cure = "Look at the logs of the schedulers; one that leads this shard must be alive and must reach Redis."
    return Check("firing", PROBLEM, f"an occurrence has been due for {late / 1000:.0f} s and is not fired", cure)


def _recorder(slots: Any) -> Check:
    """The oldest event that is not in the database yet."""
    now = slots.now_ms()
    heads = [slots.client.xrange(keys.events, count=1) for keys in slots.all]
    age = max([now - int(head[0][0].partition("-")[0]) for head in heads if head], default=0)
    if age <= _LATE_MS:
        return Check("history", OK, "every event is recorded")
    cure = "Start a keeper (`backbeat keeper`); when one runs, its log says why the database refuses."
    return Check("history", PROBLEM, f"events have waited for {age / 1000:.0f} s to be recorded", cure)


def _where(error: Exception) -> str:
    """What was raised, and the last line that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames and not isinstance(error, ConfigurationError) else ""
    return f"{type(error).__name__}: {error}{place}"


def _code(app: Any) -> Iterator[Check]:
    from backbeat.runtime import registry

    app.loader.import_default_modules()
    for failure in registry.failures:
        cure = f"Correct {failure.file}, line {failure.line}; the other modules are loaded."
        yield Check("jobs", PROBLEM, str(failure), cure)
    if not registry.failures:
        yield Check("jobs", OK, f"{len(registry.jobs)} loaded from {', '.join(app.conf.imports or ()) or 'no package'}")


def _database() -> Iterator[Check]:
    from django.db import DatabaseError, connection
    from django.db.migrations.executor import MigrationExecutor

    try:
        executor = MigrationExecutor(connection)
        pending = [str(migration) for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    except DatabaseError as error:
        cure = "Jobs go on and events wait; start the database, or correct DATABASE_URL."
        yield Check("database", UNREACHABLE, f"{connection.vendor}: {str(error).strip()}", cure)
        return
    if pending:
        yield Check("database", PROBLEM, f"migrations are pending: {', '.join(pending)}", "Run `python manage.py migrate`.")
    else:
        yield Check("database", OK, f"{connection.vendor}, every migration applied")


def _broker(app: Any, conf: Settings) -> Iterator[Check]:
    from kombu.exceptions import OperationalError

    scheme = conf.broker_url.partition(":")[0]
    try:
        with app.connection_for_write(connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            yield Check("broker", OK, f"{scheme} lets us in")
        replies = app.control.ping(timeout=_PING_SECONDS)
    except (OperationalError, OSError) as error:
        cure = "Fires wait in the outbox; start the broker, or correct BROKER_URL."
        yield Check("broker", UNREACHABLE, f"{scheme}: {error}", cure)
        return
    workers = sorted(name for reply in replies for name in reply)
    if workers:
        yield Check("workers", OK, f"{len(workers)} answer: {', '.join(workers)}")
    else:
        yield Check("workers", PROBLEM, "none answers, so runs wait in their queues", "Start one: backbeat worker --pool default")
