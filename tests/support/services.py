"""Bring the servers that the tests need: by the system's packages, as root on Debian and Ubuntu; else say what is missing.

Run as a script by `make test`. No service is started: a policy-rc.d that forbids it stands for the time of the installation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")
LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/lib")
NOBODY_STARTS = "#!/bin/sh\n# Written by Backbeat's `make test` while it installs packages: start no service.\nexit 101\n"


def libfaketime() -> Path | None:
    """The library that shows a process another time than the machine's."""
    return next((path for folder in LIBRARIES for path in Path(folder).glob("faketime/libfaketimeMT.so.1")), None)


def absent() -> dict[str, str]:
    """Package -> what it is for, of everything that is not here."""
    here = {
        "rabbitmq-server": Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists(),
        "postgresql": bool(list(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb")),
        "libfaketime": libfaketime() is not None,
        "chromium": any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")),
    }
    uses = {
        "rabbitmq-server": "tests of the broker RabbitMQ",
        "postgresql": "tests of the database",
        "libfaketime": "tests of clocks that jump",
        "chromium": "tests of pages",
    }
    return {package: uses[package] for package, found in here.items() if not found}


def main() -> None:
    """Install what is absent, or say how to."""
    missing = absent()
    if not missing:
        return
    for package, use in missing.items():
        _say(f"{package} is missing ({use})")
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        _say("installing needs root on Debian or Ubuntu. By hand: apt-get install " + " ".join(missing))
        _say("the tests that need them will be skipped (with CI=true: they fail)")
        return
    _say(f"installing with apt-get: {' '.join(missing)}; no service will be started")
    with _no_service_starts():
        _apt("update", "-q")
        _apt("install", "-q", "-y", "--no-install-recommends", *missing)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    before = (POLICY.read_bytes(), POLICY.stat().st_mode) if POLICY.exists() else None
    POLICY.write_text(NOBODY_STARTS)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            POLICY.unlink()
        else:
            POLICY.write_bytes(before[0])
            POLICY.chmod(before[1])


def _apt(*arguments: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(["apt-get", *arguments], env=env, stdin=subprocess.DEVNULL, check=False).returncode:
        _say(f"apt-get {arguments[0]} failed; what it said stands above")
        sys.exit(1)


def _say(text: str) -> None:
    sys.stderr.write(f"services: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
