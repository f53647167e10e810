"""A web server for the probe to ask, and a network of its own in which an address counts as public."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

T = TypeVar("T")
PUBLIC = "192.0.43.10"
"""An address that the probe takes for public. Inside `in_own_network` it is ours, and nothing leaves the machine."""
_CLONE_NEWNET = 0x40000000


class Site(BaseHTTPRequestHandler):
    """Paths named for how they behave; `server.asked` lists what was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Every method: see the paths."""
        self.server.asked.append((self.command, self.path))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        getattr(self, "path_" + parts.path.strip("/"), self.path_missing)(query)

    do_HEAD = do_POST = do_GET  # noqa: N815 - the names that http.server calls

    def path_ok(self, _query: dict[str, str]) -> None:
        self._answer(200, b"all systems go")

    def path_missing(self, _query: dict[str, str]) -> None:
        self._answer(404, b"nothing here")

    def path_latin(self, _query: dict[str, str]) -> None:
        self._answer(200, "grün".encode("latin-1"), {"Content-Type": "text/plain; charset=iso-8859-1"})

    def path_strange(self, _query: dict[str, str]) -> None:
        self._answer(200, "grün".encode(), {"Content-Type": "text/plain; charset=klingon"})

    def path_away(self, query: dict[str, str]) -> None:
        self._answer(int(query.get("status", 302)), b"", {"Location": query["to"]})

    def path_echo(self, _query: dict[str, str]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._answer(200, json.dumps({"method": self.command, "body": body, **self.headers}).encode())

    def path_big(self, _query: dict[str, str]) -> None:
        self._answer(200, b"x" * 5_000_000 + b"end")

    def path_short(self, _query: dict[str, str]) -> None:
        self._answer(200, b"half", {"Content-Length": "8"})

    def path_drip(self, _query: dict[str, str]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.server.stopping.wait(0.05):
            self.wfile.write(b".")

    def path_drip_headers(self, _query: dict[str, str]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.server.stopping.wait(0.05):
            self.wfile.write(b".")

    def path_garbage(self, _query: dict[str, str]) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.close_connection = True

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):  # the probe hung up, as it should
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Tests look at `asked`, not at a log."""


class Server(ThreadingHTTPServer):
    """A Site on a port of its own."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.asked: list[tuple[str, str]] = []
        self.stopping = threading.Event()
        super().__init__((host, port), Site)

    def handle_error(self, request: object, client_address: object) -> None:
        """A probe that hangs up, also in the middle of a handshake, is what some tests are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{self.server_address[0]}:{self.port}"


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve while the body runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()


def in_own_network(work: Callable[[], T]) -> T:
    """Run `work` in a thread that has a network namespace to itself, in which PUBLIC is an address of this machine."""

    def enter() -> T:
        if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            pytest.skip(f"a network namespace needs Linux and root ({os.strerror(ctypes.get_errno())}); run the tests as root")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True)
        return work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(enter).result()
