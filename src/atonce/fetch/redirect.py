"""Redirects: what the next hop is, decided from the answer alone."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InputError
from .address import refused_redirect
from .limits import Policy
from .request import Request
from .url import join, origin, shown

__all__ = ["REDIRECTS", "Refused", "next_hop"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})

# The user's headers that may go to another origin: these are no secrets and are not taken for any.
_SAFE = frozenset({"accept", "accept-encoding", "accept-language", "cache-control", "pragma", "user-agent"})
_OF_A_BODY = frozenset({"content-encoding", "content-language", "content-location", "content-type"})


class Refused(Exception):
    """This hop is not made; `kind` is the class of the failure."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def next_hop(
    hop: Request, status: int, headers: Mapping[str, str], policy: Policy, *, first: Request, number: int
) -> Request | None:
    """The request that an answer asks for, or None when it is final. Raises Refused.

    `hop` was answered; `first` is what the user asked for, `number` redirects ago. `headers` has names in lower case.
    """
    if status not in REDIRECTS or not policy.max_redirects:
        return None
    if number >= policy.max_redirects:
        raise Refused("policy", f"more than {policy.max_redirects} redirects")
    location = headers.get("location")
    if not location:
        raise Refused("protocol", f"a redirect ({status}) without a Location")
    try:
        url, _ = join(hop.url, _as_bytes(location))  # a user name in it is the server's, not the user's: left out
    except (InputError, ValueError) as error:
        raise Refused("policy", f"a redirect to what is no http(s) URL: {getattr(error, 'what', error)}") from None
    if why := refused_redirect(url, first.url, policy.allow_private):
        raise Refused("policy", f"a redirect {why}: {shown(url)}")
    method, kept, body = _method(hop, status), hop.headers, hop.body
    if method != hop.method:
        kept = tuple(pair for pair in kept if pair[0].lower() not in _OF_A_BODY)
        body = None
    if origin(url) != origin(hop.url):
        safe = _SAFE if body is None else _SAFE | _OF_A_BODY
        kept = tuple(pair for pair in kept if pair[0].lower() in safe)
    return Request(url, method, kept, body)


def _as_bytes(location: str) -> str:
    """Beyond ASCII, which no Location has by the standard, servers send the bytes of UTF-8: those are what is asked for."""
    return location if location.isascii() else location.encode("latin-1").decode("utf-8", "surrogateescape")


def _method(hop: Request, status: int) -> str:
    """303 means GET what is there; 301 and 302 turn POST into GET as all browsers do; 307 and 308 change nothing."""
    if (status == 303 and hop.method not in ("GET", "HEAD")) or (status in (301, 302) and hop.method == "POST"):
        return "GET"
    return hop.method
