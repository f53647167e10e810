"""Store N results in PostgreSQL by django-celery-results. usage: history_results.py DATABASE_URL N"""

import json
import os
import sys
import time
from pathlib import Path

import peer_database

count = int(sys.argv[2])
peer_database.use(sys.argv[1])

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django_celery_results.models import TaskResult  # noqa: E402

call_command("migrate", "django_celery_results", verbosity=0)


def server_cpu() -> float:
    """Seconds that the session's own process of the database has worked."""
    parts = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


server, cpu, began = server_cpu(), time.process_time(), time.perf_counter()
for n in range(count):
    TaskResult.objects.store_result(
        "application/json",
        "utf-8",
        f"reports.number{n:06d}",
        '{"rows": 42}',
        "SUCCESS",
        task_name="jobs.work",
        task_args='[7, "eu"]',
        task_kwargs='{"full": true}',
        worker="worker1@host",
    )
wall, cpu, server = time.perf_counter() - began, time.process_time() - cpu, server_cpu() - server
stored = TaskResult.objects.count()
figures = {"runs": stored, "rows_per_s": stored / wall, "runs_per_s": stored / wall}
print(json.dumps({**figures, "client_us": cpu / count * 1e6, "server_us": server / count * 1e6}))
