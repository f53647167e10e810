"""Nothing of the machine on which it was written stands in the repository: no paths, no addresses of package registries."""

from __future__ import annotations

import re
from pathlib import Path

from tests.drift.tree import ROOT, tracked

# Put together here, so that this file does not hold what it forbids.
PATHS = [r"/ro" + "ot/", r"/wo" + "rk/", r"/Us" + r"ers/\w+/", r"\.libra" + "ry/"]
HOSTS = [
    r"\bpypi\." + "org",
    "pythonhosted" + r"\.org",
    r"npmjs\." + "(org|com)",
    r"deb\.debian" + r"\.org",
    r"archive\.ubuntu" + r"\.com",
]
INDEX = [r"(?<!no-emit-)(?:extra-)?index-" + r"url\b", r"(?<!no-emit-)find-" + r"links\b", "trusted-" + "host="]
FOREIGN = re.compile("|".join(PATHS + HOSTS + INDEX))


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [line for path in tracked() for line in _foreign(path)]

    assert not found, "Take these out; a checkout must read alike on every machine:\n" + "\n".join(found)


def _foreign(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []  # no text
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}" for number, line in enumerate(lines, 1) if FOREIGN.search(line)
    ]
