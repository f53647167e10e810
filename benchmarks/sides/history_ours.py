"""Write N runs with their attempts by one of our ways or Django's. usage: history_ours.py WAY N FILE_WITH_ROWS"""

import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from backbeat.admin.history import DatabaseHistory  # noqa: E402
from backbeat.admin.models import Attempt, Run  # noqa: E402
from backbeat.core.job import JobSpec  # noqa: E402
from backbeat.core.keys import occurrence_id  # noqa: E402
from backbeat.core.state import RunState  # noqa: E402
from backbeat.runtime.duties import policies  # noqa: E402
from backbeat.runtime.ports import Event  # noqa: E402
from backbeat.runtime.recorder import Recorder  # noqa: E402
from backbeat.store.connect import connect  # noqa: E402
from backbeat.store.events import EventStreams  # noqa: E402
from backbeat.store.slots import Slots  # noqa: E402
from backbeat.store.store import Store  # noqa: E402

way, count, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
A_TRANSACTION, JOBS = 2_000, 500


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
    """Runs that lived in the ledger: submitted, claimed and finished."""
    names = [f"reports.number{n:03d}" for n in range(JOBS)]
    store.index.put_many(JobSpec(name, "jobs.work", pool="reports") for name in names)
    template = store.index.template_of(names[0])
    moment = store.slots.now_ms() // 1000 * 1000
    same = {"q": template.queue, "tid": template.id, "x": '[[7,"eu"],{"full":true}]'}

    def live(n: int) -> None:
        job, nominal = names[n % JOBS], moment - n // JOBS * 1000
        run_id = occurrence_id(job, nominal)
        store.ledger.submit(run_id, {"j": job, "n": nominal, **same}, "")
        claim = store.ledger.claim(run_id, "host:1:bench", 30, "worker1@host")
        store.ledger.finish(run_id, "host:1:bench", claim.attempt, RunState.SUCCEEDED, {"result": '{"rows": 42}'})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(live, range(count), chunksize=100))


class Caught:
    """Keeps what the recorder hands over."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []

    def ready(self, told: Sequence[Event]) -> list[Event]:
        """The events of a batch."""
        return list(told)

    def write(self, batch: list[Event]) -> None:
        """One batch."""
        self.batches.append(batch)


def drained(history: object) -> tuple[Callable[[], None], EventStreams]:
    """What records all the events of the ledger, from the first to the last acknowledgement."""
    store = Store(Slots(connect(os.environ["REDIS_URL"], timeout=60.0)))
    store.slots.client.flushall()
    streams = EventStreams(store.slots, "bench")
    recorder = Recorder(streams, history, lambda run_id, tid: policies(store, run_id, tid))
    recorder.start()
    events(store)
    waited = streams.backlog()

    def drain() -> None:
        left = waited
        while left:
            left -= recorder.step(1)

    return drain, streams


def ours() -> dict[str, float]:
    """The recorder of a keeper."""
    drain, streams = drained(DatabaseHistory())
    return timed(drain, count) | {"left": streams.backlog()} | stored()


def writing() -> dict[str, float]:
    """The same batches, read before: from events in memory to the commit."""
    caught = Caught()
    drained(caught)[0]()
    history = DatabaseHistory()
    return timed(lambda: [history.record(batch) for batch in caught.batches], count) | stored()


def stored() -> dict[str, int]:
    """Whether everything is there as it was told."""
    fine = Run.objects.filter(state="succeeded", attempts=1, task="jobs.work", pool="reports", args=[7, "eu"])
    fine = fine.exclude(started_at=None).exclude(finished_at=None).filter(result='{"rows": 42}')
    attempts = Attempt.objects.filter(number=1, state="succeeded", worker="worker1@host")
    return {"stored_runs": Run.objects.count(), "stored_attempts": attempts.count(), "different": count - fine.count()}


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
    if way in ("backbeat", "writing"):
        return ours() if way == "backbeat" else writing()
    tables = pickle.loads(file.read_bytes())
    if way == "copy":
        return timed(copied(tables), count)
    pairs = instances(tables)
    return timed(lambda: (saved if way == "save" else bulk_created)(pairs), count)


print(json.dumps(main()))
