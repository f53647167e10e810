"""Backbeat: the app of its processes, and `day_ours.py N PERIOD BATCH [since]`: N schedules, each due once in PERIOD seconds.

One definition goes through the front door; the database copies it N times, since this benchmark does not measure saving. The
index is written as a keeper's sweep writes it, and the sweep finds nothing to mend there.
"""

import json
import sys
import time
from datetime import UTC, datetime, timedelta

from worker_effects import effect

from backbeat import Backbeat, job
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Every
from backbeat.store.store import open_store

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
COPY_JOBS = """
INSERT INTO backbeat_job ({columns}) SELECT {values}
FROM backbeat_job job, generate_series(1, %s) number WHERE job.name = 'j0000000'
"""
COPY_SCHEDULES = """
INSERT INTO backbeat_schedule ({columns}) SELECT {values}
FROM backbeat_schedule schedule JOIN backbeat_job first ON first.id = schedule.job_id AND first.name = 'j0000000'
CROSS JOIN generate_series(1, %s) number JOIN backbeat_job job ON job.name = 'j' || lpad(number::text, 7, '0')
"""

app = Backbeat("bench")


@job("bench.work", overlap="allow")
def work(number: int) -> None:
    """The job."""
    effect(number)


def spec(number: int, period: int, batch: int) -> JobSpec:
    """A schedule that is due at a second of its own in each period, as the peer's are."""
    when = Every(f"{period}s", anchor=EPOCH + timedelta(seconds=number % period))
    return JobSpec(f"j{number:07d}", "bench.work", (Schedule(when, args=(number,)),), overlap=Overlap.ALLOW, batch=batch)


def define(count: int, period: int, batch: int) -> None:
    """The rows of all definitions."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction

    from backbeat.admin.definitions import save

    call_command("migrate", verbosity=0)
    save(spec(0, period, batch))
    anchor = f"'2020-01-01 00:00:00+00'::timestamptz + make_interval(secs => number %% {period})"
    name = "'j' || lpad(number::text, 7, '0')"
    with transaction.atomic(), connection.cursor() as cursor:
        copied(cursor, COPY_JOBS, "job", {"name": name, "published": f"jsonb_build_array({name})"}, count - 1)
        varied = {"job_id": "job.id", "anchor": anchor, "args": "jsonb_build_array(number)"}
        copied(cursor, COPY_SCHEDULES, "schedule", varied, count - 1)


def copied(cursor: object, statement: str, table: str, varied: dict[str, str], count: int) -> None:
    """Copy the first row, all of whose other columns stay."""
    cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [f"backbeat_{table}"])
    columns = [name for (name,) in cursor.fetchall() if name != "id"]
    values = ", ".join(varied.get(name, f'{table}."{name}"') for name in columns)
    cursor.execute(statement.format(columns=", ".join(f'"{name}"' for name in columns), values=values), [count])


if __name__ == "__main__":
    count, period, batch = map(int, sys.argv[1:])
    define(count, period, batch)
    began = time.perf_counter()
    open_store().index.put_many(spec(number, period, batch) for number in range(count))
    print(json.dumps({"loads_per_s": count / (time.perf_counter() - began)}))
