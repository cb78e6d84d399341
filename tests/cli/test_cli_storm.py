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
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from atonce.lab import Lab

SIZE = 3000


def of_folder(target: Path) -> list[tuple[str, bytes]]:
    return [(row["url"], (target / row["path"]).read_bytes()) for row in lines(target / "manifest.jsonl")]


def of_sqlite(target: Path) -> list[tuple[str, bytes]]:
    if not target.exists():
        return []
    with closing(sqlite3.connect(target)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchall():
            return []
        return database.execute("SELECT url, body FROM rows").fetchall()


def of_warc(target: Path) -> list[tuple[str, bytes]]:
    found = []
    with target.open("rb") if target.exists() else open("/dev/null", "rb") as file:
        for row in lines(Path(f"{target}.jsonl")):
            file.seek(row["offset"])
            records = gzip.decompress(file.read(row["length"]))
            found.append((row["url"], records.split(b"\r\n\r\n", 2)[2][: row["bytes"]]))
    return found


def lines(path: Path) -> list[dict[str, str]]:
    """The whole ones."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


OUTPUTS: dict[str, Callable[[Path], list[tuple[str, bytes]]]] = {
    "pages/": of_folder,
    "out.sqlite": of_sqlite,
    "out.warc.gz": of_warc,
}


def storm(folder: Path, output: str, *, items: int, kills: int, rate: str) -> None:
    with Lab(hosts=2) as lab:
        urls = lab.urls(items, path=f"/bytes/{SIZE}")
        with urllib.request.urlopen(f"{lab.base}/bytes/{SIZE}") as answer:
            digest = hashlib.sha256(answer.read()).hexdigest()
        lab.reset()
        (folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        command = [sys.executable, "-m", "atonce", "fetch", "-i", "urls.txt", "-o", output, "--quiet"]
        read = OUTPUTS[output]
        done: dict[str, int] = {}  # the pages recorded at the last look, and how often they had been asked for by then
        before = 0
        for number in range(kills + 1):
            last = number == kills
            with subprocess.Popen([*command, *([] if last else ["--rate", rate])], cwd=folder) as process:
                if not last:
                    asked = lab.stats().requests + items // (kills + 1)
                    lab.wait_until(lambda stats, asked=asked: stats.requests >= asked, seconds=60)  # type: ignore[misc]
                    process.kill()
            assert process.returncode == (0 if last else -signal.SIGKILL)
            seen = lab.stats().urls
            assert {url: seen[url] for url in done} == done  # none of them was asked for again
            pages = read(folder / output)
            assert len(pages) == len({url for url, _ in pages})
            assert {url for url, _ in pages} >= done.keys()
            assert all(hashlib.sha256(body).hexdigest() == digest for _, body in pages)
            done = {url: seen[url] for url, _ in pages}
            assert last or len(done) < items  # it was killed in the middle
            before += not last and bool(done)
        assert done.keys() == set(urls)
        assert before  # some of it had been recorded before a kill


@pytest.mark.slow
@pytest.mark.parametrize("output", OUTPUTS)
def test_three_kills(tmp_path: Path, output: str) -> None:
    storm(tmp_path, output, items=300, kills=3, rate="120/s")


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("output", OUTPUTS)
def test_fifty_kills(tmp_path: Path, output: str) -> None:
    storm(tmp_path, output, items=20_000, kills=50, rate="1000/s")
