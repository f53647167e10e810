"""`http.probe` and the addresses that it must not reach, however they are spelt, resolved or redirected to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from jobs._addresses import not_public
from jobs.http import ProbeFailed, ProbeRefused, probe
from tests.deployment.web import PUBLIC, Server, in_own_network, serving
from tests.support.processes import free_port


@pytest.fixture
def site() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
    ],
)
def test_no_spelling_of_loopback_is_reached(site: Server, host: str) -> None:
    with pytest.raises(ProbeFailed, match=r"expected a public address|does not resolve"):
        probe(f"http://{host}:{site.port}/ok")

    assert site.asked == []


PRIVATE_V4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
]
PRIVATE_V6 = [
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:1ff::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", [*PRIVATE_V4, *PRIVATE_V6])
def test_an_address_that_is_not_on_the_public_internet_is_known_as_such(address: str) -> None:
    assert not_public(address) is not None


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.0.43.10", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_known_as_such(address: str) -> None:
    assert not_public(address) is None


def answers(*addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]


def test_every_address_of_a_name_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers("8.8.8.8", "10.0.0.7"))

    with pytest.raises(ProbeRefused, match=r"got 10\.0\.0\.7, an address of 'two-faced\.example': it is a private address"):
        probe("http://two-faced.example/", timeout=2)


def test_a_resolver_that_hangs_is_left_at_the_timeout(monkeypatch: pytest.MonkeyPatch, site: Server) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [site.stopping.wait(20)])

    with pytest.raises(ProbeFailed, match=r"'slow\.example' was not resolved within 0\.[34]"):
        probe("http://slow.example/", timeout=0.4)


def test_a_public_host_is_asked_and_its_redirect_to_a_private_one_is_not_followed() -> None:
    def work() -> None:
        with serving(Server(PUBLIC)) as public, serving(Server()) as private:
            assert probe(f"{public.url}/ok")["address"] == PUBLIC
            assert probe(f"{public.url}/away?to=/ok")["status"] == 200
            for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
                with pytest.raises(ProbeRefused, match="expected a public address"):
                    probe(f"{public.url}/away?to=http://{host}:{private.port}/ok")
            with pytest.raises(ProbeRefused, match=r"169\.254\.169\.254.*link-local"):
                probe(f"{public.url}/away?to=http://169.254.169.254/latest/meta-data/")
            assert private.asked == []
            assert probe(f"{public.url}/away?to={private.url}/ok", allow_private=True)["address"] == "127.0.0.1"

    in_own_network(work)


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    def rebinding(*_: object, **__: object) -> list[tuple[Any, ...]]:
        looked_up.append("now")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC if len(looked_up) == 1 else "127.0.0.1", port))]

    def work() -> None:
        with serving(Server("127.0.0.1", port)) as private, serving(Server(PUBLIC, port)) as public:
            monkeypatch.setattr(socket, "getaddrinfo", rebinding)
            assert probe(f"http://rebinding.example:{port}/ok")["address"] == PUBLIC
            assert (len(public.asked), len(private.asked), len(looked_up)) == (1, 0, 1)

    port = free_port()
    in_own_network(work)
