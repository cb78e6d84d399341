"""The bytes of the lab's bodies: printable, a pure function of size and seed, so that both ends know them."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["content", "pieces"]

_BLOCK = 65536


@lru_cache(maxsize=8)
def _block(seed: int) -> bytes:
    return base64.b64encode(random.Random(seed).randbytes(_BLOCK // 4 * 3))


def content(size: int, seed: int = 0) -> bytes:
    """The first `size` bytes of the seed's endless text: what `/bytes/{size}` answers."""
    block = _block(seed)
    return block[:size] if size <= _BLOCK else (block * (size // _BLOCK + 1))[:size]


def pieces(size: int | None, seed: int = 0) -> Iterator[bytes]:
    """`content(size, seed)` in pieces of 64 KiB, never whole in memory; without end for None."""
    block = _block(seed)
    while size is None:
        yield block
    for _ in range(size // _BLOCK):
        yield block
    if rest := size % _BLOCK:
        yield block[:rest]
