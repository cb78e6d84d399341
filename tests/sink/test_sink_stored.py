"""Bodies that come in a file of their own: each output has of them what it would have of the same in memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import OutputError
from atonce.sink import sink_for, spool
from atonce.sink.row import Body, Exchange, Row
from atonce.sink.shelf import Shelf, shelf_beside

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
TEXT = 'é "quoted" \\ \n\x00 한국어 😀 \u2028'.encode() * 50
BODIES = [b"short", TEXT, b"\xff\x00\xfe" * 301, TEXT + b"\xed\xa0\x80", TEXT + "é".encode()[:1], b"x" * 64, b"", b"last"]
COLUMNS: Any = {"url": "text", "bytes": "int", "body": "bytes"}
NAMES = ["out.jsonl", "out.sqlite", "out.parquet", "out.warc.gz"]


def rows(stored: Callable[[bytes], spool.Stored | None]) -> list[Row]:
    """The first and the last are short, and in memory."""
    made = []
    for index, data in enumerate(BODIES):
        there = stored(data) if index not in (0, len(BODIES) - 1) else None
        body = Body(b"" if there else data, f"00/{index}.bin", stored=there)
        exchange = Exchange(f"http://x.example/{index}", b"GET / HTTP/1.1\r\n\r\n", HEAD, None, 1.7e9, chunked=index % 2 == 1)
        made.append(Row(index, index + 1, True, {"url": f"u{index}", "bytes": len(data)}, body, exchange))
    return made


def stored_in(shelf: Shelf) -> Callable[[bytes], spool.Stored]:
    def stored(data: bytes) -> spool.Stored:
        written = shelf.spool()
        written.add(data)
        return written.end()

    return stored


def written(path: Path, stored: Callable[[bytes], spool.Stored | None]) -> Any:
    with sink_for(str(path), columns=COLUMNS) as sink:
        sink.write(rows(stored))
    return what_is_in(path)


def what_is_in(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return path.read_bytes()
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT * FROM rows").fetchall()
    if path.suffix == ".parquet":
        return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    lines = [json.loads(line) for line in Path(f"{path}.jsonl").read_bytes().splitlines()]
    data = path.read_bytes()
    records = [gzip.decompress(data[row.pop("offset") :][: row.pop("length")]) for row in lines]
    assert gzip.decompress(data).endswith(b"".join(records))
    return lines, [re.sub(rb"urn:uuid:[0-9a-f-]+", b"", record) for record in records]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(spool, "_READ", 7)  # pieces end within characters, and within three bytes
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    shelf = shelf_beside(str(tmp_path / name), within=False)
    with shelf.held():
        there = written(tmp_path / name, stored_in(shelf))
        assert list(Path(shelf.folder).iterdir()) == []  # each is removed when it is where it belongs
    (tmp_path / "other").mkdir()
    assert there == written(tmp_path / "other" / name, lambda data: None)
    assert not Path(shelf.folder).exists()


@pytest.mark.parametrize("name", NAMES[:3])
def test_without_bodies_nothing_is_read(tmp_path: Path, name: str) -> None:
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    with sink_for(str(tmp_path / name), columns=COLUMNS, bodies=False) as sink:
        sink.write(rows(lambda data: spool.Stored("", len(data), "")))
    assert len(what_is_in(tmp_path / name)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_one_that_cannot_be_read_is_the_output_s_error(tmp_path: Path, name: str) -> None:
    """What was written before it stays, whole; the next run goes on from there."""
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    path, gone = tmp_path / name, spool.Stored(str(tmp_path / "gone"), 5, "")
    with sink_for(str(path), columns=COLUMNS) as sink:
        sink.write(rows(lambda data: None)[:1])
        sink.commit()
        with pytest.raises(OutputError, match=rf"cannot write to .*{name}"):
            sink.write(rows(lambda data: gone)[1:2])
    with sink_for(str(path), columns=COLUMNS) as sink:
        assert (0 in sink.done, 1 in sink.done) == (True, False)
        sink.write(rows(lambda data: None)[1:])
    assert len(what_is_in(path)[0] if name.endswith(".gz") else what_is_in(path)) >= len(BODIES)


@pytest.mark.parametrize("name", ["out.jsonl", "out.sqlite", "out.warc.gz"])
def test_a_full_disk_leaves_the_rows_before(tmp_path: Path, name: str) -> None:
    """RLIMIT_FSIZE stands for it."""
    resource = pytest.importorskip("resource")
    path, limits = tmp_path / name, resource.getrlimit(resource.RLIMIT_FSIZE)
    large = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(40_000))
    shelf = shelf_beside(str(path), within=False)
    short, long, *_ = rows(lambda data: None)
    with shelf.held(), sink_for(str(path), columns=COLUMNS) as sink:
        stored = stored_in(shelf)(large)
        sink.write([short])
        sink.commit()
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
        try:
            with pytest.raises(OutputError, match=r"too big|full"):
                sink.write([long._replace(body=Body(b"", "00/1.bin", stored=stored))])
                sink.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with sink_for(str(path), columns=COLUMNS) as sink:
        assert (0 in sink.done, 1 in sink.done) == (True, False)


def test_a_shelf_is_made_with_the_first_and_gone_in_the_end(tmp_path: Path) -> None:
    shelf = shelf_beside(str(tmp_path / "out.jsonl"), within=False)
    with shelf.held():
        assert list(tmp_path.iterdir()) == []
        stored = stored_in(shelf)(b"body")
        assert Path(stored.path).parent == tmp_path / "out.jsonl.partial"
        assert Path(stored.path).parent.stat().st_mode & 0o777 == 0o700
        assert shelf.put(b"one in memory") is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    shelf = shelf_beside(str(tmp_path / "out.jsonl"), within=False)
    stored_in(shelf)(b"of a run that was killed")
    Path(shelf.folder, "notes").write_text("somebody's")
    with shelf.held():
        assert [path.name for path in Path(shelf.folder).iterdir()] == ["notes"]
    assert Path(shelf.folder, "notes").read_text() == "somebody's"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_no_shelf(tmp_path: Path, kind: str) -> None:
    shelf = shelf_beside(str(tmp_path / "out.jsonl"), within=False)
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "1-1").write_text("somebody's")
    if kind == "link":
        Path(shelf.folder).symlink_to(tmp_path / "away")
    else:
        Path(shelf.folder).write_text("")
    with pytest.raises(OutputError, match=r"out\.jsonl\.partial is not a folder"), shelf.held():
        pass
    assert (tmp_path / "away" / "1-1").exists()


def test_worker_processes_leave_short_ones_to_the_pipe(tmp_path: Path) -> None:
    shelf = Shelf(str(tmp_path), maker=-1, all=False)
    assert not shelf.takes
    assert shelf.put(b"short") is None
