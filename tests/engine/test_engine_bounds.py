"""What is kept of keys is bounded, however many there are; and a key that is to be left alone is not forgotten for it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from atonce import Outcome
from atonce.engine import keyed
from atonce.engine.circuit import TRIP
from atonce.engine.keyed import KeyedBacklog
from atonce.worker.outbox import Failure, Report


class Silent(Exception):
    unreachable = True


class Polite:
    def __call__(self, item: Any) -> Any:
        return item

    def spacing(self, came: Any) -> float | None:
        return came if isinstance(came, float) else None


class Keys:
    """A backlog whose items are their keys, and what ends in it: `ends` is a value, or an exception."""

    def __init__(self, key: Any = lambda item: item) -> None:
        self.backlog = KeyedBacklog(key, "auto")
        self.backlog.slots(64)
        self.count, self.now = 0, 0.0

    def run(self, key: Any, ends: Any = None, *, final: bool = True) -> int:
        """One item of it from reading to its end; its number."""
        index, backlog = self.count, self.backlog
        self.count += 1
        backlog.extend(index, [key], self.now)
        taken = backlog.take(64, self.now)
        assert [number for number, _, _ in taken] == [index]
        self.now += 0.01
        if isinstance(ends, Exception):
            backlog.told(Report(failures=[Failure(index, ends, self.now - 0.01, self.now, 0.0, None)]), 0, self.now)
        else:
            backlog.told(Report([index], [ends], [self.now - 0.01], [self.now], [0.0], []), 0, self.now)
        backlog.done([index])
        if final:
            backlog.forget([Outcome(index, key, True)])
        return index

    @property
    def sizes(self) -> list[int]:
        inside = self.backlog
        return [len(inside._lanes), len(inside._idle), len(inside._of), len(inside._started), len(inside.gave_up)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([None, 0.0, 5.0, Silent(), ValueError()]), min_size=1, max_size=7), st.booleans())
def test_however_many_keys_there_are_what_is_kept_of_them_is_bounded(story: list[Any], polite: bool) -> None:
    keys = Keys(Polite()) if polite else Keys()
    before, keyed.MOST_IDLE = keyed.MOST_IDLE, 20
    most, keyed.MOST_PROMISED = keyed.MOST_PROMISED, 50
    try:
        for number in range(300):
            keys.run(number, story[number % len(story)])
            keys.backlog.unpark(keys.now)
            keys.backlog.moved.clear()
            assert max(keys.sizes) <= 51
        assert len(keys.backlog._waits) <= 1
    finally:
        keyed.MOST_IDLE, keyed.MOST_PROMISED = before, most


def asked_to_wait(seconds: float) -> Keys:
    """One was, and many others have run since."""
    keys = Keys()
    index = keys.run("asked", final=False)
    keys.backlog.park(index, keys.now + seconds, keys.now)
    keys.backlog.forget([Outcome(index, "asked", True)])
    for number in range(3 * keyed.MOST_IDLE):
        keys.run(number)
    return keys


def test_a_key_that_is_to_be_left_alone_is_not_forgotten_for_others() -> None:
    keys = asked_to_wait(60.0)
    assert keys.now < 60.0
    keys.backlog.extend(keys.count, ["asked"], keys.now)
    assert keys.backlog.take(9, keys.now) == []
    keys.backlog.unpark(61.0)
    assert len(keys.backlog.take(9, 61.0)) == 1


def test_when_its_time_is_over_it_is_forgotten_like_others() -> None:
    keys = asked_to_wait(1.0)
    assert keys.now > 1.0
    assert "asked" not in keys.backlog._lanes


def test_items_of_a_key_that_was_given_up_fail_also_when_they_come_later() -> None:
    keys = Keys()
    keys.backlog.extend(0, ["dead"] * 40, 0.0)
    keys.count = 40
    lost, failed = 0, 0
    while lost + failed < 40:
        for index, _, _ in keys.backlog.take(64, keys.now):
            failed += 1
            keys.backlog.told(Report(failures=[Failure(index, Silent(), keys.now, keys.now, 0.0, None)]), 0, keys.now)
            keys.backlog.done([index])
            keys.backlog.forget([Outcome(index, "dead", False)])
        found = keys.backlog.hopeless(keys.now)
        keys.backlog.forget([Outcome(index, "dead", False) for (index, _, _), _ in found])
        lost += len(found)
        keys.now = max(keys.now, min(keys.backlog.parked_until, keys.now + 60.0))
        keys.backlog.unpark(keys.now)
    assert TRIP <= failed < 40
    assert not keys.backlog.gave_up
    keys.now = keys.backlog._lanes["dead"].promised - 1.0
    keys.backlog.extend(40, ["dead"], keys.now)
    assert [index for (index, _, _), _ in keys.backlog.hopeless(keys.now)] == [40]
