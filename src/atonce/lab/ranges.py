"""Paths that answer ranges and conditions, rightly and in the odd ways that servers do.

`atonce.lab.table` says how one is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .behaviours import BINARY
from .content import content
from .table import behaviour
from .wire import Request, reply

if TYPE_CHECKING:
    from .connection import Connection

__all__: list[str] = []

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"
RANGES = ("good", "ignored", "shifted", "changed", "weak", "unnamed", "refused", "longer")
CONDITIONS = ("good", "ignored", "always-304", "304-other", "412")


@behaviour("/range/KIND/N")
def ranges(request: Request, to: Connection) -> bytes:
    """N bytes (1000 unless told) with an ETag; a Range is answered by KIND: good; ignored (200); shifted (it starts a
    byte late); changed (the ETag is another each time); weak (W/); unnamed (no ETag); refused (416); longer
    (Content-Range promises more than comes)."""
    kind, size = _one_of(RANGES, request.part(1, "good")), request.number(2, 1000)
    headers = {name.lower(): value for name, value in request.headers}
    tag = _tag(kind, to)
    known = (("ETag", tag), ("Accept-Ranges", "bytes")) if tag else (("Accept-Ranges", "bytes"),)
    asked = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", headers.get("range", ""))
    body = content(size, to.server.config.seed)
    if asked is None or kind == "ignored" or headers.get("if-range", tag) != tag:
        return reply(200, body, *known, kind=BINARY)
    first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
    if first >= size or kind == "refused":
        return reply(416, b"", ("Content-Range", f"bytes */{size}"), *known)
    first += kind == "shifted"
    whole = size + (kind == "longer")
    return reply(206, body[first : last + 1], ("Content-Range", f"bytes {first}-{last}/{whole}"), *known, kind=BINARY)


@behaviour("/conditional/KIND")
def conditional(request: Request, to: Connection) -> bytes:
    """A small body with ETag and Last-Modified; a condition is answered by KIND: good (304 where it holds); ignored
    (200); always-304 (asked or not); 304-other (with another ETag); 412."""
    kind = _one_of(CONDITIONS, request.part(1, "good"))
    headers = {name.lower(): value for name, value in request.headers}
    known = (("ETag", '"one"'), ("Last-Modified", MODIFIED))
    holds = headers.get("if-none-match") == '"one"' or (
        "if-none-match" not in headers and headers.get("if-modified-since") == MODIFIED
    )
    if kind == "always-304" or (holds and kind == "good"):
        return reply(304, b"", *known)
    if holds and kind == "304-other":
        return reply(304, b"", ("ETag", '"two"'))
    if holds and kind == "412":
        return reply(412, b"failed\n")
    return reply(200, b"fine", *known)


def _tag(kind: str, to: Connection) -> str | None:
    if kind == "unnamed":
        return None
    if kind == "changed":
        count: list[int] = to.server.note("etag", lambda: [0])
        count[0] += 1
        return f'"{count[0]}"'
    return 'W/"one"' if kind == "weak" else '"one"'


def _one_of(kinds: tuple[str, ...], kind: str) -> str:
    if kind not in kinds:
        raise ValueError(f"{kind!r} is none of {', '.join(kinds)}")
    return kind
