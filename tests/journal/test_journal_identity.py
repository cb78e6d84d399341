"""Functions and items are known again in another process, and a change of either is noticed."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.source.identity import SHORT, changes, digest, identity, prints, shown_by


class Colour(enum.IntEnum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    names: frozenset[str] = frozenset(("a", "bb", "ccc", "dddd"))


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, item: int) -> int:
        return item * self.factor

    def times(self, item: int) -> int:
        return item * self.factor


Pair = collections.namedtuple("Pair", "a b")


def made(source: str, name: str = "f", **variables: Any) -> Callable[..., Any]:
    """The function that this source defines, as if it stood in a module."""
    space = {"__name__": "shop", **variables}
    exec(compile(source, "shop.py", "exec"), space)
    return space[name]  # type: ignore[no-any-return]


# ── the same ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TELLS = """
import collections, dataclasses, datetime, decimal, functools, pathlib, re, sys, threading
sys.path.insert(0, sys.argv[1])
from test_journal_identity import *

def outer(n, lock, names):
    def f(item, *, words={"x", "yy", "zzz"}):
        return lock, item in {"a", "b", "c", "d"} or [y + n for y in names] or (lambda z: z + n)(item)
    return f

f = outer(3, threading.Lock(), {"q", "qq", "qqq"})
print(identity(functools.partial(f, 5, words={"u", "v", "w"})))
print(identity(lambda item: item in ("a", "b") and {"a", "b"}))
print(identity(Scale(3)), identity(Scale(3).times), identity(len), identity(str.upper), identity(Point))
items = [{"a": {"x", "y", "z"}}, Point(1), [Point(2)], {Point(3), Point(4), "five"}, Colour.RED, Pair(1, "b")]
items += [pathlib.Path("/a"), decimal.Decimal("1.5"), datetime.datetime(2020, 1, 1), re.compile("a+")]
items += [threading.Lock(), (i for i in "ab"), collections.OrderedDict(a=1), object(), print, sys, Scale]
print([prints([item])[0][0] for item in items])
"""


def test_everything_is_the_same_in_another_process() -> None:
    """Whatever the hash seed, which decides the order of sets."""
    told = {
        subprocess.run(
            [sys.executable, "-c", TELLS, str(pathlib.Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=40,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
    assert len(told.pop().splitlines()) == 4


def test_a_function_that_moved_is_the_same() -> None:
    source = "def f(item):\n    return [item + 1 for _ in 'ab'], lambda: item\n"
    assert identity(made(source)) == identity(made("\n\n# a comment\n\n" + source))
    assert identity(made("f = lambda x: x * 2")) == identity(made("\nf = (lambda x:\n  x  *  2)"))


def test_equal_items_are_the_same_whatever_they_share() -> None:
    """A pickle would tell one object twice from two equal ones."""
    word = "".join(["wo", "rd"])
    assert prints([(word, word)]) == prints([("word", "".join(["w", "ord"]))])
    one, other = Point(1), Point(1)
    assert digest([one, one]) == digest([one, other])


# ── not the same ─────────────────────────────────────────────────────────────────────────────────────────────────────

PLAIN = "def f(item, n=2):\n    return item + 1\n"


@pytest.mark.parametrize(
    ("before", "now", "part"),
    [
        (PLAIN, PLAIN.replace("+ 1", "+ 2"), "its code"),
        (PLAIN, PLAIN.replace("+ 1", "- 1"), "its code"),
        (PLAIN, PLAIN.replace("n=2", "n=3"), "its default values"),
        (PLAIN, PLAIN.replace("n=2", "n"), "its default values"),
        (PLAIN.replace("1", "len(item)"), PLAIN.replace("1", "sum(item)"), "its code"),
        (PLAIN.replace("1", "[_ + 1 for _ in 'ab']"), PLAIN.replace("1", "[_ + 2 for _ in 'ab']"), "its code"),
        (PLAIN.replace("1", "(lambda: 1)()"), PLAIN.replace("1", "(lambda: 2)()"), "its code"),
        (PLAIN.replace("1", "1.0"), PLAIN, "its code"),
        (PLAIN.replace("1", "True"), PLAIN, "its code"),
        ("def g(): pass\nf = g", PLAIN, "its name (it was shop:g)"),
        ("async " + PLAIN, PLAIN, "its code"),
    ],
)
def test_a_change_of_a_function_is_named(before: str, now: str, part: str) -> None:
    assert part in changes(identity(made(before)), identity(made(now)))


def closing(n: Any) -> Callable[[int], Any]:
    return lambda item: item + n


def test_a_change_of_what_belongs_to_a_function_is_named() -> None:
    def differ(before: Any, now: Any) -> list[str]:
        return changes(identity(before), identity(now))

    assert differ(closing(1), closing(1)) == []
    assert differ(closing(1), closing(2)) == ["'n', which it closes over"]
    assert differ(closing(len), closing(sum)) == ["'n', which it closes over"]
    assert differ(closing(closing(1)), closing(closing(2))) == ["'n', which it closes over"]
    assert differ(closing(threading.Lock()), closing(threading.Lock())) == []
    assert differ(closing(threading.Lock()), closing(open)) == ["'n', which it closes over"]
    assert differ(functools.partial(pow, 2), functools.partial(pow, 3)) == ["the arguments of the partial"]
    assert differ(functools.partial(pow, exp=2), functools.partial(pow, exp=3)) == ["exp= of the partial"]
    assert differ(Scale(2), Scale(3)) == ["its attributes"]
    assert differ(Scale(2).times, Scale(3).times) == ["the object that it is a method of"]
    assert differ(len, sum) == ["its name (it was builtins:len)"]
    assert differ(functools.cache(closing(1)), functools.cache(closing(2))) == ["'n', which it closes over"]


def test_a_setup_counts_by_its_name() -> None:
    bare, with_setup = identity(len), identity(len, functools.partial(open, "a"))
    assert changes(bare, with_setup) == ["the name of setup= (it was none)"]
    assert changes(with_setup, identity(len, functools.partial(open, "b"))) == []


def test_another_version_of_python_is_told_as_that_alone() -> None:
    now = identity(closing(1))
    before = {**now, "the version of Python": "cpython-39", "its code": "?"}
    assert changes(before, now) == ["the version of Python (it was cpython-39)"]


PLAIN_ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(st.lists(PLAIN_ITEMS, max_size=5))
def test_the_print_of_an_item_does_not_depend_on_its_company(items: list[Any]) -> None:
    """Among objects a batch is printed item by item, and the prints are the same."""
    assert prints([*items, Point(1)])[:-1] == prints(items) == [prints([item])[0] for item in items]


@given(PLAIN_ITEMS)
def test_a_short_item_is_shown_as_it_is(item: Any) -> None:
    ((_, kept),) = prints([item])
    assert len(kept) <= 7 * SHORT
    if not kept.startswith(b"="):
        assert shown_by(kept) == repr(item)[:200]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (5, "5"),
        ("a" * 500, repr("a" * 100)[:100]),
        (list(range(1000)), "a list of 5,005 bytes"),
        (Colour.RED, "<Colour.RED: 1>"),
        (Pair(1, [2]), "Pair(a=1, b=[2])"),
        (Pair(1, [2] * 10_000), "a Pair of 50,021 bytes"),
        ("\udc80", repr("\udc80")),
    ],
)
def test_how_an_item_is_shown(item: Any, text: str) -> None:
    assert shown_by(prints([item])[0][1]) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), ("1", b"1"), ([1], (1,)), (Point(1), Point(2)), (Colour.RED, 1), (Pair(1, 2), (1, 2)), ({}, set())],
)
def test_items_that_differ_have_different_prints(one: Any, other: Any) -> None:
    assert prints([one])[0][0] != prints([other])[0][0]


def test_what_contains_itself_or_is_very_deep_has_a_print() -> None:
    inside: list[Any] = [Point(1)]
    inside.append(inside)
    deep: list[Any] = [Point(1)]
    for _ in range(100_000):
        deep = [deep]
    assert len(prints([inside, deep])) == 2
    while deep:  # freeing it in one go would need as deep a stack
        deep = deep[0] if isinstance(deep[0], list) else []


def test_an_object_that_is_met_often_is_digested_once() -> None:
    """Else a chain of pairs would take two to the power of its length."""
    chain: Any = Scale(1)
    for _ in range(60):
        node = Scale(1)
        node.one = node.other = chain  # type: ignore[attr-defined]
        chain = node
    assert len(digest(chain)) == 16


def test_an_object_that_cannot_be_taken_apart_counts_by_its_type() -> None:
    class Stubborn:
        def __reduce_ex__(self, protocol: Any) -> Any:
            raise RuntimeError

        def __repr__(self) -> str:
            raise RuntimeError

    ((check, kept),) = prints([Stubborn()])
    assert prints([Stubborn()])[0][0] == check
    assert "Stubborn" in shown_by(kept)
