"""Finished items in columns: outcomes when somebody goes through them, and not before."""

from __future__ import annotations

import weakref
from itertools import repeat

from atonce.engine.finished import Finished
from atonce.engine.order import InOrder
from atonce.outcome import Outcome, WorkerId

WHO = WorkerId(1, 2, 0)


class Thing:
    pass


def finished(*indices: int, read_at: float = 1.0) -> Finished:
    """Items that follow one another, a second each, the first at 2."""
    count = len(indices)
    started = [2.0 + k for k in range(count)]
    return Finished(
        indices,
        [f"item {index}" for index in indices],
        [f"value {index}" for index in indices],
        repeat(1),
        [read_at] * count,
        started,
        [start + 1 for start in started],
        [0.5] * count,
        [WHO] * count,
    )


def test_each_is_an_outcome_as_often_as_they_are_gone_through() -> None:
    batch = finished(7, 8)
    outcomes = [
        Outcome(7, "item 7", True, "value 7", None, 1, 2.0, 3.0, 1.0, 0.5, WHO),
        Outcome(8, "item 8", True, "value 8", None, 1, 3.0, 4.0, 2.0, 0.5, WHO),
    ]
    assert len(batch) == 2
    assert [*batch] == [*batch] == outcomes
    assert all(type(outcome) is Outcome for outcome in batch)
    assert outcomes[0] in batch
    assert outcomes[0]._replace(value="another") not in batch


def test_an_item_that_came_after_its_start_has_not_waited() -> None:
    # the end of an item counts as the start of the next
    assert [outcome.waited for outcome in finished(0, 1, 2, read_at=3.5)] == [0.0, 0.0, 0.5]


def test_what_was_gone_through_is_not_kept() -> None:
    thing = Thing()
    seen = weakref.ref(thing)
    columns = ([1.0], [2.0], [2.0], [0.0], [WHO])
    outcomes = iter(Finished([0], [None], [thing], repeat(1), *columns))
    del thing
    assert [outcome.index for outcome in outcomes] == [0]
    del outcomes
    assert seen() is None


def test_a_batch_that_is_next_in_line_passes_as_it_is() -> None:
    order = InOrder()
    assert order.take(batch := finished(0, 1)) is batch
    assert [*order.take(finished(3))] == []
    assert [outcome.index for outcome in order.take(finished(2))] == [2, 3]
