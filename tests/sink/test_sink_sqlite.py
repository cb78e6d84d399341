"""`.sqlite`: read back by connections of their own and by SQLite's own shell."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import OutputError
from atonce.sink.columns import Kind
from atonce.sink.row import Again, Body, Row
from atonce.sink.sqlite import GROUP_ROWS, Sqlite

COLUMNS: dict[str, Kind] = {"url": "text", "status": "int", "error_class": "text", "headers": "json", "body": "bytes"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sink(path: Path, *, retry_failed: Again = False, bodies: bool = True, clock: Clock | None = None) -> Sqlite:
    return Sqlite(str(path), columns=COLUMNS, bodies=bodies, retry_failed=retry_failed, clock=clock or Clock())


def row(index: int, body: bytes | None = b"\xff\0abc", kind: str | None = None, url: str | None = None) -> Row:
    fields = {"url": url or f"u{index}", "status": 200, "error_class": kind, "headers": [["A", "b"]], "sha256": "not a column"}
    return Row(index, index + 1, kind is None, fields, None if body is None else Body(body, "00/0.bin"))


def held(path: Path, what: str = '"index"') -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        found = database.execute(f'SELECT {what} FROM rows ORDER BY "index"').fetchall()
    return [values[0] if len(values) == 1 else values for values in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.sqlite"


def test_a_table_with_the_columns(path: Path) -> None:
    with sink(path) as out:
        out.write([row(3), row(1, None, "dns")])
    assert sorted(file.name for file in path.parent.iterdir()) == ["out.sqlite"]  # no lock, no WAL
    assert held(path, "*") == [
        (1, "00000002", 0, "u1", 200, "dns", '[["A","b"]]', None),
        (3, "00000004", 1, "u3", 200, None, '[["A","b"]]', b"\xff\0abc"),
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 shell here")
def test_the_sqlite3_shell_reads_it_and_finds_nothing_wrong(path: Path) -> None:
    with sink(path) as out:
        out.write([row(index) for index in range(50)])
        out.commit()
        during = subprocess.run(
            ["sqlite3", path, "SELECT count(*), sum(length(body)) FROM rows"], capture_output=True, check=True
        )
    after = subprocess.run(["sqlite3", path, "PRAGMA integrity_check"], capture_output=True, check=True)
    assert (during.stdout, after.stdout) == (b"50|250\n", b"ok\n")


def test_without_bodies_there_is_no_such_column(path: Path) -> None:
    with sink(path, bodies=False) as out:
        out.write([row(0)])
    assert held(path, "*") == [(0, "00000001", 1, "u0", 200, None, '[["A","b"]]')]


def test_what_it_held_is_known_when_it_is_opened_again(path: Path) -> None:
    with sink(path) as out:
        out.write([row(0), row(7, kind="dns")])
    with sink(path) as out:
        assert [index for index in range(9) if index in out.done] == [0, 7]
        assert (out.done.get(7), out.done.failed, out.done.last) == (8, 1, 7)
        out.write([row(3)])
    assert held(path) == [0, 3, 7]


@pytest.mark.parametrize(
    ("again", "left"), [(False, [0, 1, 2]), (True, [0]), (frozenset({"dns"}), [0, 2]), (frozenset({"tls", "dns"}), [0])]
)
def test_failures_that_run_again_are_taken_out(path: Path, again: Again, left: list[int]) -> None:
    with sink(path) as out:
        out.write([row(0), row(1, kind="dns"), row(2, kind="tls")])
    with sink(path, retry_failed=again) as out:
        assert [index for index in range(3) if index in out.done] == left
    assert held(path) == left


def test_groups_are_committed_by_rows_and_by_seconds(path: Path) -> None:
    clock = Clock()
    with sink(path, clock=clock) as out:
        out.write([row(0)])
        assert held(path) == []
        out.write([row(index) for index in range(1, GROUP_ROWS)])
        assert len(held(path)) == GROUP_ROWS
        out.write([row(5000)])
        assert len(held(path)) == GROUP_ROWS
        clock.now += 0.5
        out.write([row(5001)])
        assert len(held(path)) == GROUP_ROWS + 2
        out.write([row(5002)])
    assert len(held(path)) == GROUP_ROWS + 3  # closing commits


def test_what_utf8_has_no_bytes_for_is_escaped(path: Path) -> None:
    with sink(path) as out:
        out.write([row(0), row(1, url="a\udc80b")])
    assert held(path, "url") == ["u0", "a\\udc80b"]


def test_two_runs_on_one_database(path: Path) -> None:
    with sink(path) as first:
        with pytest.raises(OutputError, match=f"another run is writing to {path}\n"):
            sink(path).open()
        first.write([row(0)])
    assert held(path) == [0]
    with sink(path) as third:
        assert len(third.done) == 1


def test_the_lock_of_a_killed_run_is_in_nobodys_way(path: Path) -> None:
    Path(f"{path}.lock").touch()
    with sink(path) as out:
        out.write([row(0)])
    assert not Path(f"{path}.lock").exists()


def test_the_lock_of_another_run_stays(path: Path) -> None:
    """Somebody has removed ours, and another run has made its own."""
    lock = Path(f"{path}.lock")
    with sink(path):
        lock.unlink()
        lock.write_text("another")
    assert lock.read_text() == "another"


def make_text(path: Path) -> None:
    path.write_text("my notes, which are longer than a header\n")


def make_other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE accounts (name)")


def make_other_columns(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute('CREATE TABLE rows ("index" INTEGER PRIMARY KEY, input TEXT, ok INTEGER, value TEXT)')


def make_damaged(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\x55" * 5000)


def make_link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_text, "it is no SQLite database"),
        (make_other_tables, "it has other tables"),
        (make_other_columns, r"the columns of its table differ \(body, error_class, headers, status, url, value\)"),
        (make_damaged, "it is no SQLite database|it is damaged"),
        (make_link, "it is a symbolic link"),
        (make_fifo, "is not a regular file"),
        (Path.mkdir, "it is a folder"),
    ],
)
def test_what_is_not_ours_is_left_as_it_is(path: Path, make: Any, message: str) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(OutputError, match=message):
        sink(path).open()
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert not Path(f"{path}.lock").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"its folder does not exist"):
        sink(tmp_path / "no" / "out.sqlite").open()


def test_a_full_disk_leaves_what_was_committed(path: Path) -> None:
    """RLIMIT_FSIZE stands for the full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = sink(path)
    out.open()
    out.write([row(index) for index in range(GROUP_ROWS)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write to .*out.sqlite: .* full.*\n  try: make room"):
            out.write([row(5000 + index, b"x" * 100_000) for index in range(GROUP_ROWS)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    out.close()
    assert held(path) == list(range(GROUP_ROWS))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_one_that_another_program_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.sink.sqlite.BUSY_SECONDS", 0)
    out = sink(path)
    out.open()
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputError, match=r"another program is writing to it"):
            out.write([row(0)])
            out.commit()
    out.close()
    assert held(path) == []
