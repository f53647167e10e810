"""Outputs that are too large for Redis: kept as files, and passed on by their address.

They lie in a folder that all workers share, by default `outputs/` in BACKBEAT_HOME, or wherever BACKBEAT_OUTPUTS points:
a path, or a URL that fsspec knows (s3://bucket/prefix, with fsspec and the bucket's driver installed).
"""

from __future__ import annotations

import json
import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from backbeat.conf import settings
from backbeat.core.message import dumps
from backbeat.errors import GraphError

LARGEST = 64 * 1024 * 1024
"""Bytes of one output."""
KEEP_DAYS = 7
_DAY = 86_400.0


def keep(run_id: str, value: Any, limit: int) -> str:
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
    return f"@{_store(run_id, data)}"


def load(address: str) -> Any:
    """The value behind an address. Raises GraphError when it is gone."""
    try:
        return json.loads(_read(address))
    except OSError as error:
        cure = "Every worker must reach the folder that BACKBEAT_OUTPUTS names."
        raise GraphError(
            "output", f"an output that was kept at {address} can't be read: {error.strerror or error}. {cure}"
        ) from error


def sweep(now: float | None = None) -> int:
    """Remove outputs that are older than KEEP_DAYS from the folder; returns how many. URLs are left to their storage."""
    root = _root()
    if _is_url(root) or not Path(root).is_dir():
        return 0
    old = [path for path in Path(root).glob("*/*.json") if (now or time.time()) - path.stat().st_mtime > KEEP_DAYS * _DAY]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _store(run_id: str, data: bytes) -> str:
    # By content: a node that runs again with the same result writes the same file, and never half of one.
    name = f"{sha256(run_id.encode()).hexdigest()[:24]}/{sha256(data).hexdigest()}.json"
    root = _root()
    try:
        if _is_url(root):
            with _fsspec().open(f"{root}/{name}", "wb") as file:
                file.write(data)
            return f"{root}/{name}"
        path = Path(root) / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise GraphError(
            "output", f"an output of {len(data):,} bytes can't be kept in {root}: {error.strerror or error}."
        ) from error
    return str(path)


def _read(address: str) -> bytes:
    if not _is_url(address):
        return Path(address).read_bytes()
    with _fsspec().open(address, "rb") as file:
        return bytes(file.read())


def _root() -> str:
    return (os.environ.get("BACKBEAT_OUTPUTS") or str(settings().home / "outputs")).rstrip("/")


def _is_url(address: str) -> bool:
    return "://" in address


def _fsspec() -> Any:
    try:
        import fsspec  # type: ignore[import-not-found]
    except ImportError:
        raise GraphError(
            "output", "BACKBEAT_OUTPUTS is a URL, for which fsspec is needed. Install fsspec on every worker."
        ) from None
    return fsspec
