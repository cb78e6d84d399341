"""`engine/held.py` against what it stands for: a dict of items and a dict of when they were read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.engine.held import WORTH, Held, Taken, first_of_each


def named(indices: Sequence[int]) -> list[str]:
    return [f"item {index}" for index in indices]


def given_to(held: Held, *batches: Sequence[int]) -> None:
    for at, indices in enumerate(batches):
        held.give(indices, named(indices), float(at))


LONG = range(100, 100 + 4 * WORTH)
AFTER = range(500, 500 + 2 * WORTH)

# what comes back of two batches → whether the second one is still whole
IN_ORDER = {
    "the first": LONG[:1],
    "a slice from the front": LONG[: WORTH + 3],
    "a batch": LONG,
    "more than one batch": [*LONG, *AFTER[:5]],
    "both": [*LONG, *AFTER],
    "as a tuple": tuple(LONG[:5]),
}
OUT_OF_ORDER = {
    "a gap": [*LONG[:4], *LONG[5:9]],
    "the other way round": [*reversed(LONG)],
    "from the middle": LONG[3:6],
    "the second first": AFTER[:3],
    "shuffled over both": [AFTER[2], LONG[7], AFTER[0], LONG[0]],
    "no range, though its ends look like one": [LONG[0], LONG[2], LONG[1], LONG[3]],
}


@pytest.mark.parametrize("told", [*IN_ORDER.values(), *OUT_OF_ORDER.values()], ids=[*IN_ORDER, *OUT_OF_ORDER])
def test_what_is_told_comes_with_its_item_and_time(told: Sequence[int]) -> None:
    held = Held()
    given_to(held, LONG, AFTER)
    taken = held.take(told)
    assert taken is not None
    assert list(taken.items) == named(told)
    assert list(taken.read_at) == [float(index >= AFTER[0]) for index in told]
    assert set(held) == {*LONG, *AFTER} - set(told)
    assert len(held) == len(set(held))


@pytest.mark.parametrize(
    "told", [[99], [*LONG, 7], [LONG[0], LONG[0]], [LONG[-1], LONG[0], LONG[-1]], [*LONG[:5], *LONG[4:9]], range(90, 110)]
)
def test_nothing_is_taken_where_a_row_is_wrong(told: Sequence[int]) -> None:
    held = Held()
    given_to(held, LONG, AFTER)
    assert held.take(told) is None
    assert dict(held) == {index: f"item {index}" for index in [*LONG, *AFTER]}
    taken = held.take(LONG)
    assert taken is not None
    assert list(taken.items) == named(LONG)


def test_a_batch_is_whole_again_for_those_who_come_after_a_failure() -> None:
    """One failure takes apart what is before it, not all that the worker has."""
    held = Held()
    given_to(held, LONG)
    told = [*LONG[:5], *LONG[6:20]]
    assert held.take(told) is not None
    assert held.pop_one(LONG[5]) == (LONG[5], f"item {LONG[5]}", 0.0)
    assert not held._apart
    assert [batch.indices for batch in held._batches] == [LONG[20:]]


def test_it_knows_when_each_was_read() -> None:
    held = Held()
    held.give(LONG, named(LONG), 1.0)
    assert held.read_at(LONG[:3]) == [1.0, 1.0, 1.0]
    assert held.read_at([LONG[4], LONG[2]]) == [1.0, 1.0]
    held.give([10_000], ["late"], [2.0])
    assert held.read_at([10_000, LONG[0]]) == [2.0, 1.0]
    assert math.isnan(held.read_at([99_999])[0])


def test_what_it_was_given_is_not_changed() -> None:
    items = named(LONG)
    held = Held()
    held.give(LONG, items, 0.0)
    held.take(LONG[:9])
    assert items == named(LONG)


def test_small_batches_and_those_not_in_a_row_are_kept_apart() -> None:
    """Whoever has hundreds in flight gets them by the one: going through hundreds of batches would be slow."""
    held = Held()
    given_to(held, LONG[: WORTH - 1], [*AFTER])
    held.give([1, 0], ["one", "zero"], [4.0, 3.0])
    assert not held._batches
    assert held.pop_one(0) == (0, "zero", 3.0)


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Batches in, and rows of them out in an order that is nearly theirs."""
    story: list[tuple[str, Any]] = []
    out: list[int] = []
    first = 0
    for _ in range(draw(st.integers(1, 6))):
        count = draw(st.integers(1, 3 * WORTH))
        batch = range(first, first + count)
        if draw(st.booleans()):
            story.append(("give", batch))
        else:
            story.append(("give", draw(st.permutations(batch))))
        out += batch
        first += count + draw(st.integers(0, 3))
        for _ in range(draw(st.integers(0, 3))):
            if not out:
                break
            if draw(st.integers(0, 4)) == 0:
                index = draw(st.sampled_from(out))
                out.remove(index)
                story.append(("pop", index))
                continue
            count = draw(st.integers(1, len(out)))
            told = out[:count]
            del out[:count]
            story.append(("take", draw(st.permutations(told)) if draw(st.booleans()) else told))
            if draw(st.integers(0, 4)) == 0:
                story.append(("take twice", told))
    return story


@given(stories())
def test_it_is_two_dicts(story: list[tuple[str, Any]]) -> None:
    held, items, times = Held(), {}, {}
    for now, (deed, what) in enumerate(story):
        if deed == "give":
            held.give(what, named(what), float(now))
            items.update(zip(what, named(what), strict=True))
            times.update(dict.fromkeys(what, float(now)))
        elif deed == "pop":
            assert held.pop_one(what) == (what, items.pop(what), times.pop(what))
            assert held.pop_one(what) is None
        elif deed == "take":
            assert held.take(what) == Taken([items.pop(index) for index in what], [times.pop(index) for index in what])
        else:
            assert held.take(what) is None
        assert dict(held) == items
        assert bool(held) == bool(items)
        assert all(index in held for index in items)
        assert what[0] in items or what[0] not in held if deed.startswith("take") else True
    assert held.pop_all() == [(index, items[index], times[index]) for index in sorted(items)]
    assert not held
    assert list(held) == []


def test_the_first_of_each_that_is_known() -> None:
    assert first_of_each([3, 1, 3, 9, 1, 2], {1, 2, 3}) == [True, True, False, False, False, True]
