"""Every variable that is read stands in conf.py and in the docs, and the docs tell the truth about defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backbeat import conf
from backbeat.conf import Settings
from backbeat.runtime.app_defaults import _REQUIRED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text()
NAME = re.compile(r"\bBACKBEAT_[A-Z]+(?:_[A-Z]+)*\b")
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]+)` \|)?", re.MULTILINE)
PLACES = ["platform", "jobs", "dags", "webadmin", "Procfile", "Makefile", "manage.py", "celeryconfig.py"]


def _sources() -> list[Path]:
    found = [path for place in PLACES for path in (ROOT / place, *(ROOT / place).rglob("*")) if path.is_file()]
    return [path for path in found if path.suffix in (".py", ".sh", ".md", "") and "__pycache__" not in path.parts]


def test_every_variable_that_the_code_names_is_known():
    named = {name: path for path in _sources() for name in NAME.findall(path.read_text())}

    unknown = {name: str(path.relative_to(ROOT)) for name, path in named.items() if name not in conf.known()}
    assert not unknown, f"Give these a row in backbeat/conf.py and docs/reference/settings.md: {unknown}"


def test_the_page_lists_every_variable_once_and_no_other():
    listed = [name for name, _ in ROW.findall(PAGE)]

    assert sorted(listed) == sorted(conf.known()), "docs/reference/settings.md and backbeat/conf.py must list the same variables."


@pytest.mark.parametrize(("name", "value"), [row for row in ROW.findall(PAGE) if row[1] and row[0] in conf.VARIABLES])
def test_the_page_tells_the_default(name: str, value: str):
    attribute, read = conf.VARIABLES[name]

    assert read(value) == getattr(Settings.load({}), attribute)


def test_the_page_names_the_celery_settings_that_are_refused():
    for name, _, _ in _REQUIRED:
        assert f"`{name}`" in PAGE or name == "task_acks_on_failure_or_timeout", f"Name {name} in docs/reference/settings.md."
