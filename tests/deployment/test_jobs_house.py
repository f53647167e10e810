"""The house of jobs: all load, take what JSON can carry, use the front door only, and the pages about them are true."""

from __future__ import annotations

import ast
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import backbeat
from backbeat.runtime import registry
from jobs import backups, commands, http
from tests.deployment.web import Server, serving

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "jobs").glob("*.py"))


def snippets(page: str) -> list[str]:
    """The Python code of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def written() -> Iterator[Any]:
    """Make a module of a page's code, as if it stood in jobs/."""
    before, names = dict(registry.jobs), []

    def write(name: str, code: str) -> ModuleType:
        module = ModuleType(f"jobs.{name}")
        sys.modules[module.__name__] = module
        names.append(module.__name__)
        exec(compile(code, name, "exec"), module.__dict__)
        return module

    yield write
    for name in names:
        del sys.modules[name]
    registry.jobs.clear()
    registry.jobs.update(before)


def test_every_module_loads_and_every_job_describes_itself() -> None:
    assert registry.load(["jobs"]) == []

    found = {name: job for name, job in registry.jobs.items() if job.module.startswith("jobs.")}
    assert {"commands.run", "http.probe", "backups.database", "backups.rotate"} <= set(found)
    for name, job in found.items():
        assert job.spec.description, f"{name}: its docstring is what operators read; write one"
        assert job.params.json_schema()["type"] == "object"


@pytest.mark.parametrize(
    ("job", "kwargs"),
    [
        ("commands.run", {"argv": ["echo", "hi"], "timeout": 5, "env": {"A": "b"}, "ok_codes": [0, 1]}),
        ("commands.run", {"argv": "echo hi", "shell": True}),
        ("http.probe", {"url": "https://example.org/", "expect_status": [200, 404], "headers": {"A": "b"}}),
        ("http.probe", {"url": "https://example.org/", "expect_status": 204}),
        ("backups.database", {"source": "default", "folder": "/var/backups", "keep": None}),
        ("backups.restore_scratch", {"backup": {"path": "a.dump", "rows": {"t": [1, 2]}}}),
        ("backups.verify_counts", {"scratch": {"source": "a"}, "backup": {"rows": {"t": [1, 2]}}, "tolerance": 0.1}),
    ],
)
def test_arguments_travel_as_json_unchanged(job: str, kwargs: dict[str, Any]) -> None:
    params = registry.get(job).params

    packed = params.validate([], kwargs)

    assert packed == ([], kwargs)
    assert params.restore(*packed) == ([], kwargs)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_jobs_enter_by_the_front_door(path: Path) -> None:
    cure = "write `from backbeat import …`; whatever lies behind the front door may move with any release"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not str(node.module).startswith("backbeat."), f"{path.name}:{node.lineno}: {cure}"
            if node.module == "backbeat":
                assert {alias.name for alias in node.names} <= set(backbeat.__all__)
        elif isinstance(node, ast.Import):
            assert not [alias for alias in node.names if alias.name.startswith("backbeat.")], f"{path.name}:{node.lineno}: {cure}"


def test_the_readme_shows_a_job_that_loads(written: Any) -> None:
    (code,) = snippets("jobs/README.md")

    module = written("reports", code)

    assert module.tidy(7) == {"removed": 7}
    assert "reports.tidy" in registry.jobs


def test_the_page_on_commands_is_true(written: Any, tmp_path: Path) -> None:
    (code,) = snippets("docs/howto/run-a-command.md")

    module = written("housekeeping", code)

    assert module.disk_use(str(tmp_path))["output"].endswith(f"{tmp_path}\n")


def test_the_page_on_probes_is_true(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, inner = snippets("docs/howto/probe-a-url.md")

    module = written("probes", code)
    with serving(Server()) as site:
        with pytest.raises(http.ProbeRefused, match="loopback"):
            module.shop(f"{site.url}/ok")
        result = eval(inner.replace("127.0.0.1:8000/health", f"127.0.0.1:{site.port}/ok"), {"probe": http.probe})

    assert set(result) == {"url", "status", "latency_ms", "bytes", "truncated", "address", "redirects"}


def test_the_page_on_backups_is_true(written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, proof = snippets("docs/howto/back-up-a-database.md")
    monkeypatch.setenv("BACKBEAT_HOME", str(tmp_path))
    source = str(tmp_path / "shop.sqlite3")
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")

    made = written("nightly", code).backup(source, str(tmp_path / "kept"))
    written("proof", proof.replace('"default"', repr(source)))

    assert Path(made["path"]).parent == tmp_path / "kept"
    assert [path.suffix for path in (tmp_path / "backups").iterdir()] == [".sqlite3"]


@pytest.mark.parametrize(
    ("page", "job"),
    [
        ("docs/howto/run-a-command.md", commands.run),
        ("docs/howto/probe-a-url.md", http.probe),
        ("docs/howto/back-up-a-database.md", backups.database),
    ],
)
def test_every_argument_that_a_page_names_exists(page: str, job: Any) -> None:
    known = set(registry.get(job.name).params.json_schema()["properties"])

    (given,) = re.findall(r"`(\{\"\w.*?\})`", (ROOT / page).read_text(), re.DOTALL)

    assert set(ast.literal_eval(given)) <= known
