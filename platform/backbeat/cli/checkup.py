"""What `backbeat doctor` looks at. Each check says what it found and, when that is not well, the cure."""

from __future__ import annotations

import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from backbeat.conf import Settings, settings
from backbeat.errors import ConfigurationError, StoreUnavailable
from backbeat.store import health

if TYPE_CHECKING:
    from backbeat.runtime.status import Status
    from backbeat.store.store import Store

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
    from backbeat.runtime.status import status
    from backbeat.store.store import open_store

    store = open_store(conf)
    client = store.slots.client
    try:
        for finding in health.examine(client):
            yield Check(
                f"redis {finding.name}", OK if finding.ok else PROBLEM, finding.detail, "" if finding.ok else finding.cure
            )
        yield _clock(client)
        state = status(store)
        yield from _processes(state)
        yield from _queues(store, state, conf)
    except StoreUnavailable as error:
        yield Check("redis", UNREACHABLE, str(error), "Start the deployment with `backbeat dev`, or correct REDIS_URL.")


def _clock(client: Any) -> Check:
    skew = health.skew_ms(client, time.time_ns() // 1_000_000)
    if abs(skew) <= _SKEW_MS:
        return Check("clock", OK, f"{abs(skew)} ms beside Redis' clock")
    cure = "Nothing fires wrongly, since Redis' clock alone decides, but logs will confuse: run a time service here and there."
    return Check("clock", PROBLEM, f"this machine is {skew / 1000:+.1f} s beside Redis' clock", cure)


def _processes(state: Status) -> Iterator[Check]:
    yield _alive(state, "scheduler", "so nothing fires", "celery -A webadmin beat -S backbeat.Scheduler")
    yield _alive(state, "keeper", "so nothing is recorded, repaired or retried", "backbeat keeper")
    # A missing scheduler is told above, and that nobody leads a shard then is the same trouble twice.
    troubles = [one for one in state.problems if one.code not in ("no-scheduler", "leaderless") or state.schedulers]
    for trouble in troubles:
        yield Check("firing", PROBLEM, trouble.sentence, trouble.cure)
    if not troubles:
        lag = f"; half of the last minute's fires within {state.lag.p50} ms" if state.lag.count else ""
        yield Check("firing", OK, f"nothing is overdue{lag}")
    if state.parked_count:
        names = ", ".join(sorted(state.parked)[:5])
        yield Check(
            "entries", PROBLEM, f"{state.parked_count} could not be evaluated: {names}", "backbeat scheduler status says why."
        )
    yield _waiting("history", "events", state.backlog, state.backlog_ms, "the keeper's log says why the database refuses them")


def _queues(store: Store, state: Status, conf: Settings) -> Iterator[Check]:
    from backbeat.runtime.app_defaults import is_redis
    from backbeat.runtime.queue_check import longer_timeout, named, outlasting, policies_of_all, unserved

    policies = list(policies_of_all(store))
    lonely = unserved(policies, state.processes, state.now)
    for queue, jobs in sorted(lonely.items()):
        pool = queue.rpartition(".p")[0] or queue
        cure = f"Start one: backbeat worker --pool {pool}"
        yield Check("queues", PROBLEM, f"no live worker consumes queue {queue}, which {named(jobs)} use", cure)
    timeouts = [(job, template.timeout) for job, template in policies]
    if not is_redis(conf.broker_url) and (sentence := outlasting(timeouts, conf.consumer_timeout)):
        yield Check("consumer_timeout", PROBLEM, sentence, longer_timeout(timeouts))
    elif not lonely:
        yield Check("queues", OK, f"those of {len(policies)} defined jobs fit the workers")


def _alive(state: Status, kind: str, otherwise: str, command: str) -> Check:
    alive = [one.name for one in state.processes if one.kind == kind and not one.silent(state.now)]
    if alive:
        return Check(f"{kind}s", OK, f"{len(alive)} alive: {', '.join(alive)}")
    return Check(f"{kind}s", PROBLEM, f"none is alive, {otherwise}", f"Start one: {command}")


def _waiting(name: str, what: str, count: int, age_ms: int, cure: str) -> Check:
    if age_ms <= _LATE_MS:
        return Check(name, OK, f"{count or 'no'} {what} wait")
    return Check(name, PROBLEM, f"{count} {what} wait, the oldest for {age_ms / 1000:.0f} s", f"A keeper must run; {cure}.")


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
        yield Check(
            "jobs",
            OK,
            f"{len(registry.jobs)} loaded from {', '.join(sorted({*app.conf.imports, *app.conf.include})) or 'no module'}",
        )


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
        from backbeat.admin.submissions import unsent

        yield Check("database", OK, f"{connection.vendor}, every migration applied")
        count, age, why = unsent()
        yield _waiting("submissions", "runs that were asked for", count, age, why or "it sends them when Redis is back")


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
