"""How far is looked past items that may not start."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from atonce.engine.ahead import EVERY, LEAST, MOST, SOON, Ahead


def asked(ahead: Ahead, waiting: int, rate: float, seconds: float, most: float = math.inf) -> int:
    """For so long, by steps of a look, while `rate` items a second start. How many it looks past in the end."""
    now = 0.0
    ahead.more(waiting, now, most)
    while now < seconds:
        now += EVERY
        ahead.started(round(rate * EVERY))
        ahead.more(waiting, now, most)
    return ahead.items


def test_fewer_than_the_least_may_always_wait() -> None:
    ahead = Ahead()
    assert ahead.more(LEAST - 1, 0.0)
    assert not ahead.more(LEAST, 0.0)
    assert ahead.look_at == EVERY


def test_what_waits_for_long_is_looked_past_further_each_time() -> None:
    ahead = Ahead()
    assert not ahead.more(LEAST, 0.0)
    assert not ahead.more(LEAST, 0.9 * EVERY)
    assert ahead.more(LEAST, EVERY)
    assert ahead.items == 2 * LEAST
    assert not ahead.more(2 * LEAST, EVERY)
    assert ahead.more(2 * LEAST, 2 * EVERY)
    assert ahead.items == 4 * LEAST


def test_what_starts_soon_is_not() -> None:
    assert asked(Ahead(), LEAST, 1.1 * LEAST / SOON, 60.0) == LEAST
    assert asked(Ahead(), LEAST, 0.5 * LEAST / SOON, 60.0) == 2 * LEAST


def test_there_is_an_end() -> None:
    ahead = Ahead()
    assert asked(ahead, MOST, 0.0, 60.0) == MOST
    assert not ahead.more(MOST, 99.0)
    assert ahead.look_at == math.inf
    assert asked(Ahead(), MOST, 0.0, 60.0, 5000.0) == 5000


def test_few_fit_where_they_are_large() -> None:
    """The least is let in however large they are."""
    ahead = Ahead()
    assert asked(ahead, LEAST, 0.0, 60.0, 10.0) == LEAST
    assert ahead.look_at == math.inf


def test_what_went_before_a_pause_says_nothing() -> None:
    """A look that was long ago is begun anew: it was quick then, and is not now."""
    ahead = Ahead()
    ahead.more(LEAST, 0.0)
    ahead.started(100_000)
    assert not ahead.more(LEAST, 1000.0)
    assert ahead.more(LEAST, 1000.0 + EVERY)


@given(st.lists(st.tuples(st.integers(0, 2 * MOST), st.floats(0, 3), st.integers(0, 1000)), max_size=60))
def test_it_only_grows_and_never_asks_to_be_asked_in_the_past(steps: list[tuple[int, float, int]]) -> None:
    ahead, now, before = Ahead(), 0.0, LEAST
    for waiting, seconds, starts in steps:
        now += seconds
        ahead.started(starts)
        more = ahead.more(waiting, now)
        assert before <= ahead.items <= MOST
        assert more == (waiting < ahead.items)
        assert ahead.look_at > now
        before = ahead.items
