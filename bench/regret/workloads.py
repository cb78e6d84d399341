"""What is run: each a function, its items, and how many of them. Advice is judged by these, so each is a kind of its own.

Data that items share is made where it is first used, in each worker as well, and is cheap to make.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import hashlib
import json
import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from atonce.lab.work import anap, anoop, nap, noop, spin

from .serving import server

__all__ = ["WORKLOADS", "Workload", "find"]

# ── computing ────────────────────────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def blob(megabytes: int) -> bytes:
    return bytes(range(256)) * (megabytes << 12)


@functools.cache
def document() -> str:
    return "[" + ", ".join(['{"id": 17, "name": "an item", "value": 2.428571428571}'] * 38_000) + "]"


@functools.cache
def words() -> str:
    return "word1 word22 word333 word4444 " * 6_900


def loop(steps: int) -> int:
    total = 0
    for step in range(steps):
        total += step
    return total


def sha(_: Any) -> bytes:
    return hashlib.sha256(blob(4)).digest()


def derive(_: Any) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", b"x", b"salt", 10_000)


def deflate(_: Any) -> int:
    return len(zlib.compress(blob(1), 6))


def parse(_: Any) -> int:
    return len(json.loads(document()))


def search(_: Any) -> int:
    return len(re.findall(r"\w+[13579]\b", words()))


def query(_: Any) -> int:
    with contextlib.closing(sqlite3.connect(":memory:")) as base:
        sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30000) SELECT sum(n) FROM c"
        return int(base.execute(sql).fetchone()[0])


def matmul(_: Any) -> float:
    import numpy  # type: ignore[import-not-found, unused-ignore]

    matrix = numpy.ones((600, 600))
    return float((matrix @ matrix)[0, 0])


def small_arrays(_: Any) -> float:
    import numpy

    return float(numpy.arange(100.0).sum())


def large_result(megabytes: int) -> bytearray:
    loop(100_000)
    return bytearray(megabytes << 20)


def tool(_: Any) -> None:
    subprocess.run([sys.executable, "-S", "-E", "-c", "sum(range(3_000_000))"], check=True)


WARM: list[bool] = []


def slow_import(item: float) -> None:
    """The first call in each process takes two seconds longer."""
    if not WARM:
        WARM.append(True)
        spin(2.0)
    spin(item)


LOCK = threading.Lock()


def locked(item: float) -> None:
    with LOCK:
        spin(item)


def closure() -> Callable[[float], None]:
    lock = threading.Lock()  # cannot be pickled

    def work(item: float) -> None:
        if lock is not None:
            spin(item)

    return work


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def read_packed(path: str) -> int:
    with gzip.open(path) as file:
        return sum(len(line) for line in file)


def get(port: int) -> int:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/")
        return len(connection.getresponse().read())
    finally:
        connection.close()


def ask(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return len(connection.recv(1000))


async def get_and_parse(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
    finally:
        writer.close()
    spin(0.005)
    return len(answer)


def computes_and_waits(item: float) -> None:
    spin(item)
    time.sleep(3 * item)


def hashes_and_waits(item: float) -> None:
    hashlib.sha256(blob(4)).digest()
    time.sleep(item)


async def waits_and_computes(item: float) -> None:
    await asyncio.sleep(0.03)
    spin(item)


async def blocks(item: float) -> None:
    time.sleep(item)  # noqa: ASYNC251 - that is the point


# ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────────

Items = Callable[[int], contextlib.AbstractContextManager[list[Any]]]


def same(item: Any) -> Items:
    return lambda n: contextlib.nullcontext([item] * n)


def heavy_tailed(n: int) -> contextlib.AbstractContextManager[list[Any]]:
    """Most are short, a few are ten times as long and more."""
    rng = random.Random(7)
    return contextlib.nullcontext([min(0.6, 0.02 * rng.paretovariate(1.3)) for _ in range(n)])


def _files(content: bytes) -> Items:
    @contextlib.contextmanager
    def made(n: int) -> Iterator[list[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, str(number)) for number in range(n)]
            for path in paths:
                Path(path).write_bytes(content)
            yield paths

    return made


files = _files(b"x" * 1000)
packed_files = _files(gzip.compress(b"a line of text, and then some\n" * 20_000, 1))


class Workload(NamedTuple):
    """`make` gives the function, `items` its items for n; `what` says what it is; `needs` a package it cannot do without."""

    name: str
    n: int
    what: str
    make: Callable[[], Callable[..., Any]]
    items: Items
    is_async: bool = False
    needs: str | None = None


def _sync(name: str, n: int, what: str, fn: Callable[..., Any], items: Items, needs: str | None = None) -> Workload:
    return Workload(name, n, what, lambda: fn, items, needs=needs)


def _async(name: str, n: int, what: str, fn: Callable[..., Any], items: Items) -> Workload:
    return Workload(name, n, what, lambda: fn, items, is_async=True)


WORKLOADS = (
    _sync("noop", 100_000, "gives its item back", noop, same(0)),
    _sync("python-20us", 100_000, "20 µs of a Python loop", loop, same(700)),
    _sync("python-5ms", 400, "5 ms of a Python loop", spin, same(0.005)),
    _sync("python-5ms-few", 20, "the same, few of them", spin, same(0.005)),
    _sync("python-long-few", 4, "0.3 s of a Python loop, four of them", spin, same(0.3)),
    _sync("python-heavy-tail", 64, "20 to 600 ms of a Python loop, most of them short", spin, heavy_tailed),
    _sync("sha256-4MB", 600, "`hashlib.sha256` of 4 MB in memory", sha, same(0)),
    _sync("pbkdf2", 200, "`hashlib.pbkdf2_hmac`, 10 000 rounds", derive, same(0)),
    _sync("zlib-1MB", 300, "`zlib.compress` of 1 MB", deflate, same(0)),
    _sync("json-2MB", 60, "`json.loads` of 2 MB", parse, same(0)),
    _sync("regex-200kB", 100, "`re.findall` over 200 kB", search, same(0)),
    _sync("sqlite3", 300, "a query in memory", query, same(0)),
    _sync("numpy-small", 20_000, "numpy, 100 elements", small_arrays, same(0), needs="numpy"),
    _sync("numpy-matmul", 100, "numpy, 600 × 600, with threads of BLAS", matmul, same(0), needs="numpy"),
    _sync("large-result", 200, "3 ms of a Python loop, and 8 MB to give back", large_result, same(8)),
    _sync("subprocess", 24, "`subprocess.run` of a tool that computes", tool, same(0)),
    _sync("slow-import", 1000, "1 ms, after an import of 2 s", slow_import, same(0.001)),
    _sync("global-lock", 400, "3 ms of a Python loop under one lock", locked, same(0.003)),
    Workload("unpicklable", 300, "3 ms in a closure that cannot be pickled", closure, same(0.003)),
    _sync("small-files", 10_000, "reading a file of 1 kB", read, files),
    _sync("gzip-files", 200, "`gzip.open` of 0.6 MB, its lines", read_packed, packed_files),
    _sync("sleep-5ms", 400, "`time.sleep(0.005)`", nap, same(0.005)),
    _sync("sleep-50ms", 2000, "`time.sleep(0.05)`", nap, same(0.05)),
    _sync("sleep-few", 8, "`time.sleep(0.2)`, eight of them", nap, same(0.2)),
    _sync("http-16-way", 400, "a GET from a server that answers 16 at a time, after 20 ms", get, server),
    _sync("sockets", 600, "the same server, by a bare socket", ask, server),
    _sync("compute-and-wait", 200, "5 ms of a Python loop, then 15 ms of `sleep`", computes_and_waits, same(0.005)),
    _sync("hash-and-wait", 400, "`sha256` of 4 MB, then 10 ms of `sleep`", hashes_and_waits, same(0.01)),
    _async("async-noop", 100_000, "`async def`, gives its item back", anoop, same(0)),
    _async("async-sleep-50ms", 5000, "`asyncio.sleep(0.05)`", anap, same(0.05)),
    _async("async-parse-5ms", 400, "`asyncio.sleep(0.03)`, then 5 ms of a Python loop", waits_and_computes, same(0.005)),
    _async("async-http-parse", 400, "a GET from that server, then 5 ms of a Python loop", get_and_parse, server),
    _async("async-that-blocks", 200, "`async def` with `time.sleep(0.02)` in it", blocks, same(0.02)),
    _async("async-blocks-2ms", 1000, "`async def` with `time.sleep(0.002)` in it", blocks, same(0.002)),
)


def find(name: str) -> Workload:
    """By its name."""
    return next(workload for workload in WORKLOADS if workload.name == name)
