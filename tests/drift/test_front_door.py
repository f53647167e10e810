"""The front door: a dozen names, quick to open, each where it says it is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import backbeat

LOADED = "import sys, json, time; start = time.process_time(); {}; took = time.process_time() - start; "
LOADED += "print(json.dumps([took, list(sys.modules)]))"


def _fresh(statement: str) -> tuple[float, set[str]]:
    answer = subprocess.run([sys.executable, "-c", LOADED.format(statement)], capture_output=True, text=True, check=True)
    took, modules = json.loads(answer.stdout)
    return took, set(modules)


def test_importing_backbeat_loads_nothing_heavy_and_takes_less_than_50_ms():
    took, modules = min(_fresh("import backbeat") for _ in range(3))

    assert modules & {"celery", "kombu", "django", "redis", "pydantic", "networkx", "croniter"} == set()
    assert took < 0.05


def test_schedules_can_be_written_without_celery():
    _, modules = _fresh("from backbeat import Cron, Every, Once, Retry, Schedule")

    assert modules & {"celery", "kombu", "django", "redis"} == set()


def test_a_module_of_jobs_loads_neither_django_nor_redis():
    _, modules = _fresh("exec('from backbeat import job, Cron\\n@job(schedule=Cron(\\'0 4 * * *\\'))\\ndef work(): pass')")

    # kombu looks at django.utils when Django is installed; what costs is the ORM and its settings.
    assert modules & {"django.conf", "django.db", "redis"} == set()


@pytest.mark.parametrize("name", backbeat.__all__)
def test_every_name_is_there(name: str):
    assert getattr(backbeat, name) is not None
    assert name in dir(backbeat)


def test_the_list_is_sorted_and_short():
    assert backbeat.__all__ == sorted(backbeat.__all__)
    assert len([name for name in backbeat.__all__ if not name.startswith("_")]) <= 15, (
        "The front door has a dozen names; put others elsewhere."
    )


def test_type_checkers_see_the_same_names_in_the_same_places():
    tree = ast.parse(Path(backbeat.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert seen == backbeat._HOMES, "The TYPE_CHECKING block and _HOMES of backbeat/__init__.py must agree."
    assert set(seen) == set(backbeat.__all__) - {"__version__"}


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'backbeat' has no attribute 'jobb'"):
        backbeat.jobb  # noqa: B018 - the look is what is tested


def test_celery_finds_the_scheduler_by_the_name_in_the_docs():
    from celery.utils.imports import symbol_by_name

    assert symbol_by_name("backbeat.Scheduler") is import_module("backbeat.runtime.beat").Scheduler
