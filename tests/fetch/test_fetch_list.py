"""A list of URLs that is read at once is what it is line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.errors import InputError
from atonce.fetch.request import Request, requests_of
from atonce.source.inputs import Entry, Input

USUAL = "http://a.example/x?y=%20z\nhttps://b.example:8443/\nhttp://a.example/x?y=%20z"


def read(text: str, path: Path) -> tuple[list[Entry], list[Entry]]:
    path.write_bytes(text.encode())
    kept = []
    for parse_all in (requests_of, None):
        items = Input(str(path), kind="text", comments=True, parse=Request.of, parse_all=parse_all, salt="-H")
        assert items.count() == len(list(items))
        kept.append(list(items))
    return kept[0], kept[1]


@pytest.mark.parametrize(
    "text",
    [
        USUAL,
        f"{USUAL}\n",
        f"{USUAL}\n\n",
        f"{USUAL}\r\n",
        f"# a comment\n{USUAL}",
        f"\ufeff{USUAL}",
        f" {USUAL}",
        f"{USUAL}/./a/../b\nhttp://UPPER.example/#fragment\nhttp://user:word@c.example/\nhttp://d.example\nhttp://[::1]/",
        "http://0x7f.1/\nhttp://e.example:80/\nhttp://\u00fc.example/\u00e4",
    ],
)
def test_at_once_or_line_by_line(text: str, tmp_path: Path) -> None:
    at_once, by_line = read(text, tmp_path / "in")
    assert at_once == by_line
    assert at_once


def test_the_usual_is_read_at_once() -> None:
    assert requests_of(USUAL) == [Request(line) for line in USUAL.split("\n")]


@pytest.mark.parametrize("line", ["", "ftp://a.example/", "http://999.1/", "http:///b", "http://-/", "x" * 100_000])
def test_what_is_not_usual_is_looked_at(line: str, tmp_path: Path) -> None:
    assert requests_of(f"{USUAL}\n{line}\nhttp://a.example/") is None
    if line:
        with pytest.raises(InputError, match="in, line 4"):
            read(f"{USUAL}\n{line}\nhttp://a.example/", tmp_path / "in")
