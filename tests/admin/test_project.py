"""The Django project: its settings, its key, its health, its migrations."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import Client

from backbeat.admin.database import database
from backbeat.admin.secret import secret_key
from backbeat.errors import ConfigurationError


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_project_passes_djangos_checks() -> None:
    call_command("check", fail_level="WARNING")


@pytest.mark.django_db
def test_health_follows_the_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/healthz").json() == {"ok": True}

    def away(*_: Any, **__: Any) -> None:
        raise DatabaseError("the disk is gone")

    monkeypatch.setattr(connection, "cursor", away)
    response = client.get("/healthz")

    assert (response.status_code, response.json()["ok"]) == (503, False)


def test_the_root_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"


@pytest.mark.django_db
def test_sqlite_lets_readers_and_a_writer_work_at_once() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_a_url_names_a_sqlite_file_whose_folder_is_made(tmp_path: Path) -> None:
    entry = database(f"sqlite:///{tmp_path}/with%20space/db.sqlite3")

    assert entry["NAME"] == tmp_path / "with space" / "db.sqlite3"
    assert entry["NAME"].parent.is_dir()


def test_a_url_names_a_postgresql_database() -> None:
    entry = database("postgresql://us%40er:p%3Aw%2F@db.example:5433/jobs?sslmode=require&conn_max_age=5")

    kept = {name: entry[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT", "CONN_MAX_AGE", "OPTIONS")}
    assert kept == {
        "NAME": "jobs",
        "USER": "us@er",
        "PASSWORD": "p:w/",
        "HOST": "db.example",
        "PORT": "5433",
        "CONN_MAX_AGE": 5,
        "OPTIONS": {"sslmode": "require"},
    }
    assert database("postgres:///jobs?host=/run/postgresql")["HOST"] == "/run/postgresql"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresqll://u:secret@h/d", "Did you mean 'postgresql'"),
        ("postgresql://u:secret@h", "expected a database"),
        ("sqlite://", "expected a database"),
        ("postgresql://u:secret@h:port/d", "expected a port"),
    ],
)
def test_a_url_that_names_none_is_refused_without_telling_the_password(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        database(url)

    assert "secret" not in str(caught.value)


def test_the_secret_key_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "state"

    key = secret_key(home)

    assert len(key) > 50
    assert secret_key(home) == key
    assert stat.S_IMODE((home / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["secret_key"]


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(6) as pool:
        keys = pool.map(secret_key, [tmp_path / "state"] * 24)

    assert len(set(keys)) == 1
