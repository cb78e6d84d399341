"""Workloads: plain top-level functions to hand to `atonce.map`, each known for what it does to a machine.

| function | waits | burns CPU | holds the GIL |
|---|---|---|---|
| `noop`, `anoop`, `whoami` | no | no | no |
| `nap`, `anap` | yes | no | no |
| `spin`, `count` | no | yes | yes |
| `digest` | no | yes | no (above 2 KiB) |
| `die` | the worker is gone | | |
"""

from __future__ import annotations

import os
import threading
import time
from typing import NoReturn, TypeVar

__all__ = ["anap", "anoop", "count", "die", "digest", "nap", "noop", "spin", "whoami"]

T = TypeVar("T")

_STEPS = 200  # of pure Python between two looks at the clock: about 5 µs, ten times what the look costs
_PIECE = 1 << 20


def spin(seconds: float) -> float:
    """Burn `seconds` of this thread's CPU time in a pure-Python loop that holds the GIL; returns what it burnt.

    CPU seconds, not wall seconds: on a crowded core, or behind the GIL, it takes longer, as real work would.
    """
    start = time.thread_time()
    while (burnt := time.thread_time() - start) < seconds:
        count(_STEPS)
    return burnt


def count(n: int) -> int:
    """Sum of 0 … n-1 by a pure-Python loop of `n` steps: a fixed amount of work, however long it takes."""
    total = 0
    for step in range(n):
        total += step
    return total


def nap(seconds: float) -> float:
    """`time.sleep(seconds)`; returns `seconds`."""
    time.sleep(seconds)
    return seconds


async def anap(seconds: float) -> float:
    """`await asyncio.sleep(seconds)`; returns `seconds`."""
    import asyncio  # here, not above: a worker that never runs it need not load it

    await asyncio.sleep(seconds)
    return seconds


def noop(x: T) -> T:
    """`x`: what is left to measure is the machinery."""
    return x


async def anoop(x: T) -> T:
    """`x`, from a coroutine that never waits."""
    return x


def digest(n_bytes: int) -> str:
    """SHA-256 of `n_bytes` zero bytes, in hexadecimal: CPU work outside the GIL, in flat memory."""
    import hashlib  # here, not above: it brings OpenSSL, and every worker that runs anything of this module would load it

    hasher = hashlib.sha256()
    piece = memoryview(bytes(min(n_bytes, _PIECE)))
    for _ in range(n_bytes // _PIECE):
        hasher.update(piece)
    hasher.update(piece[: n_bytes % _PIECE])
    return hasher.hexdigest()


def die(code: int = 1) -> NoReturn:
    """`os._exit(code)`: the process ends here, without a word to anybody."""
    os._exit(code)


def whoami(x: object = None) -> tuple[int, int]:
    """(process id, thread id) of whoever runs this; `x` is ignored."""
    return os.getpid(), threading.get_ident()
