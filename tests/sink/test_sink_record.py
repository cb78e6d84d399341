"""The record file: what it promises, with the file in every state it can be found in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from atonce.errors import OutputError
from atonce.sink import lock, record
from atonce.sink.record import RecordFile
from atonce.sink.row import Row, encoded


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line(index: int, *, ok: bool = True, size: int = 5) -> bytes:
    row = Row(index, index + 1, ok, {"value": "x" * size})
    return encoded(row, row.fields)


def opened(path: Path, **options: object) -> RecordFile:
    file = RecordFile(str(path), **options)  # type: ignore[arg-type]
    file.open()
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def test_it_is_for_its_owner_only(path: Path) -> None:
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rows_are_with_the_system_before_append_returns(path: Path) -> None:
    file = opened(path)
    file.append(line(0) + line(1), 2)
    assert path.read_bytes() == line(0) + line(1)
    file.close()


def test_what_it_held_is_known_when_it_is_opened_again(path: Path) -> None:
    path.write_bytes(line(3) + line(1, ok=False))
    file = opened(path)
    assert [index for index in range(5) if index in file.done] == [1, 3]
    assert file.done.get(3) == 4
    assert file.done.failed == 1
    file.append(line(0), 1)
    file.close()
    assert path.read_bytes() == line(3) + line(1, ok=False) + line(0)


@pytest.mark.parametrize("kept", range(len(line(2))))
def test_a_torn_tail_is_cut(path: Path, kept: int) -> None:
    path.write_bytes(line(0) + line(1) + line(2)[:kept])
    file = opened(path)
    assert len(file.done) == 2
    file.append(line(2), 1)
    file.close()
    assert path.read_bytes() == line(0) + line(1) + line(2)


@pytest.mark.parametrize(
    "tail",
    [b"\0" * 40, b"\0" * 40 + b"\n", line(2)[:10] + b"\0" * 20 + b"\n", line(2)[:-8] + b"\0" * 8, b"\0\0\n" + line(3)],
)
def test_what_a_power_cut_left_is_cut(path: Path, tail: bytes) -> None:
    path.write_bytes(line(0) + line(1) + tail)
    opened(path).close()
    assert path.read_bytes() == line(0) + line(1)


@pytest.mark.parametrize(
    "content",
    [b"some notes\n", b"some notes", b"{}\n", b"\0\1\2", line(0) + b"and more\n", line(0) + b"and more", b'{"a": 1}'],
)
def test_a_file_that_is_not_ours_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    what = "line: its item runs again" if content.startswith(line(0)) else "file"
    with pytest.raises(OutputError, match=f"is not an output of atonce(.|\n)*or remove that {what}$"):
        RecordFile(str(path)).open()
    assert path.read_bytes() == content


def test_two_runs_on_one_output(path: Path) -> None:
    first = opened(path)
    with pytest.raises(OutputError, match="another run is writing"):
        opened(path)
    first.close()
    opened(path).close()


def test_two_runs_on_one_output_where_there_is_no_flock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    path.write_bytes(line(0, ok=False))
    first = opened(path, keep=lambda head: head.ok)
    with pytest.raises(OutputError, match=r"another run is writing"):
        opened(path)
    first.close()
    opened(path).close()
    assert os.listdir(path.parent) == [path.name]


def test_rows_that_do_not_stand_are_taken_out(path: Path) -> None:
    path.write_bytes(line(0) + line(1, ok=False) + line(2) + line(3)[:9])
    file = opened(path, keep=lambda head: head.ok)
    assert path.read_bytes() == line(0) + line(2)
    assert 1 not in file.done
    with pytest.raises(OutputError, match="another run"):  # the lock is on the new file too
        opened(path)
    file.append(line(1), 1)
    file.close()
    assert path.read_bytes() == line(0) + line(2) + line(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_run_left_that_was_killed_while_it_took_rows_out(path: Path) -> None:
    path.write_bytes(line(0, ok=False))
    Path(f"{path}.new").write_bytes(b"half")
    opened(path, keep=lambda head: head.ok).close()
    assert path.read_bytes() == b""
    assert os.listdir(path.parent) == [path.name]


def test_a_link_is_not_followed(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"")
    path.symlink_to(other)
    with pytest.raises(OutputError, match="symbolic link"):
        opened(path)


def test_a_fifo_is_refused(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OutputError, match="not a regular file"):
        opened(path)


@pytest.mark.parametrize(("name", "reason"), [("no/out.jsonl", "folder does not exist"), (".", "it is a folder")])
def test_where_it_cannot_be(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(OutputError, match=reason):
        opened(tmp_path / name)


def test_a_full_disk_tears_nothing(path: Path) -> None:
    """RLIMIT_FSIZE stands for the full disk: a write stops half-way, then fails."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    file = opened(path)
    file.append(line(0), 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(line(0)) + 20, limits[1]))
    try:
        with pytest.raises(OutputError, match="too big") as caught:
            file.append(line(1), 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "run the same command again" in str(caught.value)
    assert path.read_bytes() == line(0)
    file.append(line(1), 1)
    file.close()
    assert path.read_bytes() == line(0) + line(1)


def test_it_is_synced_by_groups(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    file = opened(path, clock=clock)
    synced: list[int] = []
    monkeypatch.setattr(record.os, "fsync", lambda fd: synced.append(path.stat().st_size))
    for index in range(999):
        file.append(line(index), 1)
    assert synced == []
    file.append(line(999), 1)  # a thousand rows
    assert synced == [path.stat().st_size]
    file.append(line(1000), 1)
    clock.now += 0.5
    file.append(line(1001), 1)  # half a second
    assert synced[1:] == [path.stat().st_size]
    file.commit()  # nothing new
    assert len(synced) == 2
    file.append(line(1002), 1)
    file.close()
    assert synced[2:] == [path.stat().st_size]
    file.close()
