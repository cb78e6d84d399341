"""Late items and suspects, by themselves."""

from __future__ import annotations

import math
from typing import Any

import pytest

from atonce.engine.backlog import Queued
from atonce.engine.late import BACKSTOP, Doomed, Stuck, late
from atonce.engine.seat import Seat
from atonce.engine.suspects import Suspects
from atonce.worker.job import CARRYING

TIMEOUT = 2.0


def seat(*items: int, **more: Any) -> Seat:
    one = Seat(4, **more)
    one.give(items, [f"item {index}" for index in items], 0.0)
    return one


@pytest.mark.parametrize(
    ("who", "running", "at", "found", "look_at"),
    [
        ({}, [(0, 7, 10.0)], 11.0, [], 12.0),
        ({}, [(0, 7, 10.0)], 12.0, [Doomed(3, [7])], math.inf),
        ({}, [(0, 7, 10.0), (1, 8, 10.5), (2, 9, 11.5)], 12.6, [Doomed(3, [7, 8])], math.inf),
        ({}, [(0, 6, 1.0)], 12.0, [], 14.0),  # finished, its report is under way
        ({"can_abandon": True}, [(0, 7, 10.0), (1, 8, 11.0)], 12.0, [Stuck(3, 0, 7, 10.0)], 13.0),
        ({"enforces_timeout": True}, [(0, 7, 10.0)], 12.0, [], 12.0 + BACKSTOP),
        ({"enforces_timeout": True}, [(0, 7, 10.0)], 12.0 + BACKSTOP, [Doomed(3, [7])], math.inf),
        ({}, [(CARRYING, -1, 10.0)], 12.0, [], 14.0),
        ({}, [(CARRYING, -1, 10.0)], 12.0 + BACKSTOP, [Doomed(3, [])], math.inf),  # nobody knows which one it unpickles
        ({"killed": True}, [(0, 7, 10.0)], 99.0, [], math.inf),
    ],
)
def test_what_is_late_and_when_to_look_again(
    who: dict[str, Any], running: list[tuple[int, int, float]], at: float, found: list[Stuck | Doomed], look_at: float
) -> None:
    assert late({3: seat(7, 8, 9, **who)}, {3: running}, TIMEOUT, at) == (found, look_at)


def test_a_worker_with_one_item_is_late_with_that_one_while_it_unpickles() -> None:
    assert late({0: seat(7)}, {0: [(CARRYING, -1, 0.0)]}, TIMEOUT, TIMEOUT + BACKSTOP) == ([Doomed(0, [7])], math.inf)


def test_a_worker_without_items_is_never_late() -> None:
    assert late({0: seat()}, {0: [(0, 1, 0.0)]}, TIMEOUT, 99.0) == ([], math.inf)


def queued(*indices: int) -> list[Queued]:
    return [(index, f"item {index}", 0.0) for index in indices]


def drained(suspects: Suspects) -> list[list[int]]:
    groups = []
    while (group := suspects.next(lambda indices: True)) is not None:
        groups.append([index for index, _, _ in group])
    return groups


@pytest.mark.parametrize(("one_by_one", "groups"), [(False, [[1, 2, 3], [4, 5]]), (True, [[1], [2], [3], [4], [5]])])
def test_suspects_run_in_halves_or_one_by_one(one_by_one: bool, groups: list[list[int]]) -> None:
    suspects = Suspects(one_by_one=one_by_one)
    suspects.among(queued(1, 2, 3, 4, 5))
    assert drained(suspects) == groups


def test_a_group_that_may_not_start_lets_others_go_first() -> None:
    suspects = Suspects(one_by_one=True)
    suspects.each(queued(1, 2))
    assert suspects.next(lambda indices: indices == [2]) == queued(2)
    assert suspects.next(lambda indices: False) is None
    assert drained(suspects) == [[1]]


def test_one_that_waits_alone_can_be_withdrawn() -> None:
    suspects = Suspects(one_by_one=False)
    suspects.among(queued(1, 2, 3))
    assert suspects.withdraw(1) is None  # it shares its turn
    assert suspects.withdraw(3) == queued(3)[0]
    assert drained(suspects) == [[1, 2]]
