"""A request for what may be there already: `conditional`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .request import Request
from .url import shown

__all__ = ["conditional"]

_CONDITIONS = frozenset({"if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"})


def conditional(request: Request, earlier: Mapping[str, Any] | None) -> Request:
    """The request with `If-None-Match` and `If-Modified-Since` from the row of an earlier answer, where that is right.

    It is where the answer came whole, was fine, and came from this very URL: what validates it is of the URL that a
    redirect led to, and the first hop does not know it. Conditions of the user's own are left alone.
    """
    if earlier is None or not (earlier.get("ok") and earlier.get("complete")) or request.method not in ("GET", "HEAD"):
        return request
    if earlier.get("final_url") != shown(request.url) or any(name.lower() in _CONDITIONS for name, _ in request.headers):
        return request
    found = {name.lower(): value for name, value in earlier.get("headers", ())}
    pairs = (("If-None-Match", found.get("etag")), ("If-Modified-Since", found.get("last-modified")))
    more = tuple((name, value) for name, value in pairs if value and value.isascii() and value.isprintable())
    return dataclasses.replace(request, headers=request.headers + more) if more else request
