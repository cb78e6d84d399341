"""Bodies that workers have written: the folder puts them in their places, and clears away what nobody asks for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from atonce.sink.folder import Folder
from atonce.sink.row import Body, Row
from atonce.sink.shelf import Shelf, shelf_of

OTHER = -1  # no process's number: as if another one had made it


def test_what_is_put_is_whole_and_told(tmp_path: Path) -> None:
    shelf = Shelf(str(tmp_path), OTHER)
    first, second = shelf.put(b"one"), shelf.put(b"other")
    assert first is not None
    assert second is not None
    assert first.path != second.path
    assert (Path(first.path).read_bytes(), first.size) == (b"one", 3)
    assert first.sha256 == hashlib.sha256(b"one").hexdigest()


def test_the_process_that_made_it_and_one_that_cannot_write_put_nothing(tmp_path: Path) -> None:
    assert Shelf(str(tmp_path)).put(b"one") is None
    assert Shelf(str(tmp_path / "gone"), OTHER).put(b"one") is None
    assert list(tmp_path.iterdir()) == []


def test_half_a_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("atonce.sink.spool.write_all", full)
    assert Shelf(str(tmp_path), OTHER).put(b"one") is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_them_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with Folder(str(tmp_path / "pages")) as sink:
        shelf = Shelf(shelf_of(str(tmp_path / "pages/")).folder, OTHER)
        stored = shelf.put(b"one")
        assert shelf.put(b"of a worker that was killed") is not None
        sink.write([Row(1, 2, True, {"bytes": 0, "url": "u"}, Body(b"", "01/00000001-0000.html", stored=stored))])
    assert (tmp_path / "pages/01/00000001-0000.html").read_bytes() == b"one"
    [row] = [json.loads(line) for line in (tmp_path / "pages/manifest.jsonl").read_bytes().splitlines()]
    assert (row["path"], row["bytes"]) == ("01/00000001-0000.html", 3)
    assert not (tmp_path / "pages/.partial").exists()
