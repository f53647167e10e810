"""Asking `backbeat scheduler` of a deployment, as an operator or a probe does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.support.deployment import Deployment


def asked(deployment: Deployment, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    argv = [sys.executable, "-m", "backbeat.cli", "scheduler", *words]
    return subprocess.run(
        argv, cwd=deployment.folder, env=deployment.env, capture_output=True, text=True, timeout=60, check=False
    )


def told(deployment: Deployment) -> dict[str, Any]:
    """The status as data; exit code 1 is an answer too."""
    answer = asked(deployment, "status", "-o", "json")
    assert answer.returncode in (0, 1), answer.stderr
    data: dict[str, Any] = json.loads(answer.stdout)
    return data


def of_kind(data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The processes of one kind."""
    return [one for one in data["processes"] if one["kind"] == kind]
