"""An iterable that blocks, as an async one: everything arrives, in order, never more than a bounded number ahead."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from atonce.cli import feed
from atonce.cli.feed import Fed


def all_of(fed: Fed) -> list[object]:
    async def collect() -> list[object]:
        return [item async for item in fed]

    return asyncio.run(collect())


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_everything_arrives_in_order(count: int) -> None:
    assert all_of(Fed(range(count))) == list(range(count))


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_what_the_iterable_raises_comes_after_its_items(kind: type[Exception]) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise kind("bad")

    got = []

    async def collect() -> None:
        async for item in Fed(items()):
            got.append(item)  # noqa: PERF401

    with pytest.raises(kind, match="bad"):
        asyncio.run(collect())
    assert got == [1]


def test_it_reads_ahead_by_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_AHEAD", 3)
    read, gone = [], threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(100):
                read.append(number)
                yield number
        finally:
            gone.set()

    async def take_two() -> None:
        async with contextlib.aclosing(aiter(Fed(items()))) as fed:  # type: ignore[type-var]
            assert [await anext(fed), await anext(fed)] == [0, 1]

    asyncio.run(take_two())
    assert gone.wait(30)  # the thread has ended
    assert len(read) <= 8
