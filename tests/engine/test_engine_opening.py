"""How many connections are opened at a time: as many as the limit says, until they are seen to wait for one another."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limit_scenarios import DOORS, OF_A_KEY, SEEDS, geomean, measure, seconds_of
from limit_servers import Handshakes
from limit_simulator import OneKey, simulate

from atonce.engine.opening import SELDOM, Opening

USUAL = 0.02


def opened(took: list[float], others: int = 5) -> Opening:
    """Four connections being opened, which took so long, beside items that had one already."""
    opening = Opening(4)
    for item in range(4):
        opening.started(item, item, 0.0)
    for item, seconds in enumerate(took):
        opening.answered(item, seconds)
        for other in range(others):
            opening.answered(100 + other, USUAL)
    return opening


def test_a_queue_of_new_connections_leaves_one_at_a_time() -> None:
    opening = opened([0.05, 0.08, 0.11, 0.14])
    assert opening.dear
    assert opening.open == 4
    assert opening.room == 5


def test_connections_that_are_slow_each_for_itself_are_not_held_back() -> None:
    opening = opened([0.2, 0.2, 0.21, 0.29])
    assert not opening.dear
    assert opening.room == 4 + 4 + 4 * 2


def test_while_they_take_the_same_many_more_are_opened() -> None:
    opening = opened([0.2, 0.2, 0.21, 0.22])
    assert opening.room == 4 + 4 + 3 * 2 + 5  # four of them, to know


def test_what_is_known_to_have_opened_none_tells_nothing_of_new_ones() -> None:
    """A server that serves two: the quick answers over their connections are no reason to open more."""
    opening = Opening(4)
    for item in range(4):
        opening.started(item, item, 0.0)
    opening.answered(0, 0.2, opened=True)
    opening.answered(1, 0.2, opened=True)
    room = opening.room
    for item in range(10, 60):
        opening.started(item, 4, 1.0)
        opening.answered(item, USUAL, opened=False)
    assert (opening.open, opening.room) == (2, room)


def test_where_more_are_accepted_than_served_no_more_are_opened() -> None:
    opening = Opening(4)
    for item in range(4):
        opening.started(item, item, 0.0)
    opening.answered(0, USUAL, opened=True)
    opening.answered(1, USUAL, opened=True)
    for item in (2, 3):
        opening.passed_over(item)
        opening.left(item)
    assert (opening.open, opening.room) == (2, 2)
    for item in range(10, 10 + round(1 / SELDOM) + 1):  # one more is tried now and then
        opening.started(item, 1, 1.0)
        assert not opening.fresh
        opening.answered(item, USUAL, opened=False)
    assert opening.room == 3
    opening.started(9999, 2, 2.0)
    assert opening.fresh
    opening.answered(9999, USUAL, opened=True)  # it is served, so the next may try
    assert (opening.open, opening.room) == (3, 4)


def test_there_are_not_as_many_as_it_seemed_where_one_of_them_is_passed_over() -> None:
    opening = Opening(4)
    for item in range(3):
        opening.started(item, item, 0.0)
        opening.answered(item, USUAL)
    opening.started(10, 2, 1.0)  # over one that was there, as it seemed
    opening.passed_over(10)
    opening.left(10)
    assert (opening.open, opening.room) == (2, 2)
    for item in range(20, 25):  # and one there is, whatever happens
        opening.passed_over(item)
    assert opening.room == 1


def test_without_anything_to_compare_with_nothing_is_held_back() -> None:
    assert not opened([0.05, 0.08, 0.11, 0.14], others=0).dear


def test_one_slow_answer_says_nothing() -> None:
    assert not opened([0.02, 0.021, 0.02, 1.0]).dear


def test_what_went_over_a_connection_that_was_there_makes_a_little_room_and_counts_for_none() -> None:
    opening = opened([0.05, 0.08, 0.11, 0.14])
    for item in range(10, 12):
        opening.started(item, opening.open, 1.0)
        opening.answered(item, USUAL)
    assert (opening.open, opening.width) == (4, 2.0)


def test_one_that_failed_opened_nothing_and_holds_nobody_back() -> None:
    opening = Opening(1)
    opening.started(0, 0, 0.0)
    assert opening.room == 1
    opening.left(0)
    assert (opening.open, opening.room) == (0, 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.floats(0, 10)), max_size=200), st.integers(1, 9))
def test_there_is_always_room_for_one_more_than_there_are_connections(story: list[tuple[int, bool, float]], start: int) -> None:
    opening, running, now = Opening(start), set[int](), 0.0
    for item, ok, seconds in story:
        now += seconds
        if item not in running:
            if len(running) < opening.room:
                opening.started(item, len(running), now)
                running.add(item)
        else:
            if ok:
                opening.answered(item, seconds)
            opening.left(item)
            running.discard(item)
        assert opening.room >= opening.open + 1
        assert opening.width >= 1


def test_it_is_nearly_as_quick_as_the_best_fixed_limit_where_connections_are_dear() -> None:
    dear = [scenario for scenario in DOORS if isinstance(server := scenario.server(1.0), Handshakes) and server.one_by_one]
    rows = {scenario.name: measure(OneKey, scenario, SEEDS) for scenario in dear}
    assert geomean([row.ratio for row in rows.values()]) <= 1.4, rows
    assert max(row.worst for row in rows.values()) <= 2.0, rows


def test_the_limit_alone_does_not_see_the_price_of_a_connection() -> None:
    """The control of the test above."""
    assert measure(OF_A_KEY["the limit alone"], DOORS[1], SEEDS).ratio > 3


@pytest.mark.slow
def test_where_connections_cost_nothing_it_changes_next_to_nothing() -> None:
    for scenario in DOORS:
        if isinstance(scenario.server(1.0), Handshakes):
            continue
        with_it, without = (
            statistics.median(seconds_of(OF_A_KEY[name], scenario, seed).seconds for seed in SEEDS)
            for name in ("adaptive", "the limit alone")
        )
        assert with_it <= 1.15 * without, scenario.name


def test_a_door_that_has_become_cheap_is_noticed() -> None:
    server = Handshakes(0.05, 0.02)
    limiter = OneKey()
    simulate(limiter, server, 500, seed=1)
    assert limiter.lane.opening is not None
    before, server.cost = limiter.lane.opening.room, 0.0
    simulate(limiter, server, 5000, seed=2)
    assert limiter.lane.opening.room > 4 * before
