"""mypy --strict accepts right uses of the public API and refuses wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_public_api_is_typed():
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--warn-unused-ignores", "tests/typing/api.py"]

    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert answer.returncode in (0, 1), f"mypy itself failed:\n{answer.stdout}{answer.stderr}"
    mistakes = [line for line in answer.stdout.splitlines() if line.startswith("tests/typing/api.py")]
    assert mistakes == [], "A right use is refused, or a wrong one accepted:\n" + "\n".join(mistakes)
