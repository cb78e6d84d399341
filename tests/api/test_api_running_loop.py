"""Callers that run an event loop, such as a cell of a notebook: the plain functions work there, and the async ones need one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

import atonce
from atonce.errors import UsageError

pytestmark = pytest.mark.timeout(40, method="signal")


def double(x: int) -> int:
    return 2 * x


async def double_later(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


EXPECTED = [0, 2, 4, 6, 8]
MODELS = ["auto", "sync", "coroutines", "threads", "processes", "hybrid"]


CASES = [(fn, model) for fn in (double, double_later) for model in MODELS if (fn, model) != (double, "coroutines")]


@pytest.mark.parametrize(("fn", "model"), CASES)
def test_the_plain_functions_inside_of_a_running_loop(fn: Callable[..., Any], model: str) -> None:
    async def caller() -> None:
        assert list(atonce.map(fn, range(5), model=model)) == EXPECTED
        assert atonce.run(fn, range(5), model=model).values == EXPECTED
        assert (await atonce.arun(fn, range(5), model=model)).values == EXPECTED
        assert [value async for value in atonce.amap(fn, range(5), model=model)] == EXPECTED

    asyncio.run(caller())


@pytest.mark.parametrize("setup", [None, asyncio.Lock], ids=["", "setup"])
def test_a_caller_who_is_cancelled_in_each_turn_of_the_loop_leaves_nothing(setup: Any) -> None:
    """As anyio's scopes do, hence Starlette with a client that has gone: the run ends, and all of its items before it."""
    begun, ended = [], []

    async def hang(*args: Any) -> None:
        begun.append(args[-1])
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            ended.append(args[-1])

    async def main() -> None:
        run = asyncio.create_task(atonce.arun(hang, range(4), concurrency=4, setup=setup, model="coroutines"))
        while len(begun) < 4:
            await asyncio.sleep(0)
        while not run.done():
            run.cancel()
            await asyncio.sleep(0)
        assert run.cancelled()
        assert sorted(ended) == [0, 1, 2, 3]

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 has it")
@pytest.mark.parametrize("concurrency", [1, 4, "auto"])
def test_a_loop_whose_tasks_begin_at_once(concurrency: Any) -> None:
    """Within `create_task`, that is: a slot began before it was known to have begun."""

    async def items() -> AsyncIterator[int]:
        for item in range(100):
            yield item

    async def second_fails(x: int) -> int:
        if x == 1:
            raise ValueError
        return x

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        for fn in (double_later, second_fails):
            run = await atonce.arun(fn, items(), concurrency=concurrency)  # type: ignore[arg-type]
            assert [outcome.index for outcome in run.outcomes] == [*range(100)]
            assert len(run.failures) == (fn is second_fails)

    asyncio.run(main())


def step(coroutine: Coroutine[Any, Any, Any]) -> None:
    """As a loop that is not asyncio's would."""
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


async def first(iterator: Any) -> None:
    async for _ in iterator:
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda: atonce.arun(double, [1]),
        lambda: first(atonce.amap(double, [1])),
        lambda: first(atonce.astream(double, [1])),
        lambda: first(atonce.afetch(["http://127.0.0.1:1/"])),
    ],
    ids=["arun", "amap", "astream", "afetch"],
)
def test_without_asyncios_loop_it_is_said_what_to_do(call: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="no running asyncio event loop") as caught:
        step(call())
    assert "to_thread" in str(caught.value)
