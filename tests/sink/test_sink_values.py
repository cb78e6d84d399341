"""No value of a function is lost on its way into a row."""

from __future__ import annotations

import base64
import json
import pickle
import threading
from decimal import Decimal
from typing import Any

import pytest

from atonce.outcome import Outcome, WorkerId
from atonce.sink.row import encoded, inlined
from atonce.sink.values import value_row


def recorded(**fields: Any) -> dict[str, Any]:
    outcome = Outcome(0, {"id": 5}, **{"ok": True, "started": 5.0, "ended": 7.5, "worker": WorkerId(1, 2, 3), **fields})
    row = value_row(outcome, 12, 0xAB, lambda seconds: 1000 + seconds)
    whole: dict[str, Any] = json.loads(encoded(row, inlined(row)))
    return whole


def test_the_row_of_a_success() -> None:
    assert recorded(value=[1, "a"]) == {
        "index": 12,
        "input": "000000ab",
        "ok": True,
        "item": {"id": 5},
        "value": [1, "a"],
        "attempts": 1,
        "started_at": 1005.0,
        "seconds": 2.5,
    }


def test_the_row_of_a_failure() -> None:
    try:
        raise ValueError("bad")
    except ValueError as error:
        row = recorded(ok=False, error=error, attempts=3)
    assert (row["ok"], row["error_type"], row["error"], row["attempts"]) == (False, "ValueError", "bad", 3)
    assert row["traceback"].startswith("Traceback")
    assert "value" not in row


def test_an_item_that_never_started() -> None:
    assert recorded(ok=False, error=OSError("x"), worker=None)["started_at"] is None


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": None}, "\ud800"])
def test_json_is_written_as_it_is(value: Any) -> None:
    assert recorded(value=value)["value"] == value


@pytest.mark.parametrize("value", [b"", b"\xff\0", bytearray(b"ab")])
def test_bytes_are_base64(value: bytes) -> None:
    row = recorded(value=value)
    assert base64.b64decode(row["value_base64"]) == value
    assert "value" not in row


@pytest.mark.parametrize("value", [{1, 2}, Decimal("1.5"), 1j, float("inf"), {"a": float("-inf")}, {(1, 2): 3}])
def test_anything_else_is_pickled(value: Any) -> None:
    row = recorded(value=value)
    assert pickle.loads(base64.b64decode(row["value_pickle"])) == value
    assert row["value_repr"] == repr(value)
    assert "value" not in row


def test_what_cannot_be_kept_is_a_failure() -> None:
    row = recorded(value=threading.Lock())
    assert row["ok"] is False
    assert row["error_type"] == "atonce.errors.NotCarried"
    assert "lock" in row["error"]


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def test_a_repr_that_raises() -> None:
    assert "RuntimeError" in recorded(value=Rude())["value_repr"]
