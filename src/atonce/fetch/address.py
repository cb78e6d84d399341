"""Where a fetch may connect to: public addresses, and those the user named herself.

Two looks, which together hold for reused connections too: by name before a hop (a name that says it is not public is
refused unless the user wrote it), by address when a connection is opened (behind any other name, only public ones). So
no connection under a public name ever leads inside, and one under a private name serves those who wrote that name.
"""

from __future__ import annotations

import functools
import ipaddress

__all__ = ["is_private_name", "is_public", "refused_address", "refused_host"]

_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa", ".private")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@functools.lru_cache(4096)
def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public internet. IPv6 that embeds an IPv4 address is judged by that."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


@functools.lru_cache(4096)
def is_private_name(host: str) -> bool:
    """Whether a host says of itself that it is not public: by its address, its ending, or having no dot in it."""
    host = host.rstrip(".")
    if host.replace(".", "").isdigit() or ":" in host:
        return not is_public(host)
    return "." not in host or host.endswith(_SUFFIXES)


def refused_host(host: str, listed: str, allow_private: bool) -> str | None:
    """Why a hop to `host` is refused, or None; `listed` is the host in the URL that the user wrote."""
    if allow_private or host == listed or not is_private_name(host):
        return None
    return f"leads to {host}, which is not public and was not asked for"


def refused_address(host: str, address: str, allow_private: bool) -> str | None:
    """Why a connection to `address`, one of those of `host`, is refused, or None."""
    if allow_private or is_private_name(host) or is_public(address):
        return None
    return f"{host} has the address {address}, which is not public"
