"""Large bodies by the command: no output that is a file has them all in memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from atonce import sink
from atonce.cli import main
from atonce.cli.job import MANY
from atonce.lab import Lab
from atonce.lab.content import content

SIZE, COUNT = 20_000_000, 12
# The command in a process that says how much memory it has had at most, in bytes, itself and those that it forked aside.
MEASURED = """
import sys
from atonce.cli import main
code = main(sys.argv[1:])
status = dict(line.split(":") for line in open("/proc/self/status"))
print(1024 * int(status["VmHWM"].split()[0]))
sys.exit(code)
"""


TRANSPORTS = ["curl", "aiohttp", "requests"]
OUTPUTS = [("pages/",), ("out.jsonl", "--no-body"), ("out.jsonl",), ("out.sqlite",), ("out.parquet",)]
CASES = [
    *((output, transport) for output in OUTPUTS for transport in TRANSPORTS),
    (("out.warc.gz",), "curl"),
]  # gzip takes long


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize(("output", "transport"), CASES)
def test_memory(lab: Lab, folder: Path, output: tuple[str, ...], transport: str) -> None:
    """All of them in flight at once are 240 MB: twice that it would be, were they there."""
    if "out.parquet" in output:
        pytest.importorskip("pyarrow")
    Path("urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(COUNT, f"/bytes/{SIZE}")))
    options = ("--transport", transport, "--concurrency", f"{COUNT}", "--per-host", f"{COUNT}", "--no-remember", "--quiet")
    command = [sys.executable, "-c", MEASURED, "fetch", "-i", "urls.txt", "-o", *output, *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    # of a .parquet a part of up to 64 MB is in memory, several times while it is compressed, and pyarrow is, too
    assert int(ended.stdout) < (450_000_000 if "out.parquet" in output else 120_000_000)
    assert not {*folder.rglob("*.partial")}
    expected = None if "--no-body" in output else hashlib.sha256(content(SIZE, 0)).hexdigest()
    assert [*bodies(output[0])] == [expected] * COUNT


def bodies(output: str) -> Iterator[str | None]:
    """The hash of the body of each row."""
    if output == "pages/":
        for row in lines("pages/manifest.jsonl"):
            yield sha256(Path("pages", row["path"]).read_bytes())
    elif output == "out.jsonl":
        for row in lines(output):
            yield sha256(row["body"].encode()) if "body" in row else None
            assert (row["bytes"], row["sha256"]) == (SIZE, sha256(content(SIZE, 0)))
    elif output == "out.sqlite":
        with closing(sqlite3.connect(output)) as database:
            for [body] in database.execute("SELECT body FROM rows"):
                yield sha256(body)
    elif output == "out.parquet":
        for part in sorted(Path(output).iterdir()):
            for body in pytest.importorskip("pyarrow.parquet").read_table(part)["body"].to_pylist():
                yield sha256(body)
    else:
        archive = Path(output).read_bytes()
        for row in lines(f"{output}.jsonl"):
            records = gzip.decompress(archive[row["offset"] :][: row["length"]])
            _, _, block = records.partition(b"HTTP/1.1 200 OK\r\n")
            yield sha256(block.partition(b"\r\n\r\n")[2][: row["bytes"]])


def lines(path: str) -> Iterator[dict[str, Any]]:
    return map(json.loads, Path(path).read_text().splitlines())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("output", ["out.jsonl", "out.sqlite", "out.parquet", "out.warc.gz"])
def test_what_a_kill_leaves_beside_an_output_goes_with_the_next_run(lab: Lab, folder: Path, output: str) -> None:
    if output == "out.parquet":
        pytest.importorskip("pyarrow")
    shelf = Path("out.parquet/.partial" if output == "out.parquet" else f"{output}.partial")
    command = ["-o", output, "--retries", "0", "--no-remember", "--quiet"]
    stays = f"{lab.base}/range/good/{SIZE}?stay=5000000"
    with subprocess.Popen([sys.executable, "-m", "atonce", "fetch", stays, *command]) as process:
        lab.wait_until(lambda stats: any(file.stat().st_size > 2_000_000 for file in shelf.glob("*")))
        process.kill()
    assert [*shelf.iterdir()]
    assert main(["fetch", f"{lab.base}/bytes/{SIZE}", *command]) == 0
    assert not shelf.exists()
    assert [*bodies(output)] == [sha256(content(SIZE))]


@pytest.mark.parametrize(("output", "most"), [("pages/", "1.0"), ("out.jsonl", "1.0"), ("out.warc.gz", "1.0"), ("-", "100")])
def test_a_rehearsal_tells_how_much_of_a_body_is_in_memory(
    folder: Path, capsys: pytest.CaptureFixture[str], output: str, most: str
) -> None:
    assert main(["fetch", "http://127.0.0.1/", "-o", output, "--dry-run"]) == 0
    assert f"the bodies in flight, {most} MB each at most" in capsys.readouterr().out
    assert [*folder.iterdir()] == []


def test_those_among_many_which_another_process_writes(lab: Lab, folder: Path) -> None:
    paths = [f"/bytes/{SIZE if number % 500 == 0 else 10}?{number}" for number in range(MANY)]
    Path("urls.txt").write_text("".join(f"{lab.base}{path}\n" for path in paths))
    assert main(["fetch", "-i", "urls.txt", "-o", "out.jsonl", "--no-remember", "--quiet"]) == 0
    found = {row["index"]: (row["bytes"], sha256(row["body"].encode())) for row in lines("out.jsonl")}
    large, short = (SIZE, sha256(content(SIZE))), (10, sha256(content(10)))
    assert found == {number: large if number % 500 == 0 else short for number in range(MANY)}
    assert not Path("out.jsonl.partial").exists()


@pytest.mark.parametrize("model", ["processes", "hybrid", "threads"])
def test_those_of_worker_processes(lab: Lab, folder: Path, model: str) -> None:
    """The large one is in a file when it has come, the short one in the pipe."""
    urls = [f"{lab.base}/bytes/{size}" for size in (SIZE, 10)]
    assert main(["fetch", *urls, "-o", "out.jsonl", "--model", model, "--no-remember", "--quiet"]) == 0
    assert {row["index"]: row["body"].encode() for row in lines("out.jsonl")} == {0: content(SIZE), 1: content(10)}
    assert not Path("out.jsonl.partial").exists()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_body_that_a_table_does_not_take_fails_alone(
    lab: Lab, folder: Path, transport: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sink.MOST_BODY, ".sqlite", 1000)
    urls = [f"{lab.base}/bytes/{size}" for size in (1000, 1001, 10)]
    assert main(["fetch", *urls, "-o", "out.sqlite", "--max-body", "3g", "--transport", transport]) == 1
    assert "a .sqlite takes bodies of up to 1000 bytes: larger ones fail as too-big" in capsys.readouterr().err
    with closing(sqlite3.connect("out.sqlite")) as database:
        found = database.execute('SELECT error_class, error, length(body) FROM rows ORDER BY "index"').fetchall()
    assert found == [(None, None, 1000), ("too-big", "the body is over 1000 bytes", None), (None, None, 10)]
    assert main(["fetch", *urls, "-o", "all.sqlite", "--max-body", "3g", "--no-body"]) == 0


def test_a_value_that_a_table_does_not_take_fails_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sink.MOST_BODY, ".sqlite", 10)
    Path("lines").write_text("short\nmuch too long\n")
    Path("encoding_code.py").write_text("def encode(text):\n    return text.encode()\n")
    assert main(["map", "encoding_code.py:encode", "-i", "lines", "-o", "out.sqlite", "--model", "sync"]) == 1
    assert "the function returned 13 bytes, of which the output takes 10 in a row" in capsys.readouterr().err
    with closing(sqlite3.connect("out.sqlite")) as database:
        found = database.execute('SELECT ok, value_bytes FROM rows ORDER BY "index"').fetchall()
    assert found == [(1, b"short"), (0, None)]


def test_what_is_too_large_all_the_same_is_no_traceback(
    lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(sqlite3.Connection):
        def executemany(self, *arguments: object) -> sqlite3.Cursor:
            raise OverflowError("string longer than INT_MAX bytes")

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, factory=Full, **more))
    assert main(["fetch", f"{lab.base}/bytes/10", "-o", "out.sqlite", "--quiet"]) == 1
    assert "cannot write to out.sqlite: string longer than INT_MAX bytes" in capsys.readouterr().err
