from __future__ import annotations

import gzip
import importlib
import sys
import tracemalloc
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.fetch.decode import BadEncoding, Body, TooBig, _steps, encodings

TEXT = b"hello " * 1000
PACKED = gzip.compress(TEXT, mtime=0)

WHOLE = {
    "plain": ("", TEXT),
    "identity": ("identity", TEXT),
    "gzip": ("gzip", PACKED),
    "x-gzip": ("X-GZip", PACKED),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "deflate, raw": ("deflate", zlib.compress(TEXT, wbits=-15)),
    "two members": ("gzip", gzip.compress(TEXT[:600]) + gzip.compress(TEXT[600:])),
    "padded": ("gzip", PACKED + b"\0" * 20),
    "one in another": ("gzip, deflate", zlib.compress(PACKED)),
}


def take(encodings: str, data: bytes, step: int, cap: int = 10_000) -> bytes:
    body = Body(encodings, cap)
    for at in range(0, len(data), step):
        body.feed(data[at : at + step])
    return body.finish()


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_bodies_come_out_of_their_encodings(name: str, step: int) -> None:
    assert take(*WHOLE[name], step) == TEXT


@given(st.binary(max_size=3000), st.integers(1, 500), st.sampled_from(["gzip", "deflate"]))
def test_any_body_in_any_pieces(text: bytes, step: int, encoding: str) -> None:
    packed = gzip.compress(text) if encoding == "gzip" else zlib.compress(text)
    assert take(encoding, packed, step) == text


@pytest.mark.parametrize("step", [1, 100_000])
@pytest.mark.parametrize("cut", [1, 8, 9, 15])
def test_an_encoding_without_its_end_is_not_whole(cut: int, step: int) -> None:
    with pytest.raises(EOFError):
        take("gzip", PACKED[:-cut], step)


def test_nothing_at_all_is_an_empty_body() -> None:
    assert take("gzip", b"", 1) == b""


@pytest.mark.parametrize(
    ("encodings", "data"),
    [
        ("gzip", b"plain text"),
        ("gzip", PACKED[:12] + b"\xff\xff" + PACKED[14:]),
        ("deflate", b"\xff\xff\xff"),
        ("compress", b""),
        ("made-up", b""),
        (", ".join(["gzip"] * 6), b""),
    ],
)
def test_what_cannot_be_decoded_is_said_to_be_so(encodings: str, data: bytes) -> None:
    with pytest.raises(BadEncoding):
        take(encodings, data, 5)


@pytest.mark.parametrize("encodings", ["", "gzip", "gzip, gzip"])
def test_the_cap_is_exact(encodings: str) -> None:
    packed = TEXT
    for _ in encodings.split(",") if encodings else ():
        packed = gzip.compress(packed)
    assert take(encodings, packed, 50, cap=len(TEXT)) == TEXT
    with pytest.raises(TooBig):
        take(encodings, packed, 50, cap=len(TEXT) - 1)


def test_a_bomb_costs_no_more_than_the_cap() -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * 100_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooBig):
            take("gzip, gzip", bomb, 65536, cap=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def packed_as(encoding: str, text: bytes) -> bytes:
    if encoding not in encodings():
        pytest.skip("neither this Python nor atonce[encodings] has it")
    if encoding == "br":
        return bytes(importlib.import_module("brotli").compress(text))
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return bytes(importlib.import_module(name).compress(text))


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_newer_encodings_where_they_are_there(encoding: str, step: int) -> None:
    packed = packed_as(encoding, TEXT)
    assert take(encoding, packed, step, cap=len(TEXT)) == TEXT
    assert take(f"gzip, {encoding}", packed_as(encoding, PACKED), step) == TEXT
    assert take(encoding, b"", 1) == b""
    with pytest.raises(EOFError):
        take(encoding, packed[:-1], step)
    with pytest.raises(TooBig):
        take(encoding, packed, step, cap=len(TEXT) - 1)
    with pytest.raises(BadEncoding):
        take(encoding, b"\xff\xff" + packed, step)


def test_what_follows_the_end_of_brotli_is_refused() -> None:
    packed = packed_as("br", TEXT)
    for step in (len(packed), 100_000):
        with pytest.raises(BadEncoding):
            take("br", packed + b"more", step)


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_a_bomb_of_a_newer_encoding_goes_off_in_a_small_room(encoding: str) -> None:
    bomb = packed_as(encoding, bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooBig):
            take(encoding, bomb, len(bomb), cap=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_brotli_that_cannot_be_stopped_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    old = type("Decompressor", (), {"process": None, "is_finished": None})
    monkeypatch.setitem(sys.modules, "brotli", SimpleNamespace(Decompressor=old))  # type: ignore[misc]
    assert "br" not in _steps.__wrapped__()
