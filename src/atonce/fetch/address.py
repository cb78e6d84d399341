"""Where a fetch may connect to: public addresses, and those the user named herself.

Two looks, which together hold for reused connections too: by name before a hop, by address when a connection is opened. A
name that says it is not public is for those who wrote it in the URL that is fetched: a redirect may lead there from that URL
alone, and to no other port, behind which another service is; but from http to https, each on its own port. Behind any other
name, only public addresses. What else is in the list does not count: it is read a little at a time, and by several processes.
"""

from __future__ import annotations

import functools
import ipaddress

from .url import host_of, origin

__all__ = ["is_private_name", "is_public", "refused_address", "refused_redirect"]

_REMEDY = "allow_private (--allow-private) lets it"

_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa", ".private")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# All that is given out of IPv6 for the public internet; what else there is has its uses inside (RFC 4291, 6052, 8215).
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
# What older Pythons take for public.
_RESERVED = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))


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
        if ip not in _GIVEN_OUT:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _RESERVED)


@functools.lru_cache(4096)
def is_private_name(host: str) -> bool:
    """Whether a host says of itself that it is not public: by its address, its ending, or having no dot in it."""
    host = host.rstrip(".")
    if host.replace(".", "").isdigit() or ":" in host:
        return not is_public(host)
    return "." not in host or host.endswith(_SUFFIXES)


def refused_redirect(url: str, listed: str, allow_private: bool) -> str | None:
    """Why no redirect leads to the canonical `url`, or None; `listed` is the one that the user wrote."""
    there, asked = origin(url), origin(listed)
    if allow_private or not is_private_name(there[1]) or there[1:] == asked[1:] or (asked, there) == _upgrade(there[1]):
        return None
    place = f"{there[0]}://{host_of(url)}"
    return f"leads to {place}, which is not public and not this URL's own host and port; {_REMEDY}"


def _upgrade(host: str) -> tuple[tuple[str, str, int], tuple[str, str, int]]:
    return ("http", host, 80), ("https", host, 443)


def refused_address(host: str, address: str, allow_private: bool) -> str | None:
    """Why a connection to `address`, one of those of `host`, is refused, or None."""
    if allow_private or is_private_name(host) or is_public(address):
        return None
    return f"{host} has the address {address}, which is not public; {_REMEDY}"
