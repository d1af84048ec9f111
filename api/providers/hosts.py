"""Which hosts and addresses a request may go to. No driver, no lookup: rules only."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

Origin = tuple[str, str, int]
"""Scheme, host, port."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def origin_of(url: str) -> Origin | None:
    """The origin of a plain http or https URL; None for what could be read in two ways."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc or "\\" in url:
        return None
    return parts.scheme, host.lower(), port or (443 if parts.scheme == "https" else 80)


def origin_allowed(origin: Origin, hosts: Sequence[str]) -> bool:
    """True for https on its own port to one of the hosts."""
    scheme, host, port = origin
    return scheme == "https" and port == 443 and host_allowed(host, hosts)


def host_allowed(host: str, patterns: Sequence[str]) -> bool:
    """True if the host is in the list; `*.suffix` stands for exactly one label before it."""
    for pattern in patterns:
        if pattern.startswith("*."):
            label, _, rest = host.partition(".")
            if label and rest == pattern[2:]:
                return True
        elif host == pattern:
            return True
    return False


def public_address(text: str) -> bool:
    """True if the address is on the public internet, also when wrapped in an IPv6 one."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return public_address(str(inner))
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
