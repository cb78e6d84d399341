"""Functions of well-known libraries, as people call them: what `bench.libraries` asks `explain` and `compare` about.

Each gives little back, so that what it takes is its own work. What items share is made where it is first used, in each worker,
once: thirty threads that begin at once would make it thirty times. A library is imported in the function, as one that is not
installed must not keep the others from being measured.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import sqlite3
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree

__all__ = ["FUNCTIONS", "Function"]

RECORDS = 15_000
T = TypeVar("T")


def shared(make: Callable[..., T]) -> Callable[..., T]:
    """`make`, called once for the same arguments, by whichever thread comes first; the others wait for it."""
    made: dict[tuple[Any, ...], T] = {}
    lock = threading.Lock()

    def get(*key: Any) -> T:
        if key not in made:
            with lock:
                if key not in made:
                    made[key] = make(*key)
        return made[key]

    return get


@shared
def blob() -> bytes:
    return bytes(range(256)) * 4096


@shared
def document() -> str:
    return json.dumps([{"id": n, "name": f"item {n}", "value": n / 7} for n in range(RECORDS)])


@shared
def packed() -> bytes:
    return gzip.compress(document().encode())


@shared
def page() -> str:
    return "<html><body>" + "<p class='a'>some <b>text</b>, <a href='/x'>a link</a></p>" * 4000 + "</body></html>"


@shared
def picture() -> Any:
    from PIL import Image

    return Image.effect_noise((1600, 1200), 50)


@shared
def numbers() -> Any:
    import numpy

    return numpy.random.default_rng(0).random(300_000)


@shared
def matrix() -> Any:
    import numpy

    return numpy.random.default_rng(0).random((700, 700))


@shared
def frame(library: str) -> Any:
    import importlib

    columns = {"key": [n * 7919 % 101 for n in range(200_000)], "value": [n / 7 for n in range(200_000)]}
    return importlib.import_module(library).DataFrame(columns)


def requests_get(url: str) -> int:
    import requests

    return requests.get(url, timeout=30, proxies={"http": ""}).status_code


def urlopen(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return len(answer.read())


def sha256(_: Any) -> str:
    return hashlib.sha256(blob()).hexdigest()


def gunzip(_: Any) -> int:
    return len(gzip.decompress(packed()))


def loads(_: Any) -> int:
    return len(json.loads(document()))


def findall(_: Any) -> int:
    return len(re.findall(r"item \d+1\b", document()))


def query(_: Any) -> int:
    base = sqlite3.connect(":memory:")
    try:
        sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50000) SELECT sum(n) FROM c"
        return int(base.execute(sql).fetchone()[0])
    finally:
        base.close()


def tree(_: Any) -> int:
    return len(ElementTree.fromstring("<r>" + "<i><v>7</v></i>" * 8000 + "</r>"))


def html(_: Any) -> int:
    import lxml.html

    return len(lxml.html.fromstring(page()).xpath("//a"))


def resize(_: Any) -> tuple[int, int]:
    small: tuple[int, int] = picture().resize((400, 300)).size
    return small


def jpeg(_: Any) -> int:
    file = io.BytesIO()
    picture().save(file, "jpeg")
    return file.tell()


def sort(_: Any) -> float:
    import numpy

    return float(numpy.sort(numbers())[0])


def matmul(_: Any) -> float:
    return float((matrix() @ matrix())[0, 0])


def pandas_groupby(_: Any) -> int:
    return len(frame("pandas").groupby("key")["value"].sum())


def polars_groupby(_: Any) -> int:
    import polars

    return len(frame("polars").group_by("key").agg(polars.col("value").sum()))


def run_gzip(_: Any) -> int:
    return len(subprocess.run(["gzip", "-c", "-1"], input=blob() * 2, capture_output=True, check=True).stdout)


class Function(NamedTuple):
    """`call` is what is called, as one writes it, `n` how often; `needs` a library; `url`: items are addresses of a server that
    answers after 50 ms."""

    fn: Callable[[Any], Any]
    call: str
    n: int
    needs: str | None = None
    url: bool = False


FUNCTIONS = (
    Function(requests_get, "requests.get(url)", 200, "requests", url=True),
    Function(urlopen, "urllib.request.urlopen(url).read()", 200, url=True),
    Function(sha256, "hashlib.sha256(one_megabyte)", 3000),
    Function(gunzip, "gzip.decompress(one_megabyte)", 400),
    Function(loads, "json.loads(one_megabyte)", 120),
    Function(findall, "re.findall(pattern, one_megabyte)", 800),
    Function(query, "sqlite3: a query in memory", 250),
    Function(tree, "xml.etree.ElementTree.fromstring(120_kilobytes)", 300),
    Function(html, "lxml.html.fromstring(page).xpath('//a')", 120, "lxml"),
    Function(resize, "PIL: image.resize((400, 300)) of 1600 × 1200", 500, "PIL"),
    Function(jpeg, "PIL: image.save(file, 'jpeg')", 120, "PIL"),
    Function(sort, "numpy.sort(300_000_numbers)", 400, "numpy"),
    Function(matmul, "numpy: a @ b, 700 × 700", 120, "numpy"),
    Function(pandas_groupby, "pandas: frame.groupby('key')['value'].sum()", 400, "pandas"),
    Function(polars_groupby, "polars: frame.group_by('key').agg(...)", 400, "polars"),
    Function(run_gzip, "subprocess.run(['gzip', '-c'], input=…)", 60),
)
