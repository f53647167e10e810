"""One HTTP exchange with one checked address, within a deadline and with a bounded body. Redirects are the caller's."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import quote, urlsplit

from jobs._addresses import Endpoint, endpoints

PORTS = {"http": 80, "https": 443}


class BadUrl(Exception):
    """The URL is not one that can be fetched."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Headers and credentials are meant for one origin only."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL for logs and results: without its query, which may hold a token."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Request:
    """What to send; `deadline` is in monotonic seconds, `max_body` in bytes."""

    target: Target
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    deadline: float
    max_body: int
    allow_private: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the body is cut at `max_body`."""

    status: int
    headers: Message
    body: bytes
    truncated: bool
    address: str


def parse(url: str) -> Target:
    """Take a URL apart. Raises BadUrl; http and https only, and no user name or password."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise BadUrl(f"expected a URL; got {url!r}: {error}.") from None
    if parts.scheme not in PORTS:
        raise BadUrl(f"expected http:// or https://; got {parts.scheme + '://' if parts.scheme else 'no scheme'} in {url!r}.")
    if not host or port == 0:
        raise BadUrl(f"expected a host, and a port above 0 if any; got {url!r}.")
    if parts.username is not None or parts.password is not None:
        raise BadUrl("expected no user name or password, which would stand in every log; send an Authorization header instead.")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]{}|") if parts.query else ""
    return Target(parts.scheme, _ascii(host), port or PORTS[parts.scheme], path + query)


def fetch(request: Request) -> Answer:
    """Send one request and read the answer. Raises OSError (ssl.SSLError, TimeoutError among them), http.client.HTTPException,
    AddressRefused, NoSuchHost.
    """
    left = _left(request.deadline)
    found = endpoints(request.target.host, request.target.port, allow_private=request.allow_private, within=left)
    raw, used = _connected(found, request.deadline)
    with raw, _secured(raw, request) as secured:
        connection = http.client.HTTPConnection(request.target.host, request.target.port)
        connection.sock = _Timed(secured, request.deadline)
        headers = {"Host": request.target.authority, **request.headers}
        connection.request(request.method, request.target.path, request.body, headers)
        with connection.getresponse() as response:
            body = _body(response, request.max_body)
            return Answer(response.status, response.headers, body[: request.max_body], len(body) > request.max_body, used.address)


def _connected(found: list[Endpoint], deadline: float) -> tuple[socket.socket, Endpoint]:
    failure: OSError = OSError("no address")
    for index, endpoint in enumerate(found):
        raw = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            # An address that does not answer must leave time for the next one.
            raw.settimeout(_left(deadline) / (len(found) - index))
            raw.connect(endpoint.sockaddr)
            return raw, endpoint
        except OSError as error:
            raw.close()
            failure = error
        except BaseException:
            raw.close()
            raise
    raise failure


def _secured(raw: socket.socket, request: Request) -> socket.socket:
    if request.target.scheme == "http":
        return raw
    raw.settimeout(_left(request.deadline))
    return ssl.create_default_context().wrap_socket(raw, server_hostname=request.target.host.rstrip("."))


def _body(response: http.client.HTTPResponse, most: int) -> bytes:
    body = b""
    while len(body) <= most and (chunk := response.read(min(65536, most + 1 - len(body)))):
        body += chunk
    if len(body) <= most and response.length:  # http.client reads in parts without a word when the server hangs up early
        raise http.client.IncompleteRead(body, response.length)
    return body


class _Timed:
    """A socket for http.client whose every read ends by one deadline: a server that drips bytes can't hold us for ever."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb", mode  # noqa: S101 - all that http.client asks for
        return io.BufferedReader(_Reader(self._sock, self._deadline))

    def close(self) -> None:
        """The socket belongs to whoever opened it."""


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typing.Buffer needs Python 3.12
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError as error:
        raise BadUrl(f"expected a host name; got {host!r}: {error}.") from None
