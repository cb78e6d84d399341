"""`atonce fetch` is killed again and again by SIGKILL: each page is there once and whole, and none that was recorded is asked
for again, as the server counts it."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from atonce.lab import Lab
from atonce.lab.content import content

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


def storm(
    folder: Path,
    output: str,
    read: Callable[[Path], Pages],
    *,
    items: int,
    kills: int,
    rate: str,
    size: int = 3000,
    more: Sequence[str] = (),
) -> None:
    with Lab(hosts=2) as lab:
        urls = lab.urls(items, path=f"/bytes/{size}")
        digest = hashlib.sha256(content(size)).hexdigest()
        (folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        command = [sys.executable, "-m", "atonce", "fetch", "-i", "urls.txt", "-o", output, "--quiet", *more]
        done: dict[str, int] = {}  # the pages recorded at the last look, and how often they had been asked for by then
        before = 0
        for left in range(kills, -1, -1):
            with subprocess.Popen([*command, *(["--rate", rate] if left else [])], cwd=folder) as process:
                if left:
                    # of what is left: more is asked for than that before the kill comes, and the run must not end first
                    asked = lab.stats().requests + (items - len(done)) // (left + 1)
                    wait_until_asked(lab, asked, process)
                    process.kill()
            assert process.returncode == (-signal.SIGKILL if left else 0)
            seen = lab.stats().urls
            assert {url: seen[url] for url in done} == done  # none of them was asked for again
            found = [url for url, body in read(folder / output) if hashlib.sha256(body).hexdigest() == digest]
            assert len(found) == len(set(found)) == sum(1 for _ in read(folder / output))
            assert set(found) >= done.keys()
            done = {url: seen[url] for url in found}
            assert not left or len(done) < items  # it was killed in the middle
            before += bool(left and done)
        assert done.keys() == set(urls)
        assert before  # some of it had been recorded before a kill


def wait_until_asked(lab: Lab, asked: int, process: subprocess.Popen[bytes]) -> None:
    lab.wait_until(lambda stats: stats.requests >= asked or process.poll() is not None, seconds=120)
    assert process.returncode is None, "the run ended before it was killed"


@pytest.mark.slow
@pytest.mark.parametrize("output", OUTPUTS)
def test_three_kills(tmp_path: Path, output: str) -> None:
    storm(tmp_path, output, OUTPUTS[output], items=300, kills=3, rate="120/s")


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("output", OUTPUTS)
def test_fifty_kills(tmp_path: Path, output: str) -> None:
    storm(tmp_path, output, OUTPUTS[output], items=20_000, kills=50, rate="1000/s")


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_fifty_kills_of_many_processes(tmp_path: Path) -> None:
    hybrid = ("--model", "hybrid", "--parallelism", "2")
    storm(tmp_path, "pages/", of_folder, items=20_000, kills=50, rate="1000/s", more=hybrid)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.skipif(parquet is None, reason="needs pyarrow")
def test_ten_kills_of_parquet(tmp_path: Path) -> None:
    """A part is written with 64 MiB of bodies; what waits for that is lost with a kill."""
    storm(tmp_path, "out.parquet", of_parquet, items=2000, kills=10, rate="400/s", size=1_000_000)
