"""`.parquet`: read back by pyarrow's own reader of whole folders."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from atonce.errors import OutputError
from atonce.sink.columns import Kind
from atonce.sink.row import Again, Body, Row

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
sinks = pytest.importorskip("atonce.sink.parquet")

COLUMNS: dict[str, Kind] = {"url": "text", "status": "int", "error_class": "text", "headers": "json", "body": "bytes"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sink(path: Path, *, retry_failed: Again = False, bodies: bool = True, clock: Clock | None = None) -> sinks.Parquet:
    return sinks.Parquet(str(path), columns=COLUMNS, bodies=bodies, retry_failed=retry_failed, clock=clock or Clock())


def row(index: int, body: bytes | None = b"\xff\0abc", kind: str | None = None, url: str | None = None) -> Row:
    fields = {"url": url or f"u{index}", "status": 200, "error_class": kind, "headers": [["A", "b"]]}
    return Row(index, index + 1, kind is None, fields, None if body is None else Body(body, "00/0.bin"))


def held(path: Path) -> list[int]:
    return sorted(parquet.read_table(path)["index"].to_pylist())


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.parquet"


def test_a_table_with_the_columns(path: Path) -> None:
    with sink(path) as out:
        out.write([row(3), row(1, None, "dns")])
        out.commit()
        out.write([row(2, url="a\udc80")])
    assert files(path) == ["part-00000.parquet", "part-00001.parquet"]
    assert stat.S_IMODE((path / "part-00000.parquet").stat().st_mode) == 0o600
    first, second, third = parquet.read_table(path).to_pylist()
    assert list(first.values()) == [3, "00000004", True, "u3", 200, None, '[["A","b"]]', b"\xff\0abc"]
    assert list(second.values()) == [1, "00000002", False, "u1", 200, "dns", '[["A","b"]]', None]
    assert third["url"] == "a\\udc80"


def test_without_bodies_there_is_no_such_column(path: Path) -> None:
    with sink(path, bodies=False) as out:
        out.write([row(0)])
    assert "body" not in parquet.read_table(path).column_names


def test_a_part_is_full_by_rows_by_bytes_and_by_seconds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "PART_ROWS", 10)
    monkeypatch.setattr(sinks, "PART_BYTES", 1000)
    clock = Clock()

    def written(*rows: Row) -> int:
        out.write(rows)
        return len(list(path.glob("part-*")))

    with sink(path, clock=clock) as out:
        assert written(*map(row, range(9))) == 0
        assert written(row(9)) == 1
        assert written(row(10, b"x" * 999)) == 1
        assert written(row(11)) == 2
        assert written(row(12)) == 2
        clock.now += sinks.PART_SECONDS
        assert written(row(13)) == 3
    assert held(path) == list(range(14))


def test_what_it_held_is_known_when_it_is_opened_again(path: Path) -> None:
    with sink(path) as out:
        out.write([row(0), row(7, kind="dns")])
    (path / ".part").write_bytes(b"half")  # as a killed run leaves them
    (path / ".lock").touch()
    with sink(path) as out:
        assert [index for index in range(9) if index in out.done] == [0, 7]
        assert (out.done.get(7), out.done.failed) == (8, 1)
        out.write([row(3)])
    assert held(path) == [0, 3, 7]
    assert files(path) == ["part-00000.parquet", "part-00001.parquet"]


@pytest.mark.parametrize(
    ("again", "left"), [(False, [0, 1, 2]), (True, [0]), (frozenset({"dns"}), [0, 2]), (frozenset({"tls", "dns"}), [0])]
)
def test_failures_that_run_again_are_taken_out(path: Path, again: Again, left: list[int]) -> None:
    with sink(path) as out:
        out.write([row(0), row(1, kind="dns")])
        out.commit()
        out.write([row(2, kind="tls")])
    with sink(path, retry_failed=again) as out:
        assert [index for index in range(3) if index in out.done] == left
        assert held(path) == left
        out.write([row(index) for index in range(3) if index not in left])
    assert held(path) == [0, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are UTF-8 elsewhere")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"out\xff.parquet")
    with sink(path) as out:
        out.write([row(0), row(1, kind="dns")])
    with sink(path, retry_failed=True) as out:
        assert (0 in out.done, 1 in out.done) == (True, False)
    with sink(path) as out:
        assert len(out.done) == 1


def test_two_runs_on_one_folder(path: Path) -> None:
    with sink(path) as first:
        with pytest.raises(OutputError, match=f"another run is writing to {path}\n"):
            sink(path).open()
        first.write([row(0)])
    assert held(path) == [0]


@pytest.mark.parametrize("what", ["notes.txt", "part-00003.parquet", "columns"])
def test_what_is_not_ours_is_left_as_it_is(path: Path, what: str) -> None:
    path.mkdir()
    if what == "columns":
        with sink(path, bodies=False) as out:
            out.write([row(0)])
    else:
        (path / what).write_bytes(b"notes")
    before = files(path)
    with pytest.raises(OutputError, match="is not an output of this kind of run"):
        sink(path).open()
    assert files(path) == before


def test_a_file_in_place_of_the_folder(path: Path) -> None:
    path.write_bytes(b"PAR1")
    with pytest.raises(OutputError, match=r"cannot write to .*out.parquet"):
        sink(path).open()


def test_a_full_disk_leaves_whole_parts(path: Path) -> None:
    """RLIMIT_FSIZE stands for the full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with sink(path) as out:
        out.write([row(0)])
        out.commit()
        out.write([row(1, bytes(range(256)) * 1000 + __file__.encode())])
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        try:
            with pytest.raises(OutputError, match="too big"):
                out.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert held(path) == [0]
    assert files(path) == ["part-00000.parquet"]
