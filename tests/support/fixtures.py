"""The fixtures that every folder of tests may use. A service that is missing skips at home and fails in CI."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import redis

from tests.support.servers import PostgresServer, RabbitServer, RedisServer, postgres_bin

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def missing(service: str, package: str) -> NoReturn:
    """End the test: skipped at home, failed in CI, with the cure in both."""
    cure = f"{service} is not installed. As root on Debian or Ubuntu `make test` brings it; elsewhere install {package} by hand."
    if os.environ.get("CI"):
        pytest.fail(cure, pytrace=False)
    pytest.skip(cure)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short folder name: a unix socket's path may have about 100 characters, and another user must be able to pass."""
    folder = Path(tempfile.mkdtemp(prefix="bb-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(mode=0o711)
    return made


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[RedisServer]:
    """One Redis-compatible server for the whole run, with `.url`, `.tcp_url`, `.broker_url`, `.client()`."""
    server = RedisServer(_subfolder(server_folder, "redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def redis_client(redis_server: RedisServer, redis_url: str) -> Iterator[redis.Redis]:
    """A client with text answers on an empty Redis."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def redis_broker_url(redis_server: RedisServer, redis_url: str) -> str:
    """The same empty server as `redis_url`, in the words of Celery's `broker_url`."""
    return redis_server.broker_url


@contextmanager
def rabbit_node(server_folder: Path, name: str, *, advanced: str = "") -> Iterator[RabbitServer]:
    """A RabbitMQ node of one's own: one that may be stopped, or that is set up otherwise than the one that tests share."""
    if not RabbitServer.SCRIPT.exists():
        missing("RabbitMQ", "rabbitmq-server")
    server = RabbitServer(_subfolder(server_folder, name), name, advanced=advanced)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def rabbitmq_server(server_folder: Path) -> Iterator[RabbitServer]:
    """One RabbitMQ node for the whole run."""
    with rabbit_node(server_folder, "rabbit") as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq_server: RabbitServer) -> str:
    """The URL of RabbitMQ; queues are shared by all tests of a run, so take names of your own."""
    return rabbitmq_server.url


@pytest.fixture(scope="session")
def postgresql_server(server_folder: Path) -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run."""
    found = postgres_bin()
    if found is None:
        missing("PostgreSQL", "postgresql")
    server = PostgresServer(_subfolder(server_folder, "pg"), found)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql_url(postgresql_server: PostgresServer) -> str:
    """The URL of the maintenance database `postgres`; make a database of your own in it."""
    return postgresql_server.url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless browser for one test module; open pages with `chromium.new_page()`."""
    from playwright.sync_api import sync_playwright  # slow to import, and few tests need it

    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        missing("Chromium", "chromium")
    # Playwright runs an event loop in this thread, and Django then refuses the ORM unless told otherwise.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
