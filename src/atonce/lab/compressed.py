"""Paths whose bodies are compressed badly, or far too well.

Compressed by hand where the standard library cannot: a zstd frame of runs is short (RFC 8878, 3.1.1), and a brotli
stream of zeros is shorter still. `atonce.lab.table` says how one is written.
"""

from __future__ import annotations

import base64
import functools
import gzip
import zlib
from typing import TYPE_CHECKING

from .behaviours import BINARY
from .content import content
from .table import behaviour
from .wire import Request, reply

if TYPE_CHECKING:
    from .connection import Connection

__all__: list[str] = []

MIB = 1 << 20
MOST = 1024  # MiB

# `brotli.compress(bytes(100 << 20), quality=11, lgwin=24)`
BROTLI_BOMB = base64.b64decode(
    b"z///f/gnAOKxQCD3/p/////wTwDEYQGA7v0/////4Z8AiMMiAN37f/7//8M/ARCHBQC69//8//+HfwIgDgsAdO//+f//D/8EQBwWAOje/+f//w/+CYA4LADQvf8B"
)


@behaviour("/bomb/KIND/M")
def bomb(request: Request, to: Connection) -> bytes:
    """M MiB of zeros (100 unless told) as gzip, deflate, zstd, twice (gzip in gzip) or br (always 100)."""
    kind, size = request.part(1, "gzip"), request.number(2, 100)
    if kind not in _BOMBS or not 1 <= size <= MOST:
        raise ValueError(f"/bomb/KIND/M is one of {', '.join(_BOMBS)}, and 1 to {MOST}")
    encoding, body = _bomb(kind, size)
    return reply(200, body, ("Content-Encoding", encoding), kind=BINARY)


@behaviour("/nested/K")
def nested(request: Request, to: Connection) -> bytes:
    """1000 bytes as gzip, K times over (3 unless told, at most 100)."""
    times = min(request.number(1, 3), 100)
    body = content(1000, to.server.config.seed)
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    return reply(200, body, ("Content-Encoding", ", ".join(["gzip"] * times)), kind=BINARY)


@behaviour("/bad-gzip/KIND")
def bad_gzip(request: Request, to: Connection) -> bytes:
    """1000 bytes said to be gzip that are corrupt, truncated, plain, or followed by other bytes (surplus)."""
    kind = request.part(1, "corrupt")
    plain = content(1000, to.server.config.seed)
    packed = gzip.compress(plain, mtime=0)
    bodies = {
        "corrupt": packed[:100] + b"\xff" * 20 + packed[120:],
        "truncated": packed[:-8],
        "plain": plain,
        "surplus": packed + b"and more",
    }
    if kind not in bodies:
        raise ValueError(f"/bad-gzip/KIND is one of {', '.join(bodies)}")
    return reply(200, bodies[kind], ("Content-Encoding", "gzip"), kind=BINARY)


@behaviour("/encoding/NAME")
def encoding(request: Request, to: Connection) -> bytes:
    """A small body said to be in the encoding NAME ("made-up" unless told), which it is not."""
    return reply(200, b"fine", ("Content-Encoding", request.part(1, "made-up")))


@functools.lru_cache(4)
def _bomb(kind: str, size: int) -> tuple[str, bytes]:
    if kind == "br":
        return "br", BROTLI_BOMB
    if kind == "zstd":
        return "zstd", _zstd(size)
    packed = _deflated(size, zlib.MAX_WBITS + (0 if kind == "deflate" else 16))
    return ("gzip, gzip", gzip.compress(packed, mtime=0)) if kind == "twice" else (kind, packed)


_BOMBS = ("gzip", "deflate", "zstd", "twice", "br")


def _deflated(size: int, bits: int) -> bytes:
    """One MiB compressed once, and that many times over: the server has others to serve meanwhile."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(_ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
    raw = piece * size + packer.flush()
    if bits == zlib.MAX_WBITS:
        check = 1
        for _ in range(size):
            check = zlib.adler32(_ZEROS, check)
        return b"\x78\xda" + raw + check.to_bytes(4, "big")
    check = 0
    for _ in range(size):
        check = zlib.crc32(_ZEROS, check)
    head = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"  # RFC 1952, 2.3
    return head + raw + check.to_bytes(4, "little") + (size * MIB & 0xFFFFFFFF).to_bytes(4, "little")


_ZEROS = bytes(MIB)


def _zstd(size: int) -> bytes:
    """A frame of 128 KiB blocks, each one zero and how often it comes."""
    blocks = size * 8
    magic, descriptor, window = b"\x28\xb5\x2f\xfd", b"\x00", b"\x38"  # no checksum, no size; 128 KiB
    block = (128 << 10) << 3 | 1 << 1  # 128 KiB, run-length
    return (
        magic
        + descriptor
        + window
        + (block.to_bytes(3, "little") + b"\0") * (blocks - 1)
        + (block | 1).to_bytes(3, "little")
        + b"\0"
    )
