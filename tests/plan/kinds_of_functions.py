"""Functions whose kind of work is known: what `explain` must find out by measuring. Each takes some milliseconds an item."""

from __future__ import annotations

import asyncio
import bz2
import contextlib
import hashlib
import json
import lzma
import re
import select
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

WAITS, HOLDS, RELEASES, MIXED, SMALL, BLOCKS = (
    "waits",
    "holds the GIL",
    "releases the GIL",
    "mixed",
    "too small",
    "blocks its loop",
)
BLOB = bytes(range(256)) * (4 << 12)  # 4 MiB
RECORDS = [{"id": n, "name": f"item {n}", "tags": ["a", "b"], "value": n / 7} for n in range(15_000)]
TEXT = json.dumps(RECORDS)
NUMBERS = [(n * 7919) % 1_000_003 for n in range(60_000)]
WORDS = " ".join(f"word{n}" for n in range(40_000))


def loop(n: int = 200_000) -> int:
    total = 0
    for step in range(n):
        total += step
    return total


def spin(seconds: float) -> None:
    """CPU seconds, not wall seconds: a busy machine makes it longer, not less."""
    start = time.thread_time()
    while time.thread_time() - start < seconds:
        loop(300)


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def query(_: Any) -> Any:
    with contextlib.closing(sqlite3.connect(":memory:")) as base:
        sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT sum(n) FROM c"
        return base.execute(sql).fetchone()


LOCK = threading.Lock()


def locked_nap(_: Any) -> None:
    with LOCK:
        time.sleep(0.03)


def hash_then_nap(_: Any) -> None:
    hashlib.sha256(BLOB).digest()
    hashlib.sha256(BLOB).digest()
    time.sleep(0.008)


def first_computes(seconds: float, nap: float) -> Callable[[Any], None]:
    def work(_: Any) -> None:
        spin(seconds)
        time.sleep(nap)

    return work


def first_waits(seconds: float, nap: float) -> Callable[[Any], None]:
    def work(_: Any) -> None:
        time.sleep(nap)
        spin(seconds)

    return work


# By what they do: some hold the GIL for all of their computing, those that hash for none of it.
COMPUTES_AND_WAITS = {
    "10 ms of a loop, then 30 ms of sleep": first_computes(0.01, 0.03),
    "30 ms of sleep, then 10 ms of a loop": first_waits(0.01, 0.03),
    "5 ms of each": first_computes(0.005, 0.005),
    "20 ms of each": first_waits(0.02, 0.02),
    "hash, then sleep": hash_then_nap,
}


class Echo(socketserver.ThreadingTCPServer):
    """Answers a line after 20 ms."""

    allow_reuse_address = True
    daemon_threads = False

    class RequestHandlerClass(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            time.sleep(0.02)
            self.wfile.write(line)

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)


@contextlib.contextmanager
def echo() -> Iterator[int]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def round_trip(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"hello\n")
        return connection.recv(100)


async def async_round_trip(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello\n")
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


async def async_nap(_: Any) -> None:
    await asyncio.sleep(0.03)


async def async_long_nap(_: Any) -> None:
    await asyncio.sleep(0.2)


async def async_blocking_nap(_: Any) -> None:
    time.sleep(0.03)


async def async_computing(_: Any) -> None:
    spin(0.03)


async def async_thread(_: Any) -> None:
    await asyncio.to_thread(time.sleep, 0.03)


async def async_nothing(_: Any) -> None:
    pass


def tool(code: str) -> Callable[[Any], None]:
    def run(_: Any) -> None:
        subprocess.run([sys.executable, "-S", "-E", "-c", code], check=True)

    return run


class Case(NamedTuple):
    name: str
    function: Callable[[Any], Any]
    expected: tuple[str, ...]  # several, where it lies between two
    item: Any = 0


def cases(port: int) -> list[Case]:
    found = [
        Case("time.sleep", lambda _: time.sleep(0.02), (WAITS,)),
        Case("a long sleep", lambda _: time.sleep(0.2), (WAITS,)),
        Case("Event.wait", lambda _: threading.Event().wait(0.02), (WAITS,)),
        Case("select", lambda _: select.select([], [], [], 0.02), (WAITS,)),
        Case("a lock around a sleep", locked_nap, (WAITS,)),
        Case("a socket", round_trip, (WAITS,), port),
        Case("a child that sleeps", tool("import time; time.sleep(0.4)"), (WAITS, MIXED)),
        Case("a child that computes", tool("sum(range(12_000_000))"), (RELEASES,)),
        Case("a loop", lambda _: loop(), (HOLDS,)),
        Case("recursion", lambda _: fibonacci(18), (HOLDS,)),
        Case("sorted", lambda _: sorted(NUMBERS), (HOLDS,)),
        Case("a catastrophic regex", lambda _: re.match(r"(a+)+$", "a" * 19 + "b"), (HOLDS,)),
        Case("re.findall", lambda _: re.findall(r"\w+1\b", WORDS), (HOLDS,)),
        Case("json.loads", lambda _: json.loads(TEXT), (HOLDS,)),
        Case("json.dumps", lambda _: json.dumps(RECORDS), (HOLDS,)),
        Case("str methods", lambda _: [word.upper() for word in WORDS.split()], (HOLDS,)),
        Case("big integers", lambda _: str(7**18_000), (HOLDS,)),
        Case("a comprehension", lambda _: {n: str(n) for n in range(60_000)}, (HOLDS,)),
        Case("sha256 of 4 MB", lambda _: hashlib.sha256(BLOB).digest(), (RELEASES,)),
        Case("sha512 of 4 MB", lambda _: hashlib.sha512(BLOB).digest(), (RELEASES,)),
        Case("blake2b of 4 MB", lambda _: hashlib.blake2b(BLOB).digest(), (RELEASES,)),
        Case("pbkdf2", lambda _: hashlib.pbkdf2_hmac("sha256", b"x", b"salt", 20_000), (RELEASES,)),
        Case("scrypt", lambda _: hashlib.scrypt(b"x", salt=b"salt", n=4096, r=8, p=1), (RELEASES,)),
        Case("zlib", lambda _: zlib.compress(BLOB, 6), (RELEASES,)),
        Case("bz2", lambda _: bz2.compress(BLOB[: 1 << 18]), (RELEASES,)),
        Case("lzma", lambda _: lzma.compress(BLOB, preset=0), (RELEASES,)),
        Case("sqlite3", query, (RELEASES,)),
        Case("a loop and a sleep", lambda _: (spin(0.015), time.sleep(0.02)), (MIXED,)),
        Case("hashing and a sleep", hash_then_nap, (MIXED,)),
        Case("nothing", lambda item: item, (SMALL,)),
        Case("a sum of two", lambda item: item + 1, (SMALL,)),
        Case("asyncio.sleep", async_nap, (WAITS,)),
        Case("a long asyncio.sleep", async_long_nap, (WAITS,)),
        Case("an async socket", async_round_trip, (WAITS,), port),
        Case("asyncio.to_thread", async_thread, (WAITS,)),
        Case("async that sleeps", async_blocking_nap, (BLOCKS,)),
        Case("async that computes", async_computing, (BLOCKS,)),
        Case("async that does nothing", async_nothing, (SMALL,)),
    ]
    with contextlib.suppress(ImportError):
        import numpy  # type: ignore[import-not-found, unused-ignore]

        matrix = numpy.random.default_rng(0).random((700, 700))
        found.append(Case("numpy matmul", lambda _: matrix @ matrix, (RELEASES,)))
    return found
