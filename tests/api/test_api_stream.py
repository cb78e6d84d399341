"""What `stream` gives is an iterator that can be gone on with, and closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import atonce


def same(item: int) -> int:
    return item


def test_what_one_loop_has_left_the_next_goes_on_with() -> None:
    outcomes = atonce.stream(same, range(10), model="sync")
    seen = [next(outcomes).index]
    for outcome in outcomes:
        seen.append(outcome.index)
        if outcome.index == 4:
            break
    seen += [outcome.index for outcome in outcomes]
    assert seen == list(range(10))
    assert next(outcomes, None) is None


def test_nothing_is_read_before_the_first_is_asked_for_or_after_the_last() -> None:
    read: list[int] = []
    ended: list[bool] = []

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                read.append(number)
                yield number
        finally:
            ended.append(True)

    outcomes: Any = atonce.stream(same, source := items(), model="sync")
    assert read == []
    assert next(outcomes).value == 0
    outcomes.close()
    assert [*outcomes] == []
    assert next(outcomes, None) is None
    count = len(read)
    assert count < 1000
    source.close()
    assert (len(read), ended) == (count, [True])


def test_leaving_a_loop_ends_the_run() -> None:
    left: list[str] = []

    class Resource:
        def __enter__(self) -> Resource:
            return self

        def __exit__(self, *_: object) -> None:
            left.append("left")

    def work(resource: Resource, item: int) -> int:
        return item

    for _ in atonce.stream(work, range(1000), model="sync", setup=Resource):
        break
    assert left == ["left"]
