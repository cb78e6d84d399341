"""The backlogs: first in, first out; keys take turns, are limited and parked."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atonce.engine.backlog import Backlog, Queued
from atonce.engine.keyed import KeyedBacklog


def indices(taken: list[Queued]) -> list[int]:
    return [index for index, _, _ in taken]


@pytest.mark.parametrize("make", [Backlog, lambda: KeyedBacklog(lambda item: 0, None)], ids=["plain", "one key"])
def test_first_in_first_out(make: type[Backlog]) -> None:
    backlog = make()
    assert backlog.extend(0, "abc", 1.0) == []
    assert backlog.extend(3, "de", 2.0) == []
    assert len(backlog) == 5
    assert backlog.take(2, 3.0) == [(0, "a", 1.0), (1, "b", 1.0)]
    backlog.first((1, "b", 1.0))
    assert backlog.take(10, 3.0) == [(1, "b", 1.0), (2, "c", 1.0), (3, "d", 2.0), (4, "e", 2.0)]
    assert not len(backlog)
    assert backlog.take(1, 3.0) == []


def test_keys_take_turns() -> None:
    backlog = KeyedBacklog(lambda item: item[0], None)
    backlog.extend(0, ["a0", "a1", "a2", "b0", "b1", "c0"], 0.0)
    assert [item for _, item, _ in backlog.take(9, 0.0)] == ["a0", "b0", "c0", "a1", "b1", "a2"]


def test_at_most_per_key_until_done() -> None:
    backlog = KeyedBacklog(lambda item: item, 2)
    backlog.extend(0, "aaab", 0.0)
    assert sorted(indices(backlog.take(9, 0.0))) == [0, 1, 3]
    assert backlog.take(9, 0.0) == []
    backlog.done([1])
    assert indices(backlog.take(9, 0.0)) == [2]
    assert len(backlog) == 0


def test_done_twice_frees_one_place_once() -> None:
    backlog = KeyedBacklog(lambda item: item, 1)
    backlog.extend(0, "aaa", 0.0)
    assert indices(backlog.take(9, 0.0)) == [0]
    backlog.done([0])
    backlog.done([0, 77])
    assert indices(backlog.take(9, 0.0)) == [1]
    assert backlog.take(9, 0.0) == []


def test_a_parked_key_waits_and_others_do_not() -> None:
    backlog = KeyedBacklog(lambda item: item, None)
    backlog.extend(0, "aab", 0.0)
    backlog.park(0, 5.0, 0.0)
    backlog.park(1, 3.0, 0.0)  # the same key: an earlier end does not shorten it
    assert backlog.parked_until == 5.0
    assert indices(backlog.take(9, 0.0)) == [2]
    backlog.unpark(4.9)
    assert backlog.take(9, 4.9) == []
    backlog.unpark(5.0)
    assert indices(backlog.take(9, 5.0)) == [0, 1]
    assert backlog.parked_until == math.inf


def test_a_key_function_that_raises_costs_its_item() -> None:
    def key(item: object) -> object:
        if item == "bad":
            raise ValueError("no key")
        return item

    backlog = KeyedBacklog(key, 1)
    failed = backlog.extend(0, ["a", "bad", ["a list is no key"], "b"], 0.0)
    assert [(index, item, type(error)) for index, item, error in failed] == [
        (1, "bad", ValueError),
        (2, ["a list is no key"], TypeError),
    ]
    assert sorted(indices(backlog.take(9, 0.0))) == [0, 3]


def test_the_key_function_is_called_once_an_item() -> None:
    """It may be dear, or raise the second time."""
    asked: list[str] = []
    backlog = KeyedBacklog(lambda item: asked.append(item) or item, 1)  # type: ignore[func-returns-value]
    backlog.extend(0, "ab", 0.0)
    taken = backlog.take(2, 0.0)
    backlog.done([0, 1])
    for queued in reversed(taken):
        backlog.first(queued)
    backlog.park(0, 1.0, 0.0)
    backlog.unpark(1.0)
    assert sorted(indices(backlog.take(2, 1.0))) == [0, 1]
    assert asked == ["a", "b"]


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 3), st.data())
def test_each_item_leaves_once_and_a_key_in_its_order(items: list[str], per_key: int, data: st.DataObject) -> None:
    backlog = KeyedBacklog(lambda item: item, per_key)
    backlog.extend(0, items, 0.0)
    running: list[Queued] = []
    out: list[Queued] = []
    while len(out) < len(items):
        taken = backlog.take(data.draw(st.integers(1, 5)), 0.0)
        assert taken or running
        out += taken
        running += taken
        assert all(count <= per_key for count in Counter(item for _, item, _ in running).values())
        if running:
            backlog.done([running.pop(data.draw(st.integers(0, len(running) - 1)))[0]])
    assert len(backlog) == 0
    for key in "abc":
        assert [i for i, item, _ in out if item == key] == [i for i, item in enumerate(items) if item == key]


class Backlogs(RuleBasedStateMachine):
    """Any sequence of extend, take, requeue, done and park, against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = KeyedBacklog(lambda item: item, 2)
        self.waiting: dict[int, str] = {}
        self.running: dict[int, str] = {}
        self.parked: dict[str, float] = {}
        self.count = 0
        self.now = 0.0

    @rule(items=st.text("abc", min_size=1, max_size=6))
    def extend(self, items: str) -> None:
        self.backlog.extend(self.count, items, self.now)
        for item in items:
            self.waiting[self.count] = item
            self.count += 1

    @rule(count=st.integers(1, 6))
    def take(self, count: int) -> None:
        taken = self.backlog.take(count, self.now)
        for index, item, _ in taken:
            assert self.waiting.pop(index) == item
            assert item not in self.parked
            self.running[index] = item
        in_flight = Counter(self.running.values())
        assert all(number <= 2 for number in in_flight.values())
        if len(taken) < count:  # it gave all it could
            assert all(item in self.parked or in_flight[item] == 2 for item in self.waiting.values())

    @precondition(lambda self: self.running)
    @rule(data=st.data(), again=st.booleans())
    def done(self, data: st.DataObject, again: bool) -> None:
        index = data.draw(st.sampled_from(sorted(self.running)))
        item = self.running.pop(index)
        self.backlog.done([index])
        if again:
            self.backlog.first((index, item, self.now))
            self.waiting[index] = item

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=st.data(), seconds=st.floats(0.1, 10))
    def park(self, data: st.DataObject, seconds: float) -> None:
        known = self.waiting | self.running
        index = data.draw(st.sampled_from(sorted(known)))
        item = known[index]
        self.backlog.park(index, self.now + seconds, self.now)
        self.parked[item] = max(self.parked.get(item, 0.0), self.now + seconds)

    @rule(seconds=st.floats(0.1, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.backlog.unpark(self.now)
        self.parked = {item: until for item, until in self.parked.items() if until > self.now}

    @invariant()
    def sizes_agree(self) -> None:
        assert len(self.backlog) == len(self.waiting)
        assert self.backlog.parked_until == min(self.parked.values(), default=math.inf)


TestBacklogs = Backlogs.TestCase
