"""Sources: lazy, in pieces that do not keep the driver, and honest about how they ended."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.source import PushSource, Source, length_of
from atonce.source.awaited import AsyncSource

LONG = 20.0


# ── sync ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 300), st.lists(st.integers(1, 50), min_size=1))
def test_every_item_comes_once_in_order(count: int, asks: list[int]) -> None:
    source = Source(iter(range(count)))
    read: list[int] = []
    for ask in itertools.cycle(asks):
        came = source.read(ask)
        assert len(came) <= ask
        read += came
        if source.ended:
            break
    assert read == list(range(count))
    assert source.error is None
    assert not source.pending


def test_no_more_is_read_than_is_asked_for() -> None:
    taken = itertools.count()
    source = Source(taken)
    for _ in range(20):
        while len(source.read(7)) < 7:
            pass
    assert next(taken) <= 20 * 7 + 20 * 7


def test_nothing_is_read_before_it_is_asked_for() -> None:
    taken = itertools.count()
    Source(taken)
    assert next(taken) == 0


def test_what_the_iterable_raises_is_kept_with_what_came_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no more")

    source = Source(items())
    read: list[int] = []
    while not source.ended:
        read += source.read(10)
    assert read == [1, 2]
    assert isinstance(source.error, LookupError)
    assert source.read(10) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_not_kept(stop: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise stop

    source = Source(items())
    with pytest.raises(stop):
        while not source.ended:
            source.read(10)


def test_an_iterable_that_cannot_be_begun_raises_at_once() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise LookupError

    with pytest.raises(LookupError):
        Source(Broken())


def test_a_closed_source_has_ended() -> None:
    source = Source(itertools.count())
    source.read(3)
    source.close()
    assert source.ended
    assert source.read(3) == []


class Listed:
    def __len__(self) -> int:
        return 3


class Broken:
    def __len__(self) -> int:
        raise RuntimeError("nobody knows")


class Huge:
    def __len__(self) -> int:
        return 2**70


@pytest.mark.parametrize(
    ("items", "expected"),
    [([1, 2], 2), ("abc", 3), (range(10**9), 10**9), (iter([1]), None), (Listed(), 3), (Broken(), None), (Huge(), None)],
    ids=["list", "text", "range", "iterator", "object", "raises", "too large"],
)
def test_length_of(items: Any, expected: int | None) -> None:
    assert length_of(items) == expected


# ── pushed ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pushed_items_come_in_order_and_wake_the_reader() -> None:
    woken: list[bool] = []
    source = PushSource(lambda: woken.append(True))
    assert source.pending
    assert not source.ended
    for item in "abc":
        source.push(item)
    assert len(woken) == 3
    assert not source.pending
    assert source.read(2) == ["a", "b"]
    source.close()
    assert not source.ended  # one is left
    assert source.read(2) == ["c"]
    assert source.ended
    assert not source.pending


def test_pushed_from_many_threads_nothing_is_lost() -> None:
    source = PushSource(lambda: None)
    threads = [threading.Thread(target=lambda: [source.push(k) for k in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(source.read(10_000)) == sorted(list(range(500)) * 4)


# ── async ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reader:
    """Reads an `AsyncSource` from a thread as a driver does: asks, and sleeps until it is woken."""

    def __init__(self, items: Any) -> None:
        self.woken = threading.Event()
        self.source = AsyncSource(items, self.woken.set, None)

    def all(self, ask: int = 5) -> list[Any]:
        read: list[Any] = []
        while True:
            self.woken.clear()
            read += self.source.read(ask)
            if self.source.ended:
                return read
            if self.source.pending:
                assert self.woken.wait(LONG)


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        if number % 3 == 0:
            await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize("count", [0, 1, 5, 100])
@pytest.mark.parametrize("ask", [1, 7, 1000])
def test_an_async_iterable_is_read_in_a_loop_of_its_own(count: int, ask: int) -> None:
    reader = Reader(numbers(count))
    assert reader.all(ask) == list(range(count))
    assert reader.source.error is None
    reader.source.close()


def test_an_async_iterable_is_read_only_as_far_as_there_is_room() -> None:
    reached = 0
    passed_five = threading.Event()

    async def endless() -> AsyncIterator[int]:
        nonlocal reached
        for reached in itertools.count():
            if reached > 40:
                passed_five.set()
            yield reached

    reader = Reader(endless())
    read: list[int] = []
    while len(read) < 5:
        reader.woken.clear()
        read += reader.source.read(5 - len(read))
        if reader.source.pending:
            reader.woken.wait(LONG)
    reader.source.close()
    assert read == [0, 1, 2, 3, 4]
    assert not passed_five.is_set()
    assert reached <= 5 + 2 * 5


def test_what_an_async_iterable_raises_is_kept() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    reader = Reader(items())
    assert reader.all() == [1]
    assert isinstance(reader.source.error, LookupError)
    reader.source.close()


def test_closing_ends_an_async_iterable_that_waits_for_ever() -> None:
    closed: list[bool] = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    reader = Reader(items())
    while not reader.source.read(5):
        reader.woken.wait(LONG)
        reader.woken.clear()
    reader.source.close()
    assert closed == [True]
    assert reader.source.ended


def test_closing_ends_an_async_iterable_that_has_not_been_asked() -> None:
    reader = Reader(numbers(10))
    reader.source.close()
    assert reader.source.ended


def test_in_the_callers_loop_it_is_read_by_the_callers_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        async def items() -> AsyncIterator[asyncio.AbstractEventLoop]:
            for _ in range(10):
                await asyncio.sleep(0)
                yield asyncio.get_running_loop()

        source = AsyncSource(items(), woken.set, loop)
        read: list[Any] = []
        while not source.ended:
            woken.clear()
            read += source.read(3)
            if source.pending:
                await woken.wait()
        source.close()
        assert read == [loop] * 10

    asyncio.run(main())
