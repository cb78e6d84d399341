"""What -i names, line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.errors import InputError, UsageError
from atonce.source.inputs import Input, fingerprint


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Any]]:
    def read(name: str, content: bytes, **options: Any) -> list[Any]:
        path = tmp_path / name
        path.write_bytes(content)
        return [entry.item for entry in Input(str(path), **options)]

    return read


Read = Callable[..., list[Any]]


@pytest.mark.parametrize(
    ("name", "content", "items"),
    [
        ("a.txt", b"", []),
        ("a.txt", b"one\ntwo\n", ["one", "two"]),
        ("a.txt", b"one\r\n two \n\n# no comment\nlast", ["one", " two ", "", "# no comment", "last"]),
        ("a.txt", b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", ["one", "\ufefftwo"]),
        ("a.txt", "a\u2028b\x0bc\x1cd\n".encode(), ["a\u2028b\x0bc\x1cd"]),  # one line, whatever str.splitlines says
        ("urls", b"x\n", ["x"]),
        ("a.jsonl", b'{"a": 1}\n\n  \n[2]\r\n"x"\nnull\n3', [{"a": 1}, [2], "x", None, 3]),
        ("a.JSONL", b"\xef\xbb\xbf1\n", [1]),
        ("a.csv", b"", []),
        ("a.csv", b"a,b\n", []),
        ("a.csv", b'a,b\n1,2\n\n"x,\n""y""",\n', [{"a": "1", "b": "2"}, {"a": 'x,\n"y"', "b": ""}]),
        ("a.csv", "\ufeffa\r\nü\r\n".encode(), [{"a": "ü"}]),
        ("a.csv", b'a,b\r\n"1\r\n2","3\n4"\r\n\r\n5,6', [{"a": "1\r\n2", "b": "3\n4"}, {"a": "5", "b": "6"}]),
    ],
)
def test_items(read: Read, name: str, content: bytes, items: list[Any]) -> None:
    assert read(name, content) == items


def test_comments_and_blanks_can_be_left_out(read: Read) -> None:
    assert read("u.txt", b"# head\n\n  a b  \n\t#x\n b#c\r\n", comments=True) == ["a b", "b#c"]


@pytest.mark.parametrize(("kind", "items"), [("text", ["1"]), ("jsonl", [1]), ("csv", [])])
def test_the_kind_can_be_given(read: Read, kind: str, items: list[Any]) -> None:
    assert read("a.txt", b"1\n", kind=kind) == items


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\nb\xff\n", r"a\.txt, line 2: not UTF-8 \(byte 0xff at column 2\)"),
        ("a.jsonl", b"1\n\n{'a': 1}\n", r"line 3: not JSON \(Expecting property name .* at column 2\)"),
        ("a.jsonl", b"1 2\n", r"line 1: not JSON \(Extra data at column 3\)"),
        ("a.jsonl", b"NaN\n", r"line 1: not JSON \(NaN is not a JSON number\)"),
        ("a.jsonl", b"[" * 100_000 + b"\n", r"line 1: not JSON"),
        ("a.csv", b"a,b\n1,2\n3\n", r"line 3: 1 fields where the header has 2"),
        ("a.csv", b'a,b\n"1\n2",x\n1,2,3\n', r"line 4: 3 fields where the header has 2"),
        ("a.csv", b'a\n1\n"open\n', r"line 3: not CSV"),
        ("a.csv", b"a,a\n", r"line 1: the header has 'a' twice"),
        ("a.csv", b"a,\n", r"line 1: the header has an empty name"),
        ("a.csv", b"\n1\n", r"line 1: the header has an empty name"),
    ],
)
def test_a_bad_line_is_named(read: Read, name: str, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(name, content)


def test_a_bad_line_is_met_when_it_is_reached(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\nx\n")
    entries = iter(Input(str(path)))
    assert next(entries).item == 1
    with pytest.raises(InputError):
        next(entries)


def test_items_are_parsed_and_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"# numbers\n1\nzwei\n")
    items = Input(str(path), parse=int, comments=True)
    entries = iter(items)
    assert next(entries).item == 1
    with pytest.raises(InputError, match=r"a\.txt, line 3: invalid literal"):
        next(entries)


def test_a_parser_can_say_what_to_do(read: Read) -> None:
    def parse(text: str) -> str:
        raise UsageError("no scheme", hint=f"https://{text}")

    with pytest.raises(InputError) as caught:
        read("u.txt", b"example.org\n", parse=parse)
    assert caught.value.hint == "https://example.org"
    assert caught.value.exit_code == 2


def test_arguments_come_first(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"c\n")
    items = Input(str(path), first=["a", "b"])
    entries = list(items)
    assert [entry.item for entry in entries] == ["a", "b", "c"]
    assert [entry.index for entry in entries] == [0, 1, 2]
    assert [items.where(entry) for entry in entries] == ["argument 1", "argument 2", f"{path}, line 1"]
    assert [entry.item for entry in Input(None, first=["a"])] == ["a"]


@pytest.mark.parametrize(
    ("path", "reason"), [("missing.txt", "there is no such file"), (".", "it is a folder"), ("a.txt/b", "Not a dir")]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(InputError, match=reason):
        list(Input(str(tmp_path / path)))


def test_a_json_array_is_not_read_as_text() -> None:
    with pytest.raises(UsageError, match="a value a line"):
        Input("items.json")


def test_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").write_bytes(b"a\n\xff\n")
    with open(tmp_path / "in") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        entries = iter(Input("-"))
        assert next(entries).item == "a"
        with pytest.raises(InputError, match="stdin, line 2"):
            next(entries)
        assert os.fstat(stdin.fileno())  # still open


def test_what_can_be_read_twice(tmp_path: Path) -> None:
    file, fifo = tmp_path / "a", tmp_path / "fifo"
    file.write_bytes(b"")
    os.mkfifo(fifo)
    assert Input(str(file)).rereadable
    assert Input(None, first=["a"]).rereadable
    assert not Input("-").rereadable
    assert not Input(str(fifo)).rereadable


def test_it_is_read_lazily_from_a_pipe() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        entries = iter(Input(f"/dev/fd/{reader}"))
        pipe.write(b"one\ntw")
        assert next(entries).item == "one"
        pipe.write(b"o\n")
        assert next(entries).item == "two"
    assert list(entries) == []
    os.close(reader)


@given(st.binary(), st.binary(), st.binary(max_size=5))
def test_the_fingerprint(one: bytes, other: bytes, salt: bytes) -> None:
    assert 0 < fingerprint(one, salt) < 2**32
    assert fingerprint(one, salt) == fingerprint(bytes(one), bytes(salt))
    if len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1:
        assert fingerprint(one, salt) != fingerprint(other, salt)


def test_the_fingerprint_is_the_same_in_all_versions() -> None:
    assert fingerprint(b"https://example.org/") == 3437926341


def test_a_short_input_that_was_counted_knows_whether_its_items_differ(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a\nb\n")
    items = Input(str(tmp_path / "in"), comments=True)
    assert not items.distinct  # nobody has looked
    assert items.count() == 2
    assert items.distinct
    (tmp_path / "in").write_text("a\nb\n a\n")
    twice = Input(str(tmp_path / "in"), comments=True)
    assert twice.count() == 3
    assert not twice.distinct
