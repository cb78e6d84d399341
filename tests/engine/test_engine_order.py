"""Order: whatever comes in whatever batches leaves in input order, each once, and nothing is held that need not be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atonce.engine.order import AsFinished, InOrder
from atonce.outcome import Outcome


def outcomes(*indices: int) -> list[Outcome[int]]:
    return [Outcome(index, index, True, index) for index in indices]


@st.composite
def shuffled_batches(draw: st.DrawFn) -> list[list[int]]:
    order = draw(st.permutations(range(draw(st.integers(0, 40)))))
    batches: list[list[int]] = []
    while order:
        size = draw(st.integers(1, len(order)))
        batches.append(list(order[:size]))
        order = order[size:]
    return batches


@given(shuffled_batches())
def test_in_order_gives_each_once_as_soon_as_it_can(batches: list[list[int]]) -> None:
    order = InOrder()
    out: list[int] = []
    came: set[int] = set()
    for batch in batches:
        came.update(batch)
        out += [outcome.index for outcome in order.take(outcomes(*batch))]
        ready = next(index for index in range(len(came) + 1) if index not in came)  # the first that is missing
        assert out == list(range(ready))
        assert order.first == ready
        assert order.held == len(came) - ready
    assert order.held == 0


def test_a_batch_that_is_next_in_line_is_passed_on_as_it_is() -> None:
    order = InOrder()
    batch = outcomes(0, 1, 2)
    assert order.take(batch) is batch


def test_a_batch_that_only_looks_like_the_next_is_not() -> None:
    order = InOrder()
    assert [outcome.index for outcome in order.take(outcomes(0, 2, 1, 3))] == [0, 1, 2, 3]


def test_as_finished_holds_nothing() -> None:
    order = AsFinished()
    batch = outcomes(5, 1, 3)
    assert order.take(batch) is batch
    assert order.held == 0
