"""What -o names."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from atonce.errors import UsageError
from atonce.sink import kind_of, sink_for
from atonce.sink.folder import Folder
from atonce.sink.jsonl import Jsonl
from atonce.sink.row import Body, Row
from atonce.sink.sqlite import Sqlite
from atonce.sink.stdout import Stdout
from atonce.sink.warc import Warc


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("-", Stdout),
        ("a.jsonl", Jsonl),
        ("x/a.jsonl", Jsonl),
        ("a.sqlite", Sqlite),
        ("a.warc.gz", Warc),
        ("a.v2/b.jsonl", Jsonl),
        ("pages", Folder),
        ("pages/", Folder),
        ("v1.2/", Folder),
    ],
)
def test_the_kind_by_the_name(target: str, kind: type) -> None:
    assert type(sink_for(target)) is kind


def test_a_folder_that_is_there_is_one_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "example.org").mkdir()
    assert kind_of(str(tmp_path / "example.org")) == "/"


@pytest.mark.parametrize("target", ["a.json", "a.txt", "a.jsonl.gz"])
def test_no_kind(target: str) -> None:
    with pytest.raises(UsageError, match=r"no kind of output(.|\n)*NAME.jsonl, .*, a folder \(NAME/\), or - for stdout"):
        kind_of(target)


def test_no_name_is_not_the_root_folder() -> None:
    with pytest.raises(UsageError, match="the name of the output is empty"):
        kind_of("")


@pytest.mark.parametrize("bodies", [True, False])
def test_stdout_has_the_lines_of_a_jsonl_file(bodies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row(0, 1, True, {"url": "ü"}, Body(b"text", "00/0.txt")), Row(1, 2, True, {}, Body(b"\xff", "00/1.bin"))]
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", stdout)
    path = tmp_path / "a.jsonl"
    for target in ("-", str(path)):
        with sink_for(target, bodies=bodies) as sink:
            sink.write(rows)
            sink.commit()
    assert stdout.buffer.getvalue() == path.read_bytes()  # type: ignore[attr-defined]
    first, second = map(json.loads, path.read_bytes().splitlines())
    assert first.get("body") == ("text" if bodies else None)
    assert second.get("body_base64") == ("/w==" if bodies else None)
