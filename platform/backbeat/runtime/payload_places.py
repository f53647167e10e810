"""Where large outputs lie: a folder that all workers share, or a URL that fsspec knows (`s3://bucket/prefix`)."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from backbeat.errors import GraphError


class PayloadPlace(Protocol):
    """Files in folders, one level deep. Everything raises OSError when the storage refuses or does not answer."""

    def write(self, folder: str, name: str, data: bytes) -> str:
        """Store a file whole or not at all, over one of that name; its address."""

    def text(self, folder: str, name: str) -> str:
        """A file's text; empty when there is none."""

    def folders(self) -> Iterator[tuple[str, float | None]]:
        """Every folder with the time of its newest file (epoch seconds), None where the storage does not tell."""

    def remove(self, folder: str) -> None:
        """Take a folder away with all that is in it."""


def place_of(root: str) -> PayloadPlace:
    """The place that BACKBEAT_OUTPUTS names. Raises GraphError for a URL that fsspec can't open here."""
    return UrlPlace(root) if "://" in root else FolderPlace(root)


def read(address: str) -> bytes:
    """What lies at an address that `write` returned. Raises as `place_of` and its place do."""
    if "://" not in address:
        return Path(address).read_bytes()
    files, path = _opened(address)
    with _in_plain_words():
        return bytes(files.cat_file(path))


class FolderPlace:
    """A folder of this machine, or one that is mounted on all."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def write(self, folder: str, name: str, data: bytes) -> str:
        """Written beside, then renamed into place."""
        path = self._root / folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f".{name}.{secrets.token_hex(4)}")
        part.write_bytes(data)
        part.replace(path)
        return str(path)

    def text(self, folder: str, name: str) -> str:
        """A file's text; empty when there is none."""
        path = self._root / folder / name
        return path.read_text() if path.is_file() else ""

    def folders(self) -> Iterator[tuple[str, float | None]]:
        """The folder's own time is that of the last file that came into it."""
        if self._root.is_dir():
            with os.scandir(self._root) as entries:
                yield from [(entry.name, entry.stat().st_mtime) for entry in entries if entry.is_dir(follow_symlinks=False)]

    def remove(self, folder: str) -> None:
        """Take a folder away with all that is in it."""
        shutil.rmtree(self._root / folder, ignore_errors=True)


class UrlPlace:
    """A storage behind fsspec."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._files, self._path = _opened(root)

    def write(self, folder: str, name: str, data: bytes) -> str:
        """Object stores show a file only when it is whole."""
        with _in_plain_words():
            self._files.makedirs(f"{self._path}/{folder}", exist_ok=True)
            self._files.pipe_file(f"{self._path}/{folder}/{name}", data)
        return f"{self._root}/{folder}/{name}"

    def text(self, folder: str, name: str) -> str:
        """A file's text; empty when there is none."""
        path = f"{self._path}/{folder}/{name}"
        with _in_plain_words():
            return self._files.cat_file(path).decode() if self._files.exists(path) else ""

    def folders(self) -> Iterator[tuple[str, float | None]]:
        """Every folder with the time of its newest file, where the storage tells."""
        with _in_plain_words():
            self._files.invalidate_cache()
            rows = self._files.ls(self._path, detail=True) if self._files.exists(self._path) else []
            found = [(row["name"].rstrip("/"), self._newest(row["name"])) for row in rows if row["type"] == "directory"]
        yield from ((name.rpartition("/")[2], newest) for name, newest in found)

    def remove(self, folder: str) -> None:
        """Take a folder away with all that is in it."""
        with _in_plain_words():
            self._files.rm(f"{self._path}/{folder}", recursive=True)

    def _newest(self, path: str) -> float | None:
        try:
            return max((self._files.modified(name).timestamp() for name in self._files.find(path)), default=None)
        except NotImplementedError:
            return None


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """A driver's own errors as OSError, which is what callers know."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _opened(url: str) -> tuple[Any, str]:
    """The storage of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        cure = "Install backbeat[outputs] on every worker and keeper, and the driver of the storage, such as s3fs."
        raise GraphError("output", f"BACKBEAT_OUTPUTS is a URL, for which fsspec is needed. {cure}") from None
    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise GraphError("output", f"expected a storage that fsspec can open here; got {url}: {error}.") from error
    return files, str(path)
