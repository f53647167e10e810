"""What all benchmarks share: rounds in turn, a side in its own process, a table, and one line of JSON at the end.

A side is a script that does one thing once and prints one JSON object. Ours runs with this project's interpreter, a
peer with that of .venv-peers, which is made on first use from the pinned and hashed requirements/peers.txt.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIDES = Path(__file__).resolve().parent / "sides"
PEERS, OUTSIDE = ROOT / ".venv-peers", ROOT / ".venv-outside"
STEADY = ("--save", "", "--auto-aof-rewrite-percentage", "0")
"""Options of a Redis server that writes its append-only file and never anew, so that no fork falls into a measured time."""

sys.path[:0] = [str(ROOT)]


def peer_python() -> Path:
    """The interpreter of the peers' environment."""
    wanted = ROOT / "requirements" / "peers.txt"
    stamp, digest = PEERS / "made-from", hashlib.sha256(wanted.read_bytes()).hexdigest()
    python = PEERS / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != digest:
        say("making .venv-peers (once)")
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(PEERS)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "--no-deps", "-r", wanted]
        subprocess.run(pip, check=True)
        stamp.write_text(digest)
    return python


def outside_python(*packages: str) -> Path | None:
    """The interpreter of an environment of its own for what is compared now and then; None, and why, when it can't be made."""
    python, wanted = OUTSIDE / "bin" / "python", " ".join(packages)
    stamp = OUTSIDE / "made-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        say(f"making {OUTSIDE.name} (once): {wanted}")
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(OUTSIDE)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"left out, because they could not be installed: {wanted}: {done.stderr.strip().splitlines()[-1:]}")
            return None
        stamp.write_text(wanted)
    return python


def side(
    script: str,
    *arguments: object,
    ours: bool,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    python: Path | None = None,
) -> dict[str, Any]:
    """Run one side once, by our interpreter, the peers' or the one given; the JSON object that it prints last."""
    python = python or (Path(sys.executable) if ours else peer_python())
    done = subprocess.run(
        [python, SIDES / script, *map(str, arguments)],
        cwd=SIDES,
        env={**os.environ, **(env or {}), **({"PYTHONPATH": str(ROOT)} if ours else {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def in_turn(rounds: int, sides: Mapping[str, Callable[[], dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Every side once a round, A B C A B C, so that a drift of the machine meets all alike."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        for name, run in sides.items():
            answers[name].append(run())
            say(f"round {number} of {rounds}: {name}: {json.dumps(answers[name][-1])}")
    return answers


def median(answers: Sequence[Mapping[str, Any]], figure: str) -> float:
    """The middle value of a figure over the rounds."""
    return statistics.median(float(answer[figure]) for answer in answers)


def paired(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], figure: str) -> float:
    """The median of the ratios ours / theirs, round by round."""
    return statistics.median(float(a[figure]) / float(b[figure]) for a, b in zip(ours, theirs, strict=True))


def report(name: str, rows: Sequence[Sequence[object]], ratios: Mapping[str, float], raw: Any, checks: Mapping[str, int]) -> None:
    """A table for people, one line of JSON for programs. Ends with 1 when a check is not zero."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        sys.stdout.write("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    rounded = {peer: round(ratio, 3) for peer, ratio in ratios.items()}
    sys.stdout.write(json.dumps({"benchmark": name, "ratios": rounded, "raw": raw, "checks": dict(checks)}) + "\n")
    if any(checks.values()):
        sys.exit(1)


@contextmanager
def folder() -> Iterator[Path]:
    """A short-named folder for one round's servers; gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix="bbb-"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def say(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
