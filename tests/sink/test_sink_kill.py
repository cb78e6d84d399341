"""A writer is killed again and again, at moments nobody chose, and in the end each item is there exactly once."""

from __future__ import annotations

import gzip
import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from writer import body

TOTAL = 400
KILLS = 10


def run_and_kill(target: str, after: int) -> tuple[int, set[int]]:
    """Let a writer write `after` rows, kill it, and say how it ended and which rows it had said were written."""
    command = [sys.executable, str(Path(__file__).with_name("writer.py")), target, str(TOTAL)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(after)]
        writer.kill()
        said += writer.stdout.readlines()
    return writer.returncode, {int(line) for line in said if line.endswith(b"\n")}


def read_folder(target: Path) -> dict[int, bytes]:
    return once((row["index"], (target / row["path"]).read_bytes()) for row in read_lines(target / "manifest.jsonl"))


def read_jsonl(target: Path) -> dict[int, bytes]:
    return once((row["index"], row["body"].encode()) for row in read_lines(target))


def read_sqlite(target: Path) -> dict[int, bytes]:
    with closing(sqlite3.connect(target)) as database:
        return once(database.execute('SELECT "index", body FROM rows'))


def read_warc(target: Path) -> dict[int, bytes]:
    """Each row's records, then all of them."""
    data, found = target.read_bytes(), []
    for row in read_lines(Path(f"{target}.jsonl")):
        records = gzip.decompress(data[row["offset"] : row["offset"] + row["length"]])
        _, _, block = records.partition(b"HTTP/1.1 200 OK\r\n\r\n")
        found.append((row["index"], block[: row["bytes"]]))
    assert gzip.decompress(data).count(b"WARC-Type: response\r\n") == len(found)
    return once(found)


def read_parquet(target: Path) -> dict[int, bytes]:
    table = pytest.importorskip("pyarrow.parquet").read_table(target)
    return once(zip(table["index"].to_pylist(), table["body"].to_pylist(), strict=True))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def once(rows: Iterable[tuple[int, bytes]]) -> dict[int, bytes]:
    rows = list(rows)
    found = dict(rows)
    assert len(rows) == len(found)  # none twice
    return found


READ = {"": read_folder, ".jsonl": read_jsonl, ".sqlite": read_sqlite, ".gz": read_warc, ".parquet": read_parquet}


@pytest.mark.parametrize("name", ["out.jsonl", "out/", "out.sqlite", "out.warc.gz", "out.parquet"])
def test_a_killed_writer_loses_and_doubles_nothing(tmp_path: Path, name: str) -> None:
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / name
    chance = random.Random(5)
    said: set[int] = set()
    for _ in range(KILLS if name in ("out/", "out.jsonl") else 4):
        code, more = run_and_kill(f"{tmp_path}/{name}", chance.randrange(TOTAL // KILLS))
        assert code == -signal.SIGKILL
        assert not said & more  # nothing that was said to be written is written again
        said |= more
    code, more = run_and_kill(f"{tmp_path}/{name}", TOTAL + 1)
    assert code in (0, -signal.SIGKILL)  # it ended by itself; the kill may still have come before it was gone

    assert READ[target.suffix](target) == {index: body(index) for index in range(TOTAL)}
    if name.endswith("/"):
        assert sum(path.is_file() for path in target.rglob("*")) == TOTAL + 1
        assert not (target / ".partial").exists()
