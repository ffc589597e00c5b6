"""Which proxies are trusted to say who the client is, and which of their header fields."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection

__all__ = ["HEADERS", "describe", "parse_addresses"]

# As in serve/forwarded.h, in the order of the bits.
HEADERS = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded")


def parse_addresses(addresses: str | Collection[str] | None) -> tuple[bytes, bool, bool]:
    """Trusted networks, each in 17 bytes, whether everyone is trusted, and unix sockets.

    `"10.0.0.0/8, ::1"` or a list of such; `"*"` is everyone, `"unix:"` who connects to a unix
    socket. None is what FORWARDED_ALLOW_IPS says in the environment, else 127.0.0.1. `ValueError`
    for what is no address and no network.
    """
    if addresses is None:
        addresses = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    if isinstance(addresses, str):
        addresses = addresses.split(",")
    networks, anyone, unix = b"", False, False
    for text in filter(None, (address.strip() for address in addresses)):
        if text == "*":
            anyone = True
        elif text == "unix:":
            unix = True
        else:
            networks += _network(text)
    return networks, anyone, unix


def _network(text: str) -> bytes:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise ValueError(f"whom to trust as a proxy: {exc}") from None
    if isinstance(network, ipaddress.IPv4Network):  # as ::ffff:a.b.c.d
        return bytes(10) + b"\xff\xff" + network.network_address.packed + _byte(network, 96)
    return network.network_address.packed + _byte(network, 0)


def _byte(network: ipaddress.IPv4Network | ipaddress.IPv6Network, more: int) -> bytes:
    return bytes([network.prefixlen + more])


def describe(
    addresses: str | Collection[str] | None, headers: Collection[str]
) -> tuple[bytes, bool, bool, int]:
    """How the core is told. `ValueError` says what is not clear."""
    if isinstance(headers, str):
        headers = headers.split(",")
    fields = 0
    for name in filter(None, (header.strip().lower() for header in headers)):
        if name not in HEADERS:
            raise ValueError(f"what to read of proxies: {name!r} is none of {', '.join(HEADERS)}")
        fields |= 1 << HEADERS.index(name)
    return (*parse_addresses(addresses), fields)
