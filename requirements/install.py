"""Make .venv and install the pinned packages. Standard library only; asks no network when nothing changed.

usage: install.py runtime|dev
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
SETS = {"runtime": ["runtime"], "dev": ["runtime", "dev"]}


def main(wanted: str) -> None:
    """Bring .venv to what the files in this folder say."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Python {OLDEST[0]}.{OLDEST[1]} or later is needed; got {sys.version.split()[0]}. Try: make PYTHON=/a/newer/python"
        )
    if not _is_sound():
        _say("making .venv")
        _make_venv()
    for name in SETS[wanted]:
        requirements = ROOT / "requirements" / f"{name}.txt"
        _once(name, requirements.read_bytes(), lambda path=requirements: _install(path))
    _once("package", (ROOT / "pyproject.toml").read_bytes(), _install_package)


def _is_sound() -> bool:
    """Whether .venv was made at this very place (a moved one has scripts that point to the old) and has pip."""
    config = VENV / "pyvenv.cfg"
    if not PYTHON.exists() or not config.exists():
        return False
    probe = "import sys, pip; print(sys.prefix); print(sys.version_info >= (3, 11))"
    answer = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True, check=False)
    first_line = (VENV / "bin" / "pip").read_text().splitlines()[:3] if (VENV / "bin" / "pip").exists() else []
    return answer.stdout.split("\n")[:2] == [str(VENV), "True"] and any(str(VENV) in line for line in first_line)


def _make_venv() -> None:
    try:
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(VENV)
    except subprocess.CalledProcessError:
        sys.exit("python -m venv failed. On Debian and Ubuntu install the package python3-venv.")


def _once(name: str, content: bytes, install: object) -> None:
    """Run `install` unless it was done for this very content before."""
    stamp, digest = VENV / f"backbeat-{name}", hashlib.sha256(content).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    install()
    stamp.write_text(digest)


def _install(requirements: Path) -> None:
    names = [line.split("==")[0] for line in requirements.read_text().splitlines() if "==" in line]
    _pip(f"{len(names)} packages", len(names), "--require-hashes", "--no-deps", "-r", str(requirements))


def _install_package() -> None:
    _pip("backbeat itself", 0, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    # Seven processes start at once; without this each of them would compile all of it.
    folders = [str(ROOT / name) for name in ("platform", "jobs", "dags", "webadmin")]
    subprocess.run([PYTHON, "-m", "compileall", "-q", *folders], check=False)


def _pip(what: str, count: int, *arguments: str) -> None:
    argv = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", *arguments]
    began, said, got, lines = time.monotonic(), time.monotonic(), 0, []
    _say(f"installing {what}")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as pip:
        for line in pip.stdout:
            lines.append(line)
            got += line.startswith(("Collecting ", "Requirement already satisfied: "))
            if line.startswith("Installing collected packages"):
                _say(f"  all here after {time.monotonic() - began:.0f} s; unpacking them")
            elif count and time.monotonic() - said > 2:
                said = time.monotonic()
                _say(f"  {got} of {count}: {line.split()[1] if line.startswith('Collecting') else '...'}")
    if pip.returncode:
        sys.stderr.writelines(lines[-30:])
        sys.exit(f"pip could not install {what}; what it said stands above. A second `make` goes on from here.")
    _say(f"  done in {time.monotonic() - began:.0f} s")


def _say(text: str) -> None:
    sys.stderr.write(f"install: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        sys.exit(__doc__)
    main(sys.argv[1])
