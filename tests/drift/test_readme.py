"""The README keeps its promises: its example runs, its links lead somewhere, its commands exist, and it stays short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from backbeat.cli import LAZY

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_it_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 200, "Move something into docs/: the README is the door, not the house."


def test_the_map_names_the_rooms_that_exist() -> None:
    block = re.search(r"## The house\n\n```\n(.*?)```", README, re.DOTALL)
    assert block is not None

    lines = block[1].splitlines()

    assert len(lines) == 9
    for line in lines:
        assert (ROOT / line.split()[0]).exists(), f"{line.split()[0]} is on the README's map but not in the house"


def test_the_example_is_a_job_file_that_works(tmp_path: Path) -> None:
    """In a process of its own, because jobs register themselves."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    check = (
        "import example; assert example.count('north') == 5; assert example.add([1, 2]) == 3; "
        "print(sorted(node.id for node in example.total.graph.nodes), example.total())"
    )

    done = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['add', 'count'] {'count': [5, 5, 4], 'add': 14}"


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`backbeat ([a-z]+)", README))))
def test_every_command_it_names_exists(command: str) -> None:
    assert command in LAZY


@pytest.mark.parametrize("name", sorted(set(re.findall(r"make bench-([a-z-]+)", README))))
def test_every_benchmark_it_names_exists(name: str) -> None:
    assert (ROOT / "benchmarks" / f"{name.replace('-', '_')}.py").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http", "mailto")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}, which is not there"
