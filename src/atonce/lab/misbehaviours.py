"""Paths on which the server misbehaves: bodies cut short, stalled or endless, silence, resets.

`atonce.lab.table` says how one is written.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

from .behaviours import BINARY, CHUNKED, drip, seconds
from .content import pieces
from .table import behaviour
from .wire import Request, chunk, reply_head

if TYPE_CHECKING:
    from .connection import Connection

__all__: list[str] = []


@behaviour("/truncated/N")
def truncated(request: Request, to: Connection) -> None:
    """Promises N bytes (1000 unless told), sends half and closes."""
    size = request.number(1, 1000)
    head = reply_head(200, ("Content-Type", BINARY), size=size)
    to.stream(head, pieces(size // 2, to.server.config.seed), end="close")


@behaviour("/truncated-chunked/N")
def truncated_chunked(request: Request, to: Connection) -> None:
    """A chunked body of N bytes (1000 unless told) without its end, then closes."""
    body = pieces(request.number(1, 1000), to.server.config.seed)
    to.stream(CHUNKED, map(chunk, body), end="close")


@behaviour("/close/N")
def close(request: Request, to: Connection) -> None:
    """A body of N bytes (1000 unless told) and a promise to keep the connection, then closes it."""
    size = request.number(1, 1000)
    head = reply_head(200, ("Connection", "keep-alive"), size=size)
    to.stream(head, pieces(size, to.server.config.seed), end="close")


@behaviour("/endless")
def endless(request: Request, to: Connection) -> None:
    """A chunked body that never ends, as fast as it is read."""
    to.stream(CHUNKED, map(chunk, pieces(None, to.server.config.seed)))


@behaviour("/stall/N")
def stall(request: Request, to: Connection) -> None:
    """Promises twice N bytes and one (N: 1000 unless told), sends N, then nothing more, and stays."""
    size = request.number(1, 1000)
    head = reply_head(200, ("Content-Type", BINARY), size=2 * size + 1)
    to.stream(head, pieces(size, to.server.config.seed), end="stay")


@behaviour("/drip/N?every=S")
def dripping(request: Request, to: Connection) -> None:
    """A body of N bytes (a million unless told), one every S seconds (1 unless told)."""
    size = request.number(1, 1_000_000)
    every = seconds(request.query.get("every", "1"))
    head = reply_head(200, ("Content-Type", BINARY), size=size)
    if request.method == b"HEAD":
        to.stream(head, iter(()))
        return
    to.write(head)
    drip(to, repeat(b".", size), every)


@behaviour("/silent")
def silent(request: Request, to: Connection) -> None:
    """Reads the request and never answers."""


@behaviour("/reset")
def reset(request: Request, to: Connection) -> None:
    """Resets the connection (RST) instead of an answer."""
    to.reset()
