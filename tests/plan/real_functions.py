"""Functions of well-known libraries, as people call them: what `explain` and `compare` must be right about.

They can be imported, so `compare` can give each model an interpreter of its own. Their items make a run of a second or more,
one after another, where the right model is worth something; `few` is enough for `compare`.
"""

from __future__ import annotations

import asyncio
import csv
import functools
import gzip
import hashlib
import importlib.util
import io
import json
import re
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.etree import ElementTree

__all__ = ["FUNCTIONS", "Real"]

WAITS, HOLDS, RELEASES, MIXED = "waits", "holds the GIL", "releases the GIL", "mixed"


@functools.cache
def blob(n: int) -> bytes:
    return bytes(range(256)) * (n >> 8)


@functools.cache
def document() -> str:
    return json.dumps([{"id": n, "name": f"item {n}", "value": n / 7} for n in range(15_000)])


@functools.cache
def text() -> str:
    return " ".join(f"word{n}" for n in range(40_000))


@functools.cache
def matrix() -> Any:
    import numpy

    return numpy.random.default_rng(0).random((700, 700))


def sha256(_: Any) -> bytes:
    return hashlib.sha256(blob(1 << 20)).digest()


def loads(_: Any) -> int:
    return len(json.loads(document()))


def compress(_: Any) -> int:
    return len(zlib.compress(blob(1 << 20)))


def findall(_: Any) -> int:
    return len(re.findall(r"\w+1\b", text()))


@functools.cache
def packed() -> bytes:
    return gzip.compress(b"a line of text, and then some\n" * 40_000, 1)


def gunzip(_: Any) -> int:
    return len(gzip.decompress(packed()))


def lines(_: Any) -> int:
    with gzip.open(io.BytesIO(packed())) as file:
        return sum(len(line) for line in file)


@functools.cache
def table() -> str:
    return "a,b,c\n" + "".join(f"{n},{2 * n},{n / 7}\n" for n in range(20_000))


def rows(_: Any) -> int:
    return sum(1 for _ in csv.reader(io.StringIO(table())))


def tree(_: Any) -> int:
    return len(ElementTree.fromstring("<r>" + "<i><v>7</v></i>" * 8000 + "</r>"))


def derive(_: Any) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", b"x", b"salt", 10_000)


def sleep(_: Any) -> None:
    time.sleep(0.02)


async def async_sleep(_: Any) -> None:
    await asyncio.sleep(0.02)


def get(url: str) -> int:
    import requests

    return requests.get(url, timeout=30, proxies={"http": ""}).status_code


def true(_: Any) -> int:
    return subprocess.run(["true"], check=True).returncode


def query(_: Any) -> Any:
    base = sqlite3.connect(":memory:")
    try:
        sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT sum(n) FROM c"
        return base.execute(sql).fetchone()[0]
    finally:
        base.close()


def loop(_: Any) -> int:
    total = 0
    for step in range(200_000):
        total += step
    return total


def matmul(_: Any) -> float:
    return float((matrix() @ matrix())[0, 0])


@functools.cache
def numbers() -> Any:
    import numpy

    return numpy.random.default_rng(0).random(300_000)


def sort(_: Any) -> float:
    import numpy

    return float(numpy.sort(numbers())[0])


class Real(NamedTuple):
    """`kinds` and `models`: what may be said of it and chosen for `many` items on two cores or more; several where it lies
    between two or where they are as good. `url`: its items are addresses of a server."""

    fn: Callable[[Any], Any]
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    many: int = 400
    few: int = 100
    url: bool = False


NUMPY = importlib.util.find_spec("numpy") is not None

FUNCTIONS = (
    Real(sha256, (RELEASES,), ("threads",), many=4000),
    Real(loads, (HOLDS,), ("processes",)),
    Real(compress, (RELEASES,), ("threads",)),
    Real(findall, (HOLDS,), ("processes",)),
    Real(derive, (RELEASES,), ("threads",)),
    Real(rows, (HOLDS,), ("processes",)),
    Real(tree, (HOLDS,), ("processes",)),
    # to put the pieces together is with the GIL, and two threads that get and give back pages are in each other's way
    Real(gunzip, (RELEASES, HOLDS), ("threads", "processes"), many=2000),
    # what is unpacked is outside the GIL, what is made of it is not
    Real(lines, (HOLDS, RELEASES), ("processes", "threads", "hybrid")),
    Real(sleep, (WAITS,), ("threads",)),
    Real(async_sleep, (WAITS,), ("coroutines",)),
    # each opens a connection, 1.5 to 3 ms of the GIL: where that is slow, two processes open them in half of the time
    Real(get, (WAITS,), ("threads", "hybrid"), url=True),
    # to start a program is to compute, in this process and in the child, and to wait for it; threads do all of that at once
    Real(true, (RELEASES, WAITS, MIXED), ("threads",), many=2000),
    # processes: 1.79 times as quick as in line, threads 0.7 times (they are in each other's way, which a busy machine may hide)
    Real(query, (RELEASES,), ("processes", "threads")),
    Real(loop, (HOLDS,), ("processes",)),
    *((Real(matmul, (RELEASES,), ("threads", "sync")), Real(sort, (RELEASES,), ("threads",))) if NUMPY else ()),
)
