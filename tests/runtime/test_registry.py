"""A module that fails to import is named with file and line, and the others still load."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from backbeat.errors import UnknownJob
from backbeat.runtime import registry
from tests.support.jobs import no_jobs

__all__ = ["no_jobs"]
pytestmark = pytest.mark.usefixtures("no_jobs")

GOOD = """
    from backbeat import job

    @job("{name}")
    def work() -> int:
        return 1
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes modules of a package `firm`, importable for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "firm").mkdir()
    (tmp_path / "firm" / "__init__.py").touch()

    def write(path: str, text: str) -> Path:
        file = tmp_path / "firm" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text))
        return file

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "firm"]:
        del sys.modules[name]


def test_every_module_below_a_package_is_imported(package):
    package("reports.py", GOOD.format(name="firm.reports"))
    package("deep/__init__.py", "")
    package("deep/down.py", GOOD.format(name="firm.deep"))

    assert registry.load(["firm"]) == []
    assert set(registry.jobs) == {"firm.reports", "firm.deep"}
    assert registry.get("firm.deep").module == "firm.deep.down"


def test_a_script_below_a_package_is_not_run(package):
    package("__main__.py", "raise SystemExit(1)")

    assert registry.load(["firm"]) == []


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("x = 1\nraise RuntimeError('no licence')\n", 2, "RuntimeError: no licence"),
        ("import missing_library\n", 1, "ModuleNotFoundError: No module named 'missing_library'"),
        ("x = 1\n\ndef broken(:\n    pass\n", 3, "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
        ("from backbeat import job\n\n@job(prioritty=3)\ndef f(): pass\n", 3, "UnknownOption: prioritty: "),
        ("from backbeat import job\n\n@job(\n    schedule=4,\n)\ndef f(): pass\n", 3, "BadSchedule: schedule: expected Cron"),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError: "),
    ],
)
def test_a_broken_module_is_named_with_the_line_and_the_others_load(package, text: str, line: int, error: str):
    file = package("broken.py", text)
    package("good.py", GOOD.format(name="firm.good"))

    [failure] = registry.load(["firm"])

    assert (failure.module, failure.file, failure.line) == ("firm.broken", str(file), line)
    assert failure.error.startswith(error)
    assert str(failure).startswith(f"{file}:{line}: firm.broken could not be imported: {error}")
    assert error.partition(":")[0] in failure.details
    assert registry.failures == [failure]
    assert set(registry.jobs) == {"firm.good"}


def test_the_line_is_that_of_the_module_at_fault_not_of_its_importer(package):
    file = package("helper.py", "value = 1 / 0\n")
    package("using.py", "from firm.helper import value\n")

    failures = {failure.module: (failure.file, failure.line) for failure in registry.load(["firm"])}

    assert failures == {"firm.helper": (str(file), 1), "firm.using": (str(file), 1)}


def test_half_a_module_leaves_no_jobs(package):
    package("broken.py", GOOD.format(name="firm.half") + "\n    raise RuntimeError\n")

    registry.load(["firm"])

    assert registry.jobs == {}


def test_a_package_that_does_not_exist_is_a_failure_too():
    [failure] = registry.load(["no_such_package_here"])

    assert failure.module == "no_such_package_here"
    assert "No module named 'no_such_package_here'" in failure.error


def test_a_mended_module_loads_at_the_next_call(package):
    package("broken.py", "raise RuntimeError\n")
    registry.load(["firm"])
    package("broken.py", GOOD.format(name="firm.mended") + "    # longer, so that no cached byte code is taken for it\n")

    assert registry.load(["firm"]) == []
    assert registry.failures == []
    assert set(registry.jobs) == {"firm.mended"}


def test_failures_of_other_packages_stay(package):
    package("broken.py", "raise RuntimeError\n")
    registry.load(["firm"])

    registry.load(["no_such_package_here"])

    assert [failure.module for failure in registry.failures] == ["firm.broken", "no_such_package_here"]


def test_a_hint_that_names_nothing_is_a_failure_of_its_job(package):
    file = package("hints.py", 'from backbeat import job\n\n@job("firm.hints")\ndef f(x: "Nothing"): pass\n')

    [failure] = registry.load(["firm"])

    assert (failure.file, failure.line) == (str(file), 3)
    assert "job 'firm.hints'" in failure.error
    assert "names 'Nothing'" in failure.error


def test_an_unknown_job_is_answered_with_the_nearest(package):
    package("reports.py", GOOD.format(name="firm.reports"))
    registry.load(["firm"])

    with pytest.raises(UnknownJob, match=r"no job 'firm.report' is registered in this process. Did you mean 'firm.reports'?"):
        registry.get("firm.report")
