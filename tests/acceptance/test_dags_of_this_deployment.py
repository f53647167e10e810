"""The graphs of this repository, in its own Django project, on a real worker: each goes green and does what it says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import psycopg
import pytest

from tests.acceptance.test_dags import ended, sync
from tests.support.deployment import ROOT, Deployment
from tests.support.eventually import eventually
from tests.support.fixtures import missing
from tests.support.servers import RedisServer

OLD_ROWS = """
import django; django.setup()
from datetime import UTC, datetime, timedelta
from backbeat.admin.models import Attempt, DagRun, Omission, Run
def ago(days): return datetime.now(UTC) - timedelta(days=days)
def run(name, state, days, over=True):
    Run.objects.create(run_id=name, job="old", state=state, queued_at=ago(days), finished_at=ago(days) if over else None)
    Attempt.objects.create(run_id=name, number=1, state=state)
run("good-old", "succeeded", 100); run("good-young", "succeeded", 80)
run("bad-young", "failed", 100); run("bad-old", "failed", 400); run("unfinished", "running", 900, over=False)
DagRun.objects.create(dag_run_id="dag-old", dag="old", state="succeeded", queued_at=ago(100), finished_at=ago(100))
Omission.objects.create(job="old", reason="paused", first=ago(101), last=ago(100))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("own")
    paths = os.pathsep.join(map(str, (folder, ROOT / "platform", ROOT)))
    made = Deployment(folder, redis_server.url, PYTHONPATH=paths, DJANGO_SETTINGS_MODULE="webadmin.settings")
    (made.folder / "celeryconfig.py").write_text('imports = ("jobs", "dags")\n')
    sync(made)
    made.worker(children=2)
    made.keeper()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shop(site: Deployment) -> Path:
    """A database that nobody writes to, so that its bytes can be compared."""
    path = site.folder / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO orders VALUES (?)", [(number,) for number in range(1000)])
        connection.commit()
    return path


def run(site: Deployment, name: str, key: str, **params: Any) -> str:
    """Run one of the graphs to its end; the state."""
    return ended(site, site.submit(name, key, **params), within=180)


def node(site: Deployment, run_id: str, name: str) -> tuple[str, str]:
    """State and error message of a node, once it is recorded."""
    sql = f"select state, error_message from backbeat_run where run_id = '{run_id}/{name}' and finished_at is not null"
    (row,) = eventually(lambda: site.rows(sql), within=30)
    return row


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_environment_audit_writes_its_report(site: Deployment) -> None:
    assert run(site, "environment_audit", "1") == "succeeded"

    report = site.folder / "reports" / "environment-audit.html"
    assert "Environment audit" in report.read_text()
    assert json.loads(report.with_suffix(".json").read_text())["distributions"] > 60


def test_the_nightly_backup_proves_a_copy_rotates_old_ones_and_never_touches_the_original(site: Deployment, shop: Path) -> None:
    kept, before = site.folder / "kept", digest(shop)
    kept.mkdir()
    for day in ("01", "02", "03"):
        shutil.copy(shop, kept / f"nightly-202001{day}T000000.000Z.sqlite3")
    (kept / "other.sqlite3").touch()

    assert run(site, "nightly_backup", "shop", source=str(shop), folder=str(kept), keep=2) == "succeeded"

    assert digest(shop) == before
    names = sorted(path.name for path in kept.iterdir())
    assert len(names) == 3, "the new one, the newest of the old ones, and what is no backup of this name"
    assert names[0] == "nightly-20200103T000000.000Z.sqlite3"
    with closing(sqlite3.connect(kept / names[1])) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1000,)


def test_the_nightly_backup_copies_the_deployments_own_database_while_it_is_written(site: Deployment) -> None:
    assert run(site, "nightly_backup", "own") == "succeeded"

    (made,) = (site.folder / "backups").iterdir()
    with closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT count(*) FROM backbeat_job").fetchone()[0] > 10


def test_a_copy_that_is_not_proven_removes_nothing_but_its_scratch_database(site: Deployment, shop: Path) -> None:
    folder = site.folder / "unproven"
    folder.mkdir()
    for day in ("01", "02"):
        shutil.copy(shop, folder / f"nightly-202001{day}T000000.000Z.sqlite3")

    # A tolerance that no count can meet.
    state = run(site, "nightly_backup", "unproven", source=str(shop), folder=str(folder), keep=1, tolerance=-0.5)

    assert state == "failed"
    assert "1 of 1 tables differ" in node(site, "nightly_backup:unproven", "verify_counts")[1]
    assert node(site, "nightly_backup:unproven", "rotate")[0] == "upstream_failed"
    assert node(site, "nightly_backup:unproven", "drop_scratch")[0] == "succeeded"
    assert len(list(folder.iterdir())) == 3, "both old copies and the new one; no scratch database"


def test_the_history_report_measures_what_the_database_holds(site: Deployment) -> None:
    eventually(lambda: not site.rows("select 1 from backbeat_run where finished_at is null"), within=30)

    assert run(site, "history_report", "1") == "succeeded"

    reports = site.folder / "reports"
    figures = json.loads((reports / "run-history.json").read_text())
    measured = {row["job"]: row for row in figures["measured"]}
    sql = (
        "select (julianday(finished_at) - julianday(started_at)) * 86400 from backbeat_run where job = 'environment.check_files'"
    )
    rows = [seconds for (seconds,) in site.rows(sql)]
    took = sorted(seconds for seconds in rows if seconds is not None)  # the mapped node as a whole has no time of its own
    worked = measured["environment.check_files"]["worked"]
    assert measured["environment.check_files"]["runs"] == len(rows) > 60
    assert worked["max"] == pytest.approx(took[-1], abs=0.002)
    assert sum(seconds <= worked["p95"] + 0.002 for seconds in took) >= 0.95 * len(took)
    assert sum(seconds < worked["p95"] - 0.002 for seconds in took) <= 0.95 * len(took)
    assert ("backups.verify_counts", "failed") in {(row["job"], row["state"]) for row in figures["failures"]}
    drawing = ElementTree.fromstring((reports / "run-history.svg").read_text())
    assert len(drawing.findall(".//{*}circle")) == len(figures["slowest"])
    assert "environment.check_files" in (reports / "run-history.html").read_text()


def test_the_history_maintenance_removes_by_its_policy_only(site: Deployment) -> None:
    site.command(sys.executable, "-c", OLD_ROWS)

    assert run(site, "history_maintenance", "1") == "succeeded"

    assert {name for (name,) in site.rows("select run_id from backbeat_run where job = 'old'")} == {
        "good-young", "bad-young", "unfinished",
    }  # fmt: skip
    assert not site.rows("select 1 from backbeat_attempt where run_id in ('good-old', 'bad-old')")
    assert not site.rows("select 1 from backbeat_dagrun where dag = 'old'")
    summary = json.loads((site.folder / "reports" / "history-maintenance.json").read_text())
    assert summary["removed"] == {"Run": 2, "DagRun": 1, "Omission": 1}
    assert "ANALYZE" in summary["did"]
    assert {row["table"] for row in summary["tables"]} >= {"backbeat_run", "backbeat_attempt"}


def test_a_policy_that_would_remove_fresh_rows_is_refused(site: Deployment) -> None:
    assert run(site, "history_maintenance", "wrong", keep_good_days=1.0) == "failed"

    assert "expected 7 <= keep_good_days <= keep_bad_days; got 1.0" in node(site, "history_maintenance:wrong", "remove_old[0]")[1]


def test_the_service_checks_find_a_whole_deployment_well_and_name_what_is_missing(site: Deployment) -> None:
    summary = site.folder / "reports" / "service-checks.json"
    assert run(site, "service_checks", "without-beat") == "failed"
    assert json.loads(summary.read_text())["unwell"] == ["doctor"]
    assert "schedulers: none is alive, so nothing fires" in node(site, "service_checks:without-beat", "doctor")[1]

    beat = site.beat()
    eventually(lambda: site.client.zcard("{bb}:schedulers"), within=30, message=site.story)
    assert run(site, "service_checks", "whole") == "succeeded"
    beat.stop()

    found = json.loads(summary.read_text())
    assert found["unwell"] == []
    assert found["results"]["database"]["engine"] == "sqlite"


@pytest.mark.postgresql
def test_the_nightly_backup_of_postgresql_leaves_the_server_as_it_was(site: Deployment, postgresql_url: str) -> None:
    if shutil.which("pg_dump") is None:
        missing("pg_dump", "postgresql-client")
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute("CREATE DATABASE nightly_shop")
    site.env["SHOP_URL"] = url = urlsplit(postgresql_url)._replace(path="/nightly_shop").geturl()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 500) n")
    before = databases(postgresql_url)
    site.processes["worker"].stop()
    site.worker("with-url")

    assert run(site, "nightly_backup", "pg", source="env:SHOP_URL", folder=str(site.folder / "pg")) == "succeeded"

    (made,) = (site.folder / "pg").iterdir()
    assert made.suffix == ".dump"
    assert databases(postgresql_url) == before
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (500,)
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute("DROP DATABASE nightly_shop WITH (FORCE)")


def databases(url: str) -> set[str]:
    with psycopg.connect(url) as server:
        return {row[0] for row in server.execute("SELECT datname FROM pg_database")}
