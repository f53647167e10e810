"""The house of DESIGN: where things lie, how large they may be, and what the core may not do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drift.tree import ROOT, modules

LONGEST_FILE, LONGEST_FUNCTION = 500, 50
# What makes an answer depend on when, where or how often it is asked.
IMPURE_MODULES = {
    "os",
    "time",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "uuid",
    "logging",
    "pathlib",
    "sys",
    "io",
}
IMPURE_CALLS = {"open", "input", "print", "now", "utcnow", "today", "getenv"}


def test_platform_is_a_plain_folder_with_one_package() -> None:
    inside = {path.name for path in (ROOT / "platform").iterdir() if path.name not in {"__pycache__", "README.md"}}

    assert inside == {"backbeat"}, "platform/ holds the engine and nothing else, and never an __init__.py: see platform/README.md"


@pytest.mark.parametrize(
    "way", [["-c", "import platform; print(platform.system.__module__, platform.__file__)"], ["-m", "platform"]]
)
def test_the_standard_librarys_platform_wins_at_the_root(way: list[str]) -> None:
    answer = subprocess.run([sys.executable, *way], cwd=ROOT, capture_output=True, text=True, check=True)

    assert str(ROOT / "platform") not in answer.stdout


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()

    lines = source.count("\n") + 1
    assert lines <= LONGEST_FILE, f"{path.name} has {lines} lines; what does not fit in {LONGEST_FILE} is two ideas"
    for name, length in _functions(ast.parse(source)):
        assert length <= LONGEST_FUNCTION, f"{name} has {length} lines; what does not fit in {LONGEST_FUNCTION} is two ideas"


def _functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", modules("platform/backbeat/core"), ids=lambda path: path.name)
def test_the_core_asks_no_clock_no_chance_and_no_machine(path: Path) -> None:
    found = sorted(_impurities(ast.parse(path.read_text())))

    assert not found, f"core decides from what it is given; hand these in as arguments: {found}"


def _impurities(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in IMPURE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in IMPURE_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in IMPURE_CALLS:
                yield f"{name}() at line {node.lineno}"


def test_the_core_is_pure_test_sees_an_impurity() -> None:
    tree = ast.parse("import time\nfrom os import environ\ndatetime.now()\nopen('x')")

    assert sorted(_impurities(tree)) == ["now() at line 3", "open() at line 4", "os", "time"]
