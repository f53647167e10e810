"""The real graph of this repository, on real workers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.test_dags import ended, sync
from tests.support.deployment import ROOT, Deployment


def test_the_environment_audit_of_this_deployment_goes_green(tmp_path: Path, redis_url: str) -> None:
    made = Deployment(tmp_path, redis_url, BACKBEAT_RUN_LEASE="5s")
    made.env["PYTHONPATH"] += f":{ROOT}"
    (made.folder / "celeryconfig.py").write_text('imports = ("jobs", "dags")\n')
    try:
        made.worker(children=2)
        made.keeper()
        sync(made)
        run_id = made.submit("environment_audit", "1")

        assert ended(made, run_id, within=120) == "succeeded"

        report = tmp_path / "reports" / "environment-audit.html"
        assert "Environment audit" in report.read_text()
        assert json.loads(report.with_suffix(".json").read_text())["distributions"] > 60
    finally:
        made.stop()
