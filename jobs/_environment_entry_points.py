"""The entry points of one installed distribution: whether what they name is there.

Nothing is imported: an audit must not run what it audits. The module is looked for on the distribution's own path, and,
because an entry point may name another distribution's module, on the interpreter's.
"""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


def entry_points_of(distribution: metadata.Distribution) -> dict[str, Any]:
    """How many there are, and `group: name = module` for each whose module is missing."""
    path = [str(Path(str(distribution.locate_file("")))), *sys.path]
    found = list(distribution.entry_points)
    broken = [f"{one.group}: {one.name} = {one.value}" for one in found if not _is_there(one.module, path)]
    return {"name": distribution.metadata["Name"], "entry_points": len(found), "broken": sorted(broken)}


def _is_there(module: str, path: list[str]) -> bool:
    """Find a module part by part, each in the folders of the one before, as an import would, but without running any."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return True
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return False
        path = list(spec.submodule_search_locations or ())
    return True
