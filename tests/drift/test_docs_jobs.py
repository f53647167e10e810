"""The pages about jobs run as they are written, and list every option with its true default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from backbeat.core.job import JobSpec
from backbeat.core.options import OPTIONS
from backbeat.core.secrets import is_secret_name
from backbeat.runtime import registry
from backbeat.runtime.job import JobOptions
from backbeat.testing import run_inline
from tests.support.jobs import no_jobs

__all__ = ["no_jobs"]

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "jobs.md").read_text()
SECRETS = (DOCS / "howto" / "secrets.md").read_text()
HOWTO = (DOCS / "howto" / "test-your-jobs.md").read_text()
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([a-z_]+)` \| `([^`]+)` \|", re.MULTILINE)


def _run(page: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "docs_page"}
    exec(compile("\n".join(CODE.findall(page)), "docs_page", "exec", dont_inherit=True), names)
    return names


@pytest.mark.usefixtures("no_jobs")
def test_the_examples_of_the_reference_run():
    names = _run(REFERENCE)

    assert names["daily"]("eu") == {"rows": 10}
    assert run_inline(names["daily"], region="eu").progress == [(0.5, "half way")]
    assert registry.jobs["shop.send_digest"].spec.schedules[0].args == (7,)


@pytest.mark.usefixtures("no_jobs")
def test_the_tests_of_the_howto_pass():
    tests = {name: test for name, test in _run(HOWTO).items() if name.startswith("test_")}

    assert len(tests) == 4
    for test in tests.values():
        test()


@pytest.mark.usefixtures("no_jobs")
def test_the_job_with_secrets_gets_them_and_does_not_log_them():
    done = run_inline(_run(SECRETS)["export"], "u", "word", "4711")

    assert done.result == 4
    assert "4711" not in done.log


def test_the_page_of_secrets_lists_the_names_that_count():
    [item] = re.findall(r"^- by its name: (.*?)alone", SECRETS, re.MULTILINE | re.DOTALL)

    names = re.findall(r"`([a-z_]+)", item)
    assert len(names) == 14
    assert all(map(is_secret_name, names))


def test_the_page_lists_every_option():
    listed = re.findall(r"^\| `([a-z_]+)` \|", REFERENCE, re.MULTILINE)

    assert sorted(listed) == sorted(JobOptions.__annotations__), "docs/reference/jobs.md must list the options of @job."


@pytest.mark.parametrize(("option", "text"), ROW.findall(REFERENCE))
def test_the_page_tells_the_default(option: str, text: str):
    spec = JobSpec(name="a", task="a")

    assert OPTIONS[option](eval(text), option) == getattr(spec, option)


def test_every_field_with_a_plain_default_has_it_on_the_page():
    told = {option for option, _ in ROW.findall(REFERENCE)}

    plain = {one.name for one in fields(JobSpec) if one.name in OPTIONS and one.default not in (None, "")}
    assert {name for name in plain if isinstance(getattr(JobSpec("a", "a"), name), (str, int, float))} <= told
