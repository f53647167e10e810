"""Fixtures for all tests, and one rule: in CI a skipped test is a failed test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from tests.support.fixtures import (
    chromium,
    postgresql_server,
    postgresql_url,
    rabbitmq_server,
    rabbitmq_url,
    redis_broker_url,
    redis_client,
    redis_server,
    redis_url,
    server_folder,
)

__all__ = [
    "chromium",
    "postgresql_server",
    "postgresql_url",
    "rabbitmq_server",
    "rabbitmq_url",
    "redis_broker_url",
    "redis_client",
    "redis_server",
    "redis_url",
    "server_folder",
]


@pytest.fixture(autouse=True)
def _environment_of_its_own() -> Iterator[None]:
    """What a test, or a command that it calls, puts into the environment goes with it: DJANGO_SETTINGS_MODULE, for one, lets
    each Celery app that is made later set up Django, and with it logging, in the middle of other tests.
    """
    with patch.dict(os.environ):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A skip in CI would hide a missing service, so it fails; an expected failure stays what it is."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for a module that skips itself as a whole."""
    report = yield
    if os.environ.get("CI") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be skipped: {report.longrepr}"
    return report
