"""Which addresses a job may connect to. A name is resolved once, judged, and the judged address is the one connected to."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address

# What a public-looking address may hide: the IPv4 address inside these decides (RFC 4291 §2.5.5, RFC 6052).
_CARRIES_IPV4 = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))
# Some or all versions of Python count these as global; none of them is a host on the public internet.
_NOT_PUBLIC = {
    ip_network("168.63.129.16/32"): "a cloud's metadata service",
    ip_network("192.0.0.0/24"): "an address for protocols, and a cloud's metadata service (RFC 6890)",
    ip_network("192.88.99.0/24"): "a relay address (RFC 7526)",
    ip_network("2001::/23"): "an address for protocols, tunnels among them (RFC 2928)",
    ip_network("2002::/16"): "a 6to4 address, which may lead to any IPv4 address",
    ip_network("3fff::/20"): "a documentation address (RFC 9637)",
}
_GLOBAL_UNICAST = ip_network("2000::/3")


class AddressRefused(Exception):
    """The host has an address that is not on the public internet."""


class NoSuchHost(Exception):
    """The name does not resolve."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: the arguments of `socket.socket` and `connect`."""

    family: int
    sockaddr: tuple[Any, ...]

    @property
    def address(self) -> str:
        """The numeric address."""
        return str(self.sockaddr[0])


def endpoints(host: str, port: int, *, allow_private: bool, within: float) -> list[Endpoint]:
    """The addresses of a host, in the system's order of preference.

    Raises NoSuchHost, also when the resolver takes longer than `within` seconds, and AddressRefused when one address of
    the host is not public, even if others are: which one a later look-up prefers is up to whoever answers it.
    """
    found = _resolved(host, port, within)
    for endpoint in found:
        reason = None if allow_private else not_public(endpoint.address)
        if reason:
            also = "" if host.strip("[]") == endpoint.address else f", an address of {host!r}"
            cure = "Pass allow_private=True if this job is meant to reach it."
            raise AddressRefused(f"expected a public address; got {endpoint.address}{also}: it is {reason}. {cure}")
    return found


def not_public(text: str) -> str | None:
    """Why an address is not a host on the public internet, or None when it is one."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and any(address in network for network in _CARRIES_IPV4):
        address = IPv4Address(int(address) & 0xFFFFFFFF)
    for network, reason in _NOT_PUBLIC.items():
        if address in network:
            return reason
    return _kind(address)


def _kind(address: Address) -> str | None:
    kinds = {
        "the unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "a link-local address, where clouds keep their metadata service": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a private address": not address.is_global,
        "a reserved address": address.is_reserved or (address.version == 6 and address not in _GLOBAL_UNICAST),
    }
    return next((kind for kind, applies in kinds.items() if applies), None)


def _resolved(host: str, port: int, within: float) -> list[Endpoint]:
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.append(error)

    # In a thread, because the system's resolver knows no time limit of ours.
    asking = threading.Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join(within)
    if not answer:
        raise NoSuchHost(f"{host!r} was not resolved within {within:.1f} s.")
    if isinstance(answer[0], Exception):
        raise NoSuchHost(f"{host!r} does not resolve: {getattr(answer[0], 'strerror', None) or answer[0]}.")
    return list(dict.fromkeys(Endpoint(family, sockaddr) for family, _, _, _, sockaddr in answer))
