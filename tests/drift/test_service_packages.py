"""`make test` installs missing servers without ever starting one, and leaves the system's policy as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import services

FAKE = """#!/bin/sh
echo "$@" >> "$APT_CALLS"
test -x "$POLICY_FILE" && sh "$POLICY_FILE"
echo "policy says $?" >> "$APT_CALLS"
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for apt-get, which is the system's and must not run here; it notes its calls and asks the policy."""
    calls, policy = tmp_path / "calls", tmp_path / "policy-rc.d"
    (tmp_path / "apt-get").write_text(FAKE)
    (tmp_path / "apt-get").chmod(0o755)
    for name, value in {"PATH": f"{tmp_path}:{os.environ['PATH']}", "APT_CALLS": str(calls), "POLICY_FILE": str(policy)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(services, "POLICY", policy)
    monkeypatch.setattr(services, "absent", lambda: {"chromium": "tests of pages"})
    return calls


def test_nothing_is_done_when_nothing_is_missing(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "absent", dict)

    services.main()

    assert not apt.exists()


def test_root_gets_the_missing_package_and_no_service(
    apt: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    services.main()

    lines = apt.read_text().splitlines()
    assert [line for line in lines if "install" in line] == ["install -q -y --no-install-recommends chromium"]
    assert lines[-1] == "policy says 101"
    assert not services.POLICY.exists()
    said = capfd.readouterr().err
    assert said.index("chromium is missing") < said.index("no service will be started")


def test_a_policy_that_was_there_comes_back(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    services.POLICY.write_text("#!/bin/sh\nexit 0\n")
    services.POLICY.chmod(0o700)

    services.main()

    assert services.POLICY.read_text() == "#!/bin/sh\nexit 0\n"
    assert services.POLICY.stat().st_mode & 0o777 == 0o700


def test_others_are_told_what_to_install(apt: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    services.main()

    assert not apt.exists()
    assert "By hand: apt-get install chromium" in capfd.readouterr().err
