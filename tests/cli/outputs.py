"""The pages in an output, read by others than the code that wrote them."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from atonce.lab.content import content

__all__ = ["OUTPUTS", "Pages", "of_folder", "of_parquet", "parquet", "verified"]

try:
    from pyarrow import parquet
except ImportError:
    parquet = None

Pages = Iterator[tuple[str, bytes]]


def of_folder(target: Path) -> Pages:
    for row in lines(target / "manifest.jsonl"):
        yield row["url"], (target / row["path"]).read_bytes()


def of_jsonl(target: Path) -> Pages:
    for row in lines(target):
        yield row["url"], row["body"].encode()


def of_sqlite(target: Path) -> Pages:
    if not target.exists():
        return
    with closing(sqlite3.connect(target)) as database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchall():
            yield from database.execute("SELECT url, body FROM rows")


def of_parquet(target: Path) -> Pages:
    for part in sorted(target.glob("part-*.parquet")):
        with parquet.ParquetFile(part) as file:
            for batch in file.iter_batches(16, columns=["url", "body"]):
                for row in batch.to_pylist():
                    yield row["url"], row["body"]


def of_warc(target: Path) -> Pages:
    with target.open("rb") if target.exists() else open("/dev/null", "rb") as file:
        for row in lines(Path(f"{target}.jsonl")):
            file.seek(row["offset"])
            records = gzip.decompress(file.read(row["length"]))
            yield row["url"], records.split(b"\r\n\r\n", 2)[2][: row["bytes"]]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole ones."""
    if path.exists():
        with path.open("rb") as file:
            yield from (json.loads(line) for line in file if line.endswith(b"\n"))


OUTPUTS: dict[str, Callable[[Path], Pages]] = {
    "pages/": of_folder,
    "out.jsonl": of_jsonl,
    "out.sqlite": of_sqlite,
    "out.warc.gz": of_warc,
}


def verified(pages: Iterable[tuple[str, bytes]], size: int) -> set[str]:
    """The URLs of pages of the lab, each there once and whole."""
    digest = hashlib.sha256(content(size)).hexdigest()
    urls: set[str] = set()
    for url, body in pages:
        assert url not in urls
        assert hashlib.sha256(body).hexdigest() == digest
        urls.add(url)
    return urls
