"""How long until a newcomer sees the page, and a green graph?

usage: first_run.py [--rounds 3] [--cold]

Warm: `backbeat demo` with an empty state folder and installed packages. Cold: a copy of this checkout in an empty folder,
`make demo` there, so making .venv and installing the pinned packages count (downloads come from pip's cache when it has
them). The clock starts with the command. Peers are not started here: their figures are those of one earlier run each, on
an idle machine of two cores with warm package caches, counted from before their installation, so they stand beside our
cold figure; the ratio is theirs by ours.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import harness

# Seconds until the page and until the first green run, and the commands that a newcomer types.
PEERS = {"airflow 3.3.2": (28.0, 52.0, 4), "prefect 3.8.3": (14.0, 18.0, 3), "dagster 1.13.27": (16.0, 36.0, 3)}
FIGURES = re.compile(r"succeeded: first graph (?P<green>[\d.]+) s after the start, UI (?P<ui>[\d.]+) s")
IDLE = re.compile(r"idle: (?P<processes>\d+) processes, CPU (?P<cpu>[\d.]+) % of one core, memory (?P<memory>\d+) MiB")
BUDGET = {"warm": (8.0, 15.0), "cold": (60.0, 60.0)}
IDLE_CPU = 3.0


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="also once with an empty folder")
    options = parser.parse_args()

    raw = {"warm": [warm() for _ in range(options.rounds)], "cold": [cold()] if options.cold else []}
    rows: list[tuple[object, ...]] = [("", "commands", "page s", "green s", "idle CPU %", "memory MiB")]
    for manner, answers in raw.items():
        if answers:
            middle = [
                f"{statistics.median(answer[figure] for answer in answers):.1f}" for figure in ("ui", "green", "cpu", "memory")
            ]
            rows.append((f"backbeat, {manner}", 1, *middle))
    rows += [(f"{peer} (an earlier run)", commands, page, green, "-", "-") for peer, (page, green, commands) in PEERS.items()]
    measured = raw["cold"] or raw["warm"]
    ratios = {peer: green / statistics.median(answer["green"] for answer in measured) for peer, (_, green, _) in PEERS.items()}
    harness.report("first_run", rows, ratios, raw, over_budget(raw))


def over_budget(raw: dict[str, list[dict[str, float]]]) -> dict[str, int]:
    """How many rounds took longer, or idled hotter, than was promised."""
    checks = {
        f"{manner} over {page:g} s for the page or {green:g} s for green": sum(
            answer["ui"] > page or answer["green"] > green for answer in raw[manner]
        )
        for manner, (page, green) in BUDGET.items()
    }
    middle = statistics.median(answer["cpu"] for answers in raw.values() for answer in answers)
    return {**checks, f"idle CPU over {IDLE_CPU:g} %": int(middle > IDLE_CPU)}


def warm() -> dict[str, float]:
    """One demo with packages in place and no state."""
    with harness.folder() as place:
        env = {**os.environ, "BACKBEAT_HOME": str(place / "state")}
        return demo([sys.executable, "-m", "backbeat.cli", "demo", "--figures"], harness.ROOT, env)


def cold() -> dict[str, float]:
    """One `make demo` in a copy of what is in the repository."""
    with harness.folder() as place:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=harness.ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        for name in names:
            if name and (harness.ROOT / name).is_file():
                (place / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(harness.ROOT / name, place / "copy" / name)
        return demo(["make", "demo"], place / "copy", dict(os.environ))


def demo(argv: list[str], folder: Path, env: dict[str, str]) -> dict[str, float]:
    """What a demo says of itself. Raises RuntimeError when it is not green."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=400, check=False)
    found, idle = FIGURES.search(done.stdout), IDLE.search(done.stdout)
    if done.returncode or not found or not idle:
        raise RuntimeError(f"the demo ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    answer = {name: float(value) for name, value in {**found.groupdict(), **idle.groupdict()}.items()}
    answer["whole"] = round(time.monotonic() - began, 1)
    harness.say(f"{' '.join(argv[-2:])}: {answer}")
    return answer


if __name__ == "__main__":
    main()
