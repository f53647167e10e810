"""Loopback ports: ours are no standard ones, and a taken one is named and stepped over."""

from __future__ import annotations

import socket

from backbeat.errors import ConfigurationError

HOST = "127.0.0.1"
WEB = 8327
FLOWER = 8357
_TRIES = 50


def pick(wanted: int, taken: frozenset[int] = frozenset()) -> int:
    """`wanted`, or the next port above it that nobody listens on. Raises ConfigurationError when fifty are taken."""
    for port in range(wanted, min(wanted + _TRIES, 65536)):
        if port not in taken and is_free(port):
            return port
    raise ConfigurationError(f"expected a free port from {wanted} on; {_TRIES} in a row are taken. Name another one.")


def is_free(port: int) -> bool:
    """Whether we may listen there."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are only fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
