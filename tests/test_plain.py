"""Text that is only looked at: labels of items are short, whatever the item is."""

from __future__ import annotations

from typing import Any

import pytest

from atonce.plain import WIDTH, label, sayable


class Worse:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("a text", "a text"),
        ("x" * 1000, "x" * WIDTH),
        (7, "7"),
        (1.5, "1.5"),
        (None, "None"),
        ((1, "two"), "(1, 'two')"),
        ({"url": "https://a.example", "n": 1}, "{'url': 'https://a.example', 'n': 1}"),
        ([1] * 100, "[1, 1, 1, 1, 1, 1, ...]"),
        ([[[1]]], "[[[1]]]"),
    ],
)
def test_a_label(item: Any, text: str) -> None:
    assert label(item) == text


LOOPS: list[Any] = []
LOOPS.append(LOOPS)
ODD = {
    "raises": Worse(),
    "in a list": [Worse()],
    "in a dict": {"a": Worse()},
    "a long key": {"a" * 5000: 1},
    "long": ["x" * 10**6] * 3,
    "digits": 10**5000,
    "text": "x" * 10**6,
    "object": object(),
    "loop": LOOPS,
    "deep": [[[[[[[[1]]]]]]]],
    "wide": {number: number for number in range(10**5)},
}


@pytest.mark.parametrize("item", ODD.values(), ids=ODD)
def test_whatever_it_is_it_has_one(item: Any) -> None:
    assert 0 < len(label(item)) <= 6 * WIDTH


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", "é 한…"), ("latin-1", "é \\ud55c..."), ("ascii", "\\xe9 \\ud55c...")],
)
def test_what_an_encoding_lacks_is_said_otherwise(encoding: str, said: str) -> None:
    assert sayable("é 한…", encoding) == said
