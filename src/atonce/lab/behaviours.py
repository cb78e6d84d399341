"""Paths on which the server behaves: bodies, statuses, redirects, delays; and what it tells about itself.

`atonce.lab.table` says how one is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .content import content, pieces
from .counters import to_json
from .table import behaviour
from .wire import LAST_CHUNK, Request, chunk, reply, reply_head

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["BINARY", "CHUNKED", "drip", "seconds"]

BINARY = "application/octet-stream"
CHUNKED = reply_head(200, ("Content-Type", BINARY), ("Transfer-Encoding", "chunked"))
WHOLE = 1 << 20  # bodies up to here are one reply in memory, larger ones are streamed
GZIP_MOST = 64 << 20


@behaviour("/", pure=True)
def anything(request: Request, to: Connection) -> bytes:
    """A small text naming the path: so does every path that is not in this table."""
    return reply(200, b"This is %b of the lab.\n" % request.path)


@behaviour("/bytes/N", pure=True)
def bytes_(request: Request, to: Connection) -> bytes | None:
    """A body of N bytes."""
    size = request.number(1)
    if size <= WHOLE:
        return reply(200, content(size, to.server.config.seed), kind=BINARY)
    to.stream(reply_head(200, ("Content-Type", BINARY), size=size), pieces(size, to.server.config.seed))
    return None


@behaviour("/chunked/N")
def chunked(request: Request, to: Connection) -> None:
    """A body of N bytes, chunked."""
    to.stream(CHUNKED, _chunked(request.number(1), to.server.config.seed))


@behaviour("/gzip/N", pure=True)
def gzip(request: Request, to: Connection) -> bytes:
    """A body of N bytes (up to 64 MiB), gzip-encoded whether or not the client accepts that."""
    import gzip as codec

    size = request.number(1)
    if size > GZIP_MOST:
        raise ValueError(f"/gzip/N goes up to {GZIP_MOST}")
    body = codec.compress(content(size, to.server.config.seed), mtime=0)
    return reply(200, body, ("Content-Encoding", "gzip"), kind=BINARY)


@behaviour("/status/CODE?retry_after=S")
def status(request: Request, to: Connection) -> bytes:
    """Status CODE (200 to 599); with Retry-After: S, any text, where the query has it."""
    code = request.number(1)
    if not 200 <= code <= 599:
        raise ValueError("/status/CODE goes from 200 to 599")
    retry_after = request.query.get("retry_after")
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    return reply(code, b"status %d\n" % code, *headers)


@behaviour("/delay/SECONDS")
def delay(request: Request, to: Connection) -> None:
    """The small text, after SECONDS more."""
    to.later(seconds(request.part(1)), to.answer, anything(request, to))


@behaviour("/flaky/K/...")
def flaky(request: Request, to: Connection) -> bytes:
    """503 the first K times this very URL (host, path and query) is asked for, then the small text."""
    url = (to.host.name, request.target)
    failed = to.server.failures.get(url, 0)
    if failed >= request.number(1):
        return anything(request, to)
    to.server.failures[url] = failed + 1
    return reply(503, b"failure %d\n" % (failed + 1))


@behaviour("/redirect/N")
def redirect(request: Request, to: Connection) -> bytes:
    """A chain of N redirects (302, relative), the query kept, ending in the small text."""
    left = request.number(1)
    if left == 0:
        return anything(request, to)
    query = request.target[len(request.path) :].decode("latin-1")
    return reply(302, b"", ("Location", f"/redirect/{left - 1}{query}"))


@behaviour("/redirect-to?url=URL&status=302")
def redirect_to(request: Request, to: Connection) -> bytes:
    """A redirect to URL, taken as it is."""
    query = request.query
    if "url" not in query:
        raise ValueError("/redirect-to wants ?url=")
    return reply(int(query.get("status", "302")), b"", ("Location", query["url"]))


@behaviour("/echo")
def echo(request: Request, to: Connection) -> bytes:
    """JSON of the request as it arrived: host it came to, method, target, headers (list of pairs), body (text)."""
    seen = {
        "host": to.host.name,
        "method": request.method.decode("latin-1"),
        "target": request.asked.decode("latin-1"),
        "headers": request.headers,
        "body": request.body.decode("utf-8", "backslashreplace"),
    }
    return reply(200, json.dumps(seen, indent=1).encode() + b"\n", kind="application/json")


# The server about itself: not counted, not delayed


@behaviour("/__stats")
def stats(request: Request, to: Connection) -> bytes:
    """JSON of what the server saw."""
    tallies = {host.name: host.tally for host in to.server.hosts}
    return reply(200, json.dumps(to_json(to.server.total, tallies)).encode() + b"\n", kind="application/json")


@behaviour("/__reset")
def forget(request: Request, to: Connection) -> bytes:
    """Counts from zero again, and forgets which URLs failed."""
    to.server.forget()
    return reply(200, b"forgotten\n")


def seconds(text: str) -> float:
    """A time out of a path or query."""
    value = float(text)
    if not 0 <= value < 1e6:
        raise ValueError(f"{text!r} is not a time, 0 seconds or more")
    return value


def drip(to: Connection, drops: Iterator[bytes], every: float) -> None:
    """Write each of the drops, one every so many seconds; then the request is done."""
    drop = next(drops, None)
    if drop is None:
        to.done()
    else:
        to.write(drop)
        to.later(every, drip, to, drops, every)


def _chunked(size: int, seed: int) -> Iterator[bytes]:
    yield from map(chunk, pieces(size, seed))
    yield LAST_CHUNK
