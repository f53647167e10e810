"""Every benchmark says how it is used, and a short run of one ends with the line of JSON that is promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted(path for path in (ROOT / "benchmarks").glob("[a-z]*.py") if path.name != "harness.py")


def ran(path: Path, *argv: str) -> str:
    done = subprocess.run([sys.executable, path, *argv], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{path.name} {argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_says_how_it_is_used(path: Path) -> None:
    assert "usage:" in ran(path, "--help")


@pytest.mark.redis
def test_a_short_run_ends_with_one_line_of_json_and_nothing_lost_or_doubled() -> None:
    lines = ran(ROOT / "benchmarks" / "held.py", "--count", "100", "--rate", "50", "--edits", "10", "--seconds", "2").splitlines()

    answer = json.loads(lines[-1])
    assert set(answer) == {"benchmark", "ratios", "raw", "checks"}
    assert (answer["checks"]["lost"], answer["checks"]["doubled"]) == (0, 0)
    assert answer["raw"]["fires_per_s"] == 50


@pytest.mark.redis
@pytest.mark.postgresql
@pytest.mark.slow
def test_a_short_day_records_all_that_falls_due_and_tells_what_each_process_used() -> None:
    few = ("--sides", "batched", "--rates", "batched=40", "--schedules", "120", "--minutes", "0.05", "--warm-up", "1")
    lines = ran(ROOT / "benchmarks" / "day.py", *few).splitlines()

    answer = json.loads(lines[-1])
    [day] = answer["raw"]["batched"]
    assert answer["checks"] == {"lost": 0, "doubled": 0}
    assert day["due"] == day["came"] > 0
    assert {"beat", "keeper", "worker", "child 1", "child 2", "redis", "postgresql"} == set(day["processes"])
    assert day["lag_p99_s"] > 0
