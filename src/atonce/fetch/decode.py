"""Bodies out of their encodings, a piece at a time, never more than allowed.

Done here for every transport, so that all agree: libcurl, for one, takes a gzip body that stops half-way for whole.
"""

from __future__ import annotations

import functools
import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ..sink.spool import LARGE

if TYPE_CHECKING:
    from ..sink.shelf import Shelf
    from ..sink.spool import Spool

__all__ = ["BadEncoding", "Body", "TooBig", "encodings"]

DEPTH = 5  # encodings one upon another; libcurl's limit too


class BadEncoding(Exception):
    """The body is not in the encoding it claims, or in one that was not offered."""


class TooBig(Exception):
    """The body is over the cap."""


class _Step(Protocol):
    @property
    def whole(self) -> bool: ...

    def __call__(self, data: bytes, most: int) -> bytes: ...


class Body:
    """Collects a body of at most `cap` bytes: `feed` its pieces as they come, then `finish`; to go through it is to have what
    there is of it by now.

    `raw` keeps it as it came, after the same checks. With a `shelf`, a large one is put there while it comes: it is in `spool`
    then, and not in memory.
    """

    def __init__(self, encodings: str, cap: int, *, raw: bool = False, shelf: Shelf | None = None) -> None:
        names = [name.strip().lower() for name in encodings.split(",")]
        names = [name for name in names if name not in ("", "identity")]
        known = _steps() if names else {}
        if len(names) > DEPTH or any(name not in known for name in names):
            raise BadEncoding(f"the body is in the encoding {encodings[:100]!r}, which was not offered")
        self._steps = [known[name]() for name in reversed(names)]
        self._cap = cap
        self._raw = raw
        self._shelf = shelf
        self._pieces: list[bytes] = []
        self.spool: Spool | None = None
        self.size = 0

    def feed(self, data: bytes) -> None:
        came = data
        for step in self._steps:
            data = step(data, self._cap + 1)
        self.size += len(data)
        if self.size > self._cap:
            self.drop()
            raise TooBig
        self._pieces.append(came if self._raw else data)
        if self._shelf is not None and (self.spool is not None or self.size > LARGE):
            self._put_down(self._shelf)

    def finish(self) -> bytes:
        """The body, empty where it is in `spool`. Raises EOFError when an encoding has not come to its end."""
        if not all(step.whole for step in self._steps):
            raise EOFError("the compressed body stops before its end")
        return b"".join(self._pieces)

    def drop(self) -> None:
        """Nobody wants it any more."""
        self._pieces.clear()
        if self.spool is not None:
            self.spool.drop()

    def __iter__(self) -> Iterator[bytes]:
        yield from self.spool or ()
        yield from self._pieces

    def _put_down(self, shelf: Shelf) -> None:
        """Where it cannot be written it is kept after all: who writes it in the end meets what is wrong, and tells."""
        pieces = self._pieces
        try:
            self.spool = self.spool or shelf.spool()
            while pieces:
                self.spool.add(pieces[0])
                del pieces[0]
        except OSError:
            self._shelf = None
            if self.spool is not None:
                pieces[:0] = self.spool
                self.spool.drop()
                self.spool = None


class _Inflate:
    """zlib's formats by its name for them: gzip may have several members, and padding behind the last."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._inflate = zlib.decompressobj(bits)
        self._fresh = True

    @property
    def whole(self) -> bool:
        return self._fresh or self._inflate.eof

    def __call__(self, data: bytes, most: int) -> bytes:
        found: list[bytes] = []
        while data and most > 0:
            if self._inflate.eof:
                if self._bits != GZIP or not data.strip(b"\0"):
                    break
                self._inflate = zlib.decompressobj(GZIP)
            self._fresh = False
            try:
                found.append(self._inflate.decompress(data, most))
            except zlib.error as error:
                raise BadEncoding(f"the compressed body is corrupt: {error}") from None
            most -= len(found[-1])
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        return b"".join(found)


class _Deflate:
    """What the name `deflate` stands for: zlib's format, or, from some servers, the bare stream. Two bytes tell."""

    def __init__(self) -> None:
        self._held = b""
        self._inflate: _Inflate | None = None

    @property
    def whole(self) -> bool:
        return not self._held if self._inflate is None else self._inflate.whole

    def __call__(self, data: bytes, most: int) -> bytes:
        if self._inflate is None:
            data = self._held = self._held + data
            if len(data) < 2:
                return b""
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0  # RFC 1950, 2.2
            self._inflate = _Inflate(ZLIB if is_zlib else RAW)
        return self._inflate(data, most)


class _Zstd:
    def __init__(self, inflate: Any) -> None:
        self._inflate = inflate
        self._fresh = True

    @property
    def whole(self) -> bool:
        return self._fresh or self._inflate.eof

    def __call__(self, data: bytes, most: int) -> bytes:
        self._fresh = False
        found: list[bytes] = []
        while (data or not self._inflate.needs_input) and most > 0 and not self._inflate.eof:
            try:
                piece = self._inflate.decompress(data, most)
            except Exception as error:
                raise BadEncoding(f"the compressed body is corrupt: {error}") from None
            found.append(piece)
            most -= len(piece)
            data = b""
        return b"".join(found)


class _Brotli:
    def __init__(self, inflate: Any) -> None:
        self._inflate = inflate
        self._fresh = True

    @property
    def whole(self) -> bool:
        return self._fresh or bool(self._inflate.is_finished())

    def __call__(self, data: bytes, most: int) -> bytes:
        self._fresh = self._fresh and not data
        found: list[bytes] = []
        while (data or not self._inflate.can_accept_more_data()) and most > 0:
            try:
                piece = self._inflate.process(data, output_buffer_limit=min(most, PIECE))
            except Exception as error:
                raise BadEncoding(f"the compressed body is corrupt: {error}") from None
            found.append(piece)
            most -= len(piece)
            data = b""
        return b"".join(found)


GZIP, ZLIB, RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
PIECE = 1 << 20  # bytes asked of brotli at a time, which gives up to twice as many


def encodings() -> str:
    """Those that are offered."""
    return ", ".join(name for name in _steps() if name != "x-gzip")


@functools.cache
def _steps() -> dict[str, Callable[[], _Step]]:
    """Those that are known, looked for when the first request is made: `atonce[encodings]` has what Python lacks."""
    steps: dict[str, Callable[[], _Step]] = {
        "gzip": lambda: _Inflate(GZIP),
        "x-gzip": lambda: _Inflate(GZIP),
        "deflate": _Deflate,
    }
    try:
        import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        pass
    else:
        if hasattr(brotli.Decompressor, "can_accept_more_data"):  # older than 1.2, it gives a bomb's bytes all at once
            steps["br"] = lambda: _Brotli(brotli.Decompressor())
    zstd = _zstd()
    if zstd is not None:
        steps["zstd"] = lambda: _Zstd(zstd())
    return steps


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):  # the first is Python 3.14's own
        try:
            return importlib.import_module(name).ZstdDecompressor
        except ImportError:
            continue
    return None
