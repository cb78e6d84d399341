"""Callers of every kind get the same: async ones, threads, runs inside of runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import atonce

from .shape import PATIENCE, Awaits, Shape, check
from .tools import Hanging, Log, Odd, double, odd_fail, same

__all__: list[str] = []  # they are `contract.CHECKS`


@check
def async_callers_get_the_same(shape: Shape, folder: Path) -> None:
    async def main() -> None:
        fn = shape.of(odd_fail)
        outcomes = [outcome async for outcome in atonce.astream(fn, range(50), **shape.options)]
        assert Counter(outcome.index for outcome in outcomes) == Counter(range(50))
        values = [value async for value in atonce.amap(fn, range(50), errors="skip", **shape.options)]
        assert values == list(range(0, 50, 2))
        run = await atonce.arun(fn, range(50), **shape.options)
        assert run.values == values
        assert [outcome.index for outcome in run.outcomes] == list(range(50))
        try:
            async for value in atonce.amap(fn, range(50), **shape.options):
                assert value == 0
        except Odd as error:
            assert error.args == (1,)  # noqa: PT017
        else:
            raise AssertionError("amap did not raise")

    asyncio.run(main())


@check
def the_callers_loop_goes_on_meanwhile(shape: Shape, folder: Path) -> None:
    """Items wait for something that another task of the caller's loop does."""
    log = Log(folder / "log")

    async def main() -> None:
        async def bystander() -> None:
            while len(log.lines()) < 1:  # noqa: ASYNC110 - what it waits for is a file
                await asyncio.sleep(0.001)
            log.write("seen")

        beside = asyncio.create_task(bystander())
        run = await atonce.arun(shape.of(_WaitsForTwo(log), beside=True), [1], **shape.options)
        await beside
        assert run.values == [1]

    asyncio.run(main())


class _WaitsForTwo:
    def __init__(self, log: Log) -> None:
        self.log = log

    def __call__(self, item: int) -> int:
        self.log.write("here")
        self.log.wait_for(2)
        return item


@check
def async_sources_are_read(shape: Shape, folder: Path) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(50):
            await asyncio.sleep(0)
            yield number

    async def main() -> list[Any]:
        return [value async for value in atonce.amap(shape.of(double), source(), **shape.options)]

    expected = [2 * item for item in range(50)]
    assert list(atonce.map(shape.of(double), source(), **shape.options)) == expected
    assert asyncio.run(main()) == expected


@check
def an_async_source_that_raises_ends_the_run_after_what_it_gave(shape: Shape, folder: Path) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(5):
            yield number
        raise LookupError("no more")

    async def main() -> None:
        await atonce.arun(shape.of(double), source(), **shape.options)

    for call in (lambda: atonce.run(shape.of(double), source(), **shape.options), lambda: asyncio.run(main())):
        try:
            call()
        except LookupError as error:
            assert [outcome.value for outcome in error.run.outcomes] == [0, 2, 4, 6, 8]  # type: ignore[attr-defined]  # noqa: PT017
        else:
            raise AssertionError("what the source raised was swallowed")


@check
def an_async_source_is_closed_when_the_loop_is_left_early(shape: Shape, folder: Path) -> None:
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
        finally:
            closed.append("source")

    async def main() -> None:
        async with contextlib.aclosing(atonce.amap(shape.of(double), source(), **shape.options)) as values:  # type: ignore[type-var]
            async for _ in values:
                break

    for _ in atonce.map(shape.of(double), source(), **shape.options):
        break
    asyncio.run(main())
    gc.collect()
    assert closed == ["source", "source"]


@check
def a_sync_call_inside_a_running_loop_works(shape: Shape, folder: Path) -> None:
    """As in a notebook."""

    async def main() -> list[Any]:
        return list(atonce.map(shape.of(double), range(20), **shape.options))

    assert asyncio.run(main()) == [2 * item for item in range(20)]


@check
def several_threads_may_call_at_once(shape: Shape, folder: Path) -> None:
    threads = 4
    together = threading.Barrier(threads)
    results: list[list[Any]] = []

    def call() -> None:
        together.wait(PATIENCE)
        results.append(list(atonce.map(shape.of(double), range(100), **shape.options)))

    callers = [threading.Thread(target=call) for _ in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [[2 * item for item in range(100)]] * threads


@check
def runs_may_be_interleaved_in_one_thread(shape: Shape, folder: Path) -> None:
    one = atonce.map(shape.of(double), range(30), **shape.options)
    two = atonce.map(shape.of(double), range(30), **shape.options)
    assert list(zip(one, two, strict=True)) == [(2 * item, 2 * item) for item in range(30)]


@check
def a_run_inside_an_item_works(shape: Shape, folder: Path) -> None:
    fn = shape.of(functools.partial(_nested, dict(shape.options), shape.awaits), beside=True)
    assert list(atonce.map(fn, range(3), **shape.options)) == [0, 6, 12]


def _nested(options: dict[str, Any], awaits: bool, item: int) -> int:
    fn: Callable[[int], Any] = Awaits(double) if awaits else double
    return sum(atonce.map(fn, [item, item, item], **options))


@check
def cancelling_arun_ends_the_run(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    with Hanging(*range(100), log=log) as hang:

        async def main() -> None:
            run = asyncio.create_task(atonce.arun(hang.for_(shape), range(100), **shape.options))
            while not log.lines():  # noqa: ASYNC110 - what it waits for is a file
                await asyncio.sleep(0.001)
            run.cancel()
            try:
                await run
            except asyncio.CancelledError:
                return
            raise AssertionError("the cancellation was swallowed")

        asyncio.run(main())
    assert len(log.lines()) < 100


@check
def closing_astream_early_ends_the_run(shape: Shape, folder: Path) -> None:
    async def main() -> None:
        async with contextlib.aclosing(atonce.astream(shape.of(double), itertools.count(), **shape.options)) as outcomes:  # type: ignore[type-var]
            async for outcome in outcomes:
                assert outcome.ok
                break
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@check
def a_finished_run_keeps_no_item_alive(shape: Shape, folder: Path) -> None:
    """No cycle, no cache: with the collector off, the last reference is the caller's."""
    if not shape.here:
        return
    gc.collect()
    gc.disable()
    try:
        items = [_Weighty() for _ in range(20)]
        assert len(list(atonce.map(shape.of(same), items, **shape.options))) == 20
        if shape.options["model"] not in (
            "sync",
            "auto",
        ):  # there a traceback holds the caller's own frames, as in a plain loop
            for outcome in atonce.stream(shape.of(_fail), items, **shape.options):
                assert not outcome.ok
            del outcome
        del items
        assert _Weighty.alive == 0
    finally:
        gc.enable()
        _Weighty.alive = 0


class _Weighty:
    alive = 0

    def __init__(self) -> None:
        type(self).alive += 1

    def __del__(self) -> None:
        type(self).alive -= 1


def _fail(item: Any) -> None:
    raise ValueError("no")
