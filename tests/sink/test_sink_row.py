"""Rows become lines and are recognised again, also after others had their hands on them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.sink.row import Body, Head, Row, encoded, inlined, is_json, read_head

texts = st.text(st.characters())  # with lone surrogates
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
rows = st.builds(
    Row,
    index=st.integers(0, 10**12),
    input=st.integers(1, 2**32 - 1),
    ok=st.booleans(),
    fields=st.dictionaries(texts.filter(lambda name: name not in ("path", "bytes")), values, max_size=4),
    body=st.none() | st.builds(Body, st.binary(max_size=30), st.just("00/1.bin"), st.just("body"), st.booleans()),
)


@given(rows)
def test_a_line_holds_the_row(row: Row) -> None:
    line = encoded(row, inlined(row))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert b"\0" not in line
    whole = json.loads(line)
    for name, value in row.fields.items():
        if name not in ("index", "input", "ok", "body", "body_base64"):
            assert whole[name] == value
    if row.body is not None:
        text = whole.get("body") if "body" in whole and row.body.text else None
        data = text.encode() if isinstance(text, str) else base64.b64decode(whole["body_base64"])
        assert data == row.body.data


@given(rows)
def test_the_head_is_read_from_our_own_line_and_from_a_rewritten_one(row: Row) -> None:
    line = encoded(row, row.fields)
    head = Head(row.index, row.input, row.ok)
    assert read_head(line) == head
    backwards = dict(reversed(json.loads(line).items()))
    assert read_head(json.dumps(backwards, indent=None).encode() + b"\n") == head


def test_the_head_has_the_path_of_a_body() -> None:
    row = Row(7, 0xABC, True, {"path": "ab/0.bin", "bytes": 12, "url": "x"})
    assert read_head(encoded(row, row.fields)) == Head(7, 0xABC, True, "ab/0.bin", 12)


def test_fields_do_not_overrule_the_head() -> None:
    row = Row(7, 1, True, {"index": 3, "ok": False})
    assert encoded(row, row.fields) == b'{"index":7,"input":"00000001","ok":true}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"hello\n",
        b"[]\n",
        b"{}\n",
        b'{"index":1}\n',
        b'{"index":"1","input":"00000001","ok":true}\n',
        b'{"index":-1,"input":"00000001","ok":true}\n',
        b'{"index":true,"input":"00000001","ok":true}\n',
        b'{"index":1,"input":"1","ok":true}\n',
        b'{"index":1,"input":"zzzzzzzz","ok":true}\n',
        b'{"index":1,"input":1,"ok":true}\n',
        b'{"index":1,"input":"00000001","ok":1}\n',
        b'{"path":5,"index":1,"input":"00000001","ok":true}\n',
        b'{"index":1,"input":"00000001","ok":true\n',
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_row(line: bytes) -> None:
    assert read_head(line) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, True),
        ({"a": [1, 2.5, "ü", None, True]}, True),
        ((1, 2), True),
        ({1: 2}, True),
        (float("nan"), False),
        ([float("inf")], False),
        ({1, 2}, False),
        (b"x", False),
        (object(), False),
        ({(1, 2): 3}, False),
    ],
)
def test_what_is_json(value: Any, expected: bool) -> None:
    assert is_json(value) is expected


def test_a_value_that_holds_itself_is_not_json() -> None:
    value: list[Any] = []
    value.append(value)
    assert not is_json(value)
