"""Paths whose answers are not quite HTTP: heads, framing and endings as no server should send them.

`atonce.lab.table` says how one is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import TYPE_CHECKING

from .behaviours import BINARY, CHUNKED, drip, seconds
from .content import content, pieces
from .table import behaviour
from .wire import Request, chunk, reply, reply_head

if TYPE_CHECKING:
    from .connection import Connection

__all__: list[str] = []

FINE = b"fine"
HEAD = b"HTTP/1.1 200 OK\r\n"
SIZED = HEAD + b"Content-Length: 4\r\n"
ALERT = bytes.fromhex("15030100020232")  # TLS: fatal, decode_error


# ── no HTTP, or another version of it ────────────────────────────────────────────────────────────────────────────────


@behaviour("/http09")
def http09(request: Request, to: Connection) -> None:
    """A body and nothing else, as HTTP/0.9 had it, then closes."""
    _last(to, b"<html>This is HTTP/0.9.</html>\n")


@behaviour("/http10/N")
def http10(request: Request, to: Connection) -> None:
    """An HTTP/1.0 answer: N bytes (1000 unless told), whose end is that of the connection."""
    _last(to, b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + content(request.number(1, 1000)))


@behaviour("/until-close/N")
def until_close(request: Request, to: Connection) -> None:
    """N bytes (1000 unless told) without a length: their end is that of the connection."""
    _last(to, HEAD + b"\r\n" + content(request.number(1, 1000)))


@behaviour("/garbage/N")
def garbage(request: Request, to: Connection) -> None:
    """N bytes (100 unless told) that are no HTTP, then closes."""
    to.stream(b"", pieces(request.number(1, 100), to.server.config.seed), end="close")


@behaviour("/tls-bytes")
def tls_bytes(request: Request, to: Connection) -> None:
    """A TLS alert where HTTP was to come, then closes."""
    _last(to, ALERT)


# ── heads ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@behaviour("/slow-head?every=S")
def slow_head(request: Request, to: Connection) -> None:
    """A status line, then a header that never ends, a byte every S seconds (1 unless told)."""
    to.write(HEAD + b"X-Slow: ")
    drip(to, repeat(b"x"), seconds(request.query.get("every", "1")))


@behaviour("/half-head")
def half_head(request: Request, to: Connection) -> None:
    """Closes in the middle of a header."""
    _last(to, HEAD + b"Content-Len")


@behaviour("/long-header/N")
def long_header(request: Request, to: Connection) -> bytes:
    """A header of N bytes (60000 unless told)."""
    return reply(200, FINE, ("X-Long", "x" * request.number(1, 60_000)))


@behaviour("/many-headers/N")
def many_headers(request: Request, to: Connection) -> bytes:
    """N headers (10000 unless told)."""
    return reply(200, FINE, *((f"X-{number}", "y") for number in range(request.number(1, 10_000))))


@behaviour("/folded")
def folded(request: Request, to: Connection) -> None:
    """A header on two lines, which RFC 9112 forbids."""
    _raw(to, SIZED + b"X-Folded: one\r\n two\r\n\r\n" + FINE)


@behaviour("/bare-lf")
def bare_lf(request: Request, to: Connection) -> None:
    """A head whose lines end with a line feed alone."""
    _raw(to, SIZED.replace(b"\r", b"") + b"\n" + FINE)


@behaviour("/nul")
def nul(request: Request, to: Connection) -> None:
    """A NUL in a header."""
    _raw(to, SIZED + b"X-Nul: a\0b\r\n\r\n" + FINE)


@behaviour("/length/KIND")
def length(request: Request, to: Connection) -> None:
    """A Content-Length that makes no sense: negative, words, huge, twice (two that differ), chunked (and chunks too)."""
    kind = request.part(1, "twice")
    if kind not in _LENGTHS:
        raise ValueError(f"/length/KIND is one of {', '.join(_LENGTHS)}")
    _last(to, HEAD + _LENGTHS[kind])


_LENGTHS = {
    "negative": b"Content-Length: -4\r\n\r\nfine",
    "words": b"Content-Length: four\r\n\r\nfine",
    "huge": b"Content-Length: 99999999999999999999999\r\n\r\nfine",
    "twice": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfine!",
    "chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
}


@behaviour("/informational/N")
def informational(request: Request, to: Connection) -> None:
    """N answers of 103 Early Hints (3 unless told), then the one that counts."""
    hints = repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n", request.number(1, 3))
    to.stream(b"", chain(hints, [SIZED + b"\r\n" + FINE]))


@behaviour("/informational-endless")
def informational_endless(request: Request, to: Connection) -> None:
    """Answers of 100 Continue without end, as fast as they are read."""
    to.stream(b"", repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000))


@behaviour("/switching")
def switching(request: Request, to: Connection) -> None:
    """101: switches to another protocol, unasked, and closes."""
    _last(to, b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\nother")


# ── bodies where there are none, and framing ─────────────────────────────────────────────────────────────────────────


@behaviour("/bodiless/CODE")
def bodiless(request: Request, to: Connection) -> None:
    """Status CODE (204 unless told, or 304) with a body, which neither may have; then closes."""
    code = request.number(1, 204)
    _last(to, reply_head(code, size=len(FINE)) + FINE)


@behaviour("/longer/N")
def longer(request: Request, to: Connection) -> None:
    """Promises N bytes (1000 unless told), sends seven more, and keeps the connection."""
    size = request.number(1, 1000)
    _raw(to, reply_head(200, ("Content-Type", BINARY), size=size) + content(size) + b"surplus")


@behaviour("/chunk-size/SIZE")
def chunk_size(request: Request, to: Connection) -> None:
    """A chunk whose size is SIZE as it stands ("zz" unless told), then closes."""
    _last(to, CHUNKED + chunk(FINE) + request.part(1, "zz").encode("latin-1") + b"\r\nmore\r\n0\r\n\r\n")


@behaviour("/trailers")
def trailers(request: Request, to: Connection) -> None:
    """A chunked body of 4 bytes, then trailers without end, as fast as they are read."""
    to.stream(CHUNKED + chunk(FINE) + b"0\r\n", repeat(b"X-Trailer: abcdefgh\r\n" * 1000))


@behaviour("/tiny-chunks/N")
def tiny_chunks(request: Request, to: Connection) -> None:
    """A body of N bytes (20000 unless told), each a chunk of its own."""
    size = request.number(1, 20_000)
    body = b"".join(chunk(b"x") for _ in range(min(size, 1000)))
    to.stream(CHUNKED, chain(repeat(body, size // 1000), [chunk(b"x") * (size % 1000) + b"0\r\n\r\n"]))


@behaviour("/close-lie/N")
def close_lie(request: Request, to: Connection) -> None:
    """`Connection: close` and N bytes (1000 unless told), and the connection stays."""
    body = iter([content(request.number(1, 1000))])
    to.stream(reply_head(200, ("Connection", "close"), size=request.number(1, 1000)), body, end="stay")


@behaviour("/one-each")
def one_each(request: Request, to: Connection) -> bytes | None:
    """Answers the first request of a connection, promising to keep it, and closes it without a word on the second."""
    if to.served == 1:
        return reply(200, FINE, ("Connection", "keep-alive"))
    to.done(close=True)
    return None


@behaviour("/reset-head")
def reset_head(request: Request, to: Connection) -> None:
    """Resets the connection (RST) in the middle of a header."""
    _reset_after(to, HEAD + b"Content-Len")


@behaviour("/reset-body/N")
def reset_body(request: Request, to: Connection) -> None:
    """Promises twice N bytes and one (N: 1000 unless told), sends N, and resets the connection (RST)."""
    size = request.number(1, 1000)
    _reset_after(to, reply_head(200, size=2 * size + 1) + content(size))


@behaviour("/bursts/N?gap=S")
def bursts(request: Request, to: Connection) -> None:
    """Twice N bytes (1000 unless told): half of them, nothing for S seconds (0.2 unless told), the rest."""
    size = request.number(1, 1000)
    to.write(reply_head(200, ("Content-Type", BINARY), size=2 * size))
    parts: Iterator[bytes] = iter([content(size), content(size)])
    drip(to, parts, seconds(request.query.get("gap", "0.2")))


def _raw(to: Connection, data: bytes) -> None:
    to.write(data)
    to.done()


def _last(to: Connection, data: bytes) -> None:
    to.write(data)
    to.done(close=True)


def _reset_after(to: Connection, data: bytes) -> None:
    to.write(data)
    to.later(0.05, to.reset)  # an RST overtakes what the client has not read yet
