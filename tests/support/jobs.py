"""A registry of jobs for one test, so that jobs which tests define do not meet."""

from __future__ import annotations

import pytest

from backbeat.runtime import registry


@pytest.fixture
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, registry.RegisteredJob]:
    """Start with an empty registry, and put the old one back afterwards."""
    jobs: dict[str, registry.RegisteredJob] = {}
    monkeypatch.setattr(registry, "jobs", jobs)
    monkeypatch.setattr(registry, "failures", [])
    return jobs
