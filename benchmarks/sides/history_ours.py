"""Write N runs with their attempts by one of our ways or Django's. usage: history_ours.py WAY N FILE_WITH_ROWS"""

import json
import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from backbeat.admin.history import DatabaseHistory  # noqa: E402
from backbeat.admin.models import Attempt, Run  # noqa: E402
from backbeat.core.job import JobSpec  # noqa: E402
from backbeat.core.keys import occurrence_id  # noqa: E402
from backbeat.core.message import dumps  # noqa: E402
from backbeat.runtime.duties import policies  # noqa: E402
from backbeat.runtime.recorder import Recorder  # noqa: E402
from backbeat.store.connect import connect  # noqa: E402
from backbeat.store.events import EventStreams  # noqa: E402
from backbeat.store.scripts import run_many, script  # noqa: E402
from backbeat.store.slots import Slots  # noqa: E402
from backbeat.store.store import Store  # noqa: E402

way, count, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
A_TRANSACTION, JOBS, AT_ONCE = 2_000, 500, 250


def server_cpu() -> float:
    """Seconds that the session's own process of the database has worked."""
    parts = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def timed(write: Callable[[], object], runs: int) -> dict[str, float]:
    """The figures of writing so many runs."""
    connection.ensure_connection()
    server, cpu, began = server_cpu(), time.process_time(), time.perf_counter()
    write()
    wall, cpu, server = time.perf_counter() - began, time.process_time() - cpu, server_cpu() - server
    figures = {"runs": runs, "rows_per_s": 2 * runs / wall, "runs_per_s": runs / wall}
    return {**figures, "client_us": cpu / runs * 1e6, "server_us": server / runs * 1e6}


def events(store: Store) -> None:
    """Runs that lived in the ledger: submitted, claimed and finished by its own scripts."""
    store.slots.client.flushall()
    names = [f"reports.number{n:03d}" for n in range(JOBS)]
    store.index.put_many(JobSpec(name, "jobs.work", pool="reports") for name in names)
    template = store.index.template_of(names[0])
    moment = store.slots.now_ms() // 1000 * 1000
    for at in range(0, count, AT_ONCE):
        runs = [(names[n % JOBS], moment - n // JOBS * 1000) for n in range(at, min(at + AT_ONCE, count))]
        ids = [occurrence_id(*run) for run in runs]
        same = ["q", template.queue, "tid", template.id, "x", '[[7,"eu"],{"full":true}]']
        told = dumps({"result": '{"rows": 42}'})
        for name, argv in (
            ("submit", [["0", "60000", "0", "", dumps(["j", job, "n", str(nominal), *same])] for job, nominal in runs]),
            ("claim", [["host:1:bench", "30000", "worker1@host", "", "0", "60000", "1000", "", ""]] * len(ids)),
            ("finish", [["host:1:bench", "1", "succeeded", "", told, "0", "60000", "1000", ""]] * len(ids)),
        ):
            slots = [store.slots.of(run_id) for run_id in ids]
            calls = [
                (script(name), [keys.run(run_id), keys.timers], [keys.prefix, run_id, *args])
                for keys, run_id, args in zip(slots, ids, argv, strict=True)
            ]
            run_many(store.slots.client, calls)


def ours() -> dict[str, float]:
    """The recorder of a keeper, from the first event to the last acknowledgement."""
    store = Store(Slots(connect(os.environ["REDIS_URL"], timeout=60.0)))
    events(store)
    streams = EventStreams(store.slots, "bench")
    recorder = Recorder(streams, DatabaseHistory(), lambda run_id, tid: policies(store, run_id, tid))
    recorder.start()
    waited = streams.backlog()

    def drain() -> None:
        left = waited
        while left:
            left -= recorder.step(1)

    figures = timed(drain, count)
    stored = Run.objects.filter(state="succeeded", attempts=1, task="jobs.work", pool="reports")
    fine = stored.exclude(started_at=None).exclude(finished_at=None).filter(args=[7, "eu"], result='{"rows": 42}')
    attempts = Attempt.objects.filter(number=1, state="succeeded", worker="worker1@host")
    return {
        **figures,
        "stored_runs": Run.objects.count(),
        "stored_attempts": attempts.count(),
        "different": count - fine.count(),
        "left": streams.backlog(),
    }


def copied(tables: dict) -> Callable[[], None]:
    """The rows by COPY, as plainly as psycopg lets one."""

    def write() -> None:
        for at in range(0, count, A_TRANSACTION):
            with transaction.atomic(), connection.cursor() as cursor:
                for name, (columns, rows) in tables.items():
                    with cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as stream:
                        for row in rows[at : at + A_TRANSACTION]:
                            stream.write_row(row)

    return write


def instances(tables: dict) -> list[tuple[Run, Attempt]]:
    """The same values as model instances."""
    (run_columns, runs), (columns, attempts) = tables["backbeat_run"], tables["backbeat_attempt"]
    made = [Run(**dict(zip(run_columns, row, strict=True))) for row in runs[:count]]
    tries = [Attempt(**dict(zip(columns, row, strict=True))) for row in attempts[:count]]
    for run in made:
        run.args, run.kwargs = json.loads(run.args), json.loads(run.kwargs)
    return list(zip(made, tries, strict=True))


def saved(pairs: list[tuple[Run, Attempt]]) -> None:
    """One by one, each row a transaction of its own."""
    for run, attempt in pairs:
        run.save(force_insert=True)
        attempt.save(force_insert=True)


def bulk_created(pairs: list[tuple[Run, Attempt]]) -> None:
    """1,000 rows a statement."""
    for at in range(0, len(pairs), 1000):
        with transaction.atomic():
            Run.objects.bulk_create([run for run, _ in pairs[at : at + 1000]])
            Attempt.objects.bulk_create([attempt for _, attempt in pairs[at : at + 1000]])


def main() -> dict[str, float]:
    """Measure one way."""
    if way == "migrate":
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        return {}
    if way == "backbeat":
        return ours()
    tables = pickle.loads(file.read_bytes())
    if way == "copy":
        return timed(copied(tables), count)
    pairs = instances(tables)
    return timed(lambda: (saved if way == "save" else bulk_created)(pairs), count)


print(json.dumps(main()))
