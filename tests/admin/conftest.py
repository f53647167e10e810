"""Django for the tests of this folder: the deployment's own settings, on database files of their own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import django
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from backbeat import conf
from backbeat.admin.database import database as entry_of
from tests.support.servers import PostgresServer, RedisServer

HOME = Path(tempfile.mkdtemp(prefix="bb-admin-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)


def _set_up_django() -> None:
    """In an environment of our own, which the tests of other folders do not get to see."""
    ours = {"BACKBEAT_HOME": str(HOME), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "webadmin.settings"}
    with patch.dict(os.environ, ours), patch.object(conf, "_active", None):
        django.setup()


_set_up_django()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A file, because a database in memory knows neither WAL nor a second thread."""
    connections.databases["default"]["TEST"]["NAME"] = str(HOME / "test.sqlite3")


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis that this process's settings name."""
    with redis_server.client() as client:
        client.flushall()
    with conf.override(redis_url=redis_server.url, broker_url=redis_server.broker_url):
        yield redis_server


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Another database behind the alias `default`, in this thread, for a while."""
    alias = f"elsewhere{threading.get_ident()}"
    connections.databases[alias] = entry_of(url)
    connections.configure_settings(connections.databases)
    there, before = connections.create_connection(alias), connections["default"]
    there.alias = "default"
    connections["default"] = there
    try:
        yield
    finally:
        there.close()
        connections["default"] = before
        del connections.databases[alias]


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: PostgresServer, django_db_setup: None, django_db_blocker: Any) -> str:
    """The URL of a PostgreSQL database with our tables."""
    with psycopg.connect(postgresql_server.url, autocommit=True) as session:
        session.execute("CREATE DATABASE admin_tests")
    url = postgresql_server.url.rpartition("/")[0] + "/admin_tests"
    with django_db_blocker.unblock(), default_database(url):
        call_command("migrate", verbosity=0)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def each_database(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    """Runs the test on SQLite and on PostgreSQL, with real commits; the tables are empty."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    with default_database(request.getfixturevalue("migrated_postgresql")):
        yield "postgresql"
        call_command("flush", verbosity=0, interactive=False)
