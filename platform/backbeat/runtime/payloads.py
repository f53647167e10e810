"""Outputs that are too large for Redis: kept as files, and passed on by their address.

They lie where BACKBEAT_OUTPUTS points (see payload_places.py), one folder a DAG run, for as long as the run is kept.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from backbeat.conf import settings
from backbeat.core.message import dumps
from backbeat.errors import GraphError
from backbeat.runtime.payload_places import place_of, read

LARGEST = 64 * 1024 * 1024
"""Bytes of one output."""
_NAME = "run.txt"
"""Holds the id of the DAG run whose folder it is: a name of such length is no file name."""


def keep(dag_run: str, value: Any, limit: int) -> str:
    """A node's output as the text that is handed on: the JSON itself, or `@` and an address above `limit` bytes.

    Raises GraphError for a value that JSON can't hold, that is too large altogether, or that can't be stored.
    """
    try:
        text = dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        expected = "expected an output that JSON can hold, because other nodes need it"
        raise GraphError("output", f"{expected}; got {type(value).__name__} ({error}). Return plain data.") from None
    data = text.encode()
    if len(data) <= limit:
        return text
    if len(data) > LARGEST:
        cure = "Store it yourself and return where it lies."
        raise GraphError("output", f"expected an output of at most {LARGEST:,} bytes; got {len(data):,}. {cure}")
    return f"@{_store(dag_run, data)}"


def load(address: str) -> Any:
    """The value behind an address. Raises GraphError when it is gone, damaged or out of reach."""
    try:
        data = read(address)
    except OSError as error:
        cure = "Every worker must reach the place that BACKBEAT_OUTPUTS names; if it is gone for good, run its node again."
        raise GraphError("output", f"an output that was kept at {address} can't be read: {_why(error)}. {cure}") from error
    try:
        return json.loads(data)
    except ValueError as error:
        raise GraphError("output", f"an output that was kept at {address} is damaged: {error}. Run its node again.") from error


def sweep(known: Callable[[str], bool], now: float | None = None) -> int:
    """Remove the outputs of DAG runs that are not `known` any more; returns how many runs had some.

    What is younger than the retention stays in any case, so that a ledger which is empty for a while costs nothing.
    """
    place = place_of(_root())
    before = (now or time.time()) - settings().key_retention
    removed = 0
    for folder, newest in place.folders():
        if newest is not None and newest > before:
            continue
        if not known(place.text(folder, _NAME)):
            place.remove(folder)
            removed += 1
    return removed


def _store(dag_run: str, data: bytes) -> str:
    # By content: a node that runs again with the same result writes the same file.
    folder, name = sha256(dag_run.encode()).hexdigest()[:24], f"{sha256(data).hexdigest()}.json"
    place = place_of(_root())
    try:
        place.write(folder, _NAME, dag_run.encode())
        return place.write(folder, name, data)
    except OSError as error:
        raise GraphError("output", f"an output of {len(data):,} bytes can't be kept in {_root()}: {_why(error)}.") from error


def _root() -> str:
    return (os.environ.get("BACKBEAT_OUTPUTS") or str(settings().home / "outputs")).rstrip("/")


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
