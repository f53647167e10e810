"""The tables of history, and what their states mean, for jobs that read them or keep them small."""

from __future__ import annotations

from typing import Any

GOOD = ("succeeded", "skipped")
"""States of runs that need nobody's attention. Every other state of a run that has ended is a bad one."""


def table(name: str) -> Any:
    """All rows of `Run`, `Attempt`, `DagRun` or `Omission`, as a query set."""
    from django.apps import apps  # here, so that this module loads without a Django project

    return apps.get_model("backbeat", name).objects.all()
