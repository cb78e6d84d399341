"""A folder: a row implies its whole file, and what a killed run left is gone after the next opening."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import OutputError
from atonce.sink.folder import Folder
from atonce.sink.row import Body, Row


def row(index: int, data: bytes | None = b"abc", *, ok: bool = True, suffix: str = ".html") -> Row:
    body = None if data is None else Body(data, f"{index % 256:02x}/{index:08d}-0000{suffix}")
    return Row(index, index + 1, ok, {"bytes": 0, "url": f"u{index}"}, body)


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_bytes().splitlines()]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_bodies_and_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "pages"
    with Folder(f"{folder}/") as sink:
        sink.write([row(1, b"one"), row(300, b""), row(2, None, ok=False)])
    assert files(folder) == {"manifest.jsonl", "01/00000001-0000.html", "2c/00000300-0000.html"}
    assert (folder / "01/00000001-0000.html").read_bytes() == b"one"
    first, second, third = manifest(folder)
    assert (first["path"], first["bytes"]) == ("01/00000001-0000.html", 3)
    assert (second["path"], second["bytes"]) == ("2c/00000300-0000.html", 0)
    assert "path" not in third
    assert stat.S_IMODE((folder / "manifest.jsonl").stat().st_mode) == 0o600
    assert not (folder / ".partial").exists()


def test_without_bodies(tmp_path: Path) -> None:
    with Folder(str(tmp_path), bodies=False) as sink:
        sink.write([row(1)])
    assert files(tmp_path) == {"manifest.jsonl"}


def test_what_a_killed_run_left_in_partial_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "body").write_bytes(b"half")
    with Folder(str(tmp_path)) as sink:
        sink.write([row(1)])
    assert files(tmp_path) == {"manifest.jsonl", "01/00000001-0000.html"}


@pytest.mark.parametrize("harm", ["gone", "short", "link"])
def test_a_row_without_its_whole_file_is_done_again(tmp_path: Path, harm: str) -> None:
    with Folder(str(tmp_path)) as sink:
        sink.write([row(1), row(2)])
    file = tmp_path / "01/00000001-0000.html"
    file.unlink()
    if harm == "short":
        file.write_bytes(b"ab")
    elif harm == "link":
        file.symlink_to("../manifest.jsonl")
    with Folder(str(tmp_path)) as sink:
        assert 1 not in sink.done
        assert 2 in sink.done
        assert not os.path.lexists(file)
        sink.write([row(1)])
    assert [each["index"] for each in manifest(tmp_path)] == [2, 1]


def test_a_failed_item_that_runs_again_leaves_no_file_of_the_first_time(tmp_path: Path) -> None:
    with Folder(str(tmp_path)) as sink:
        sink.write([row(1, b"404", ok=False), row(2, None, ok=False), row(3)])
    with Folder(str(tmp_path), retry_failed=True) as sink:
        assert [index for index in range(4) if index in sink.done] == [3]
        sink.write([row(1, b"png", suffix=".png"), row(2)])
    assert files(tmp_path) == {"manifest.jsonl"} | {f"0{n}/0000000{n}-0000{s}" for n, s in
                                                    ((1, ".png"), (2, ".html"), (3, ".html"))}  # fmt: skip


def test_a_forged_manifest_removes_nothing_outside(tmp_path: Path) -> None:
    treasure = tmp_path / "treasure.txt"
    treasure.write_text("gold")
    folder = tmp_path / "pages"
    folder.mkdir()
    forged = '{"index":0,"input":"00000001","ok":false,"path":"../treasure.txt","bytes":4}\n'
    (folder / "manifest.jsonl").write_text(forged)
    with Folder(str(folder), retry_failed=True) as sink:
        assert len(sink.done) == 0
    assert treasure.read_text() == "gold"


def test_two_runs_on_one_folder(tmp_path: Path) -> None:
    with Folder(str(tmp_path)) as first:
        with pytest.raises(OutputError, match="another run is writing"):
            Folder(str(tmp_path)).open()
        first.write([row(1)])  # its .partial is still there
    assert files(tmp_path) == {"manifest.jsonl", "01/00000001-0000.html"}


def test_a_link_in_place_of_partial_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"")
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / ".partial").symlink_to(elsewhere)
    with pytest.raises(OutputError, match="not a folder"):
        Folder(str(folder)).open()
    assert (elsewhere / "precious").exists()


def test_a_full_disk_leaves_no_part_of_a_body(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Folder(str(tmp_path)) as sink:
        sink.write([row(1)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(OutputError, match="too big"):
                sink.write([row(2, b"x" * 2000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == {"manifest.jsonl", "01/00000001-0000.html"}
    assert [each["index"] for each in manifest(tmp_path)] == [1]
