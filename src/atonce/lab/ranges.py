"""Paths that answer ranges and conditions, rightly and in the odd ways that servers do.

`atonce.lab.table` says how one is written.
"""

from __future__ import annotations

import email.utils
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
RANGES = (
    "good",
    "ignored",
    "shifted",
    "changed",
    "swapped",
    "weak",
    "unnamed",
    "dated",
    "fresh",
    "refused",
    "longer",
    "short",
)
CONDITIONS = ("good", "ignored", "always-304", "304-other", "412")


@behaviour("/range/KIND/N?cut=K&stay=K")
def ranges(request: Request, to: Connection) -> bytes | None:
    """N bytes (1000 unless told) with an ETag; a Range is answered by KIND: good; ignored (200); shifted (it starts a
    byte late); changed (the ETag and the bytes are others each time); swapped (so they are, and If-Range is passed over); weak
    (W/); unnamed (no ETag); dated (a Last-Modified of 2015 instead); fresh (one of this second); refused (416); longer
    (Content-Range promises more than comes); short (half of what was asked for). With cut, only K bytes come the first time;
    with stay, so it is, and then nothing more."""
    kind, size = _one_of(RANGES, request.part(1, "good")), request.number(2, 1000)
    headers = {name.lower(): value for name, value in request.headers}
    version = _version(request, to) if kind in ("changed", "swapped") else 0
    tag, validators = _known_by(kind, version)
    known = (*validators, ("Accept-Ranges", "bytes"))
    asked = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", headers.get("range", ""))
    body = content(size, to.server.config.seed + version)
    if asked is None or kind == "ignored" or (kind != "swapped" and headers.get("if-range", tag) != tag):
        whole = reply(200, body, *known, kind=BINARY)
        cut, stay = request.query.get("cut"), request.query.get("stay")
        if not (cut or stay) or not _first_time(request, to):
            return whole
        to.stream(whole[: len(whole) - size + int(cut or stay or 0)], iter(()), end="close" if cut else "stay")
        return None
    first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
    if first >= size or kind == "refused":
        return reply(416, b"", ("Content-Range", f"bytes */{size}"), *known)
    first += kind == "shifted"
    last -= (last - first) // 2 * (kind == "short")
    promised = size + (kind == "longer")
    return reply(206, body[first : last + 1], ("Content-Range", f"bytes {first}-{last}/{promised}"), *known, kind=BINARY)


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


def _known_by(kind: str, version: int) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """What an If-Range would have to say, and the headers that tell it."""
    now = email.utils.formatdate(usegmt=True)
    if kind == "unnamed":
        return None, ()
    if kind in ("dated", "fresh"):
        modified = MODIFIED if kind == "dated" else now
        return modified, (("Last-Modified", modified), ("Date", now))
    tag = f'"{version}"' if version else 'W/"one"' if kind == "weak" else '"one"'
    return tag, (("ETag", tag),)


def _version(request: Request, to: Connection) -> int:
    """How often this very URL was asked for."""
    count: list[int] = to.server.note(("version", to.host.name, request.target), lambda: [0])
    count[0] += 1
    return count[0]


def _first_time(request: Request, to: Connection) -> bool:
    seen: list[bool] = to.server.note(("cut", to.host.name, request.target), list)
    seen.append(True)
    return len(seen) == 1


def _one_of(kinds: tuple[str, ...], kind: str) -> str:
    if kind not in kinds:
        raise ValueError(f"{kind!r} is none of {', '.join(kinds)}")
    return kind
