"""With the garbage collector off nothing keeps an item, a value or an exception alive that its owner has let go.

What only a collector frees is freed late: a page of 100 MB that waits for one is a leak while it lasts. One thing cannot be
had: an exception holds the frames that it came through, and these the frames that called them. Where the caller's own thread
runs the item (`sync`, and `auto` where it chooses that) they are the caller's, with all they hold, as with a loop and a `try`
of her own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import atonce
from atonce.errors import ItemTimeout

# Where the collector is needed for what failed.
INLINE = ("sync", "auto")

MODELS: dict[str, dict[str, Any]] = {
    "sync": {"model": "sync"},
    "coroutines": {"model": "coroutines", "concurrency": 3},
    "threads": {"model": "threads", "concurrency": 3},
    "auto": {"model": "auto"},
    "processes": {"model": "processes", "parallelism": 2},
    "hybrid-threads": {"model": "hybrid", "parallelism": 2, "concurrency": 3},
    "hybrid-coroutines": {"model": "hybrid", "parallelism": 2, "concurrency": 3},
}


class Thing:
    """Can be watched, and travels."""

    def __init__(self, number: int) -> None:
        self.number = number


class Sad(Exception):
    pass


def turned(thing: Thing) -> Thing:
    if thing.number % 3 == 1:
        raise Sad(thing.number)
    return Thing(-thing.number)


async def aturned(thing: Thing) -> Thing:
    await asyncio.sleep(0)
    return turned(thing)


def function(model: str) -> Any:
    return aturned if "coroutines" in model else turned


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Watch:
    """Weak references to all that went in and came out."""

    def __init__(self) -> None:
        self.items: list[weakref.ref[Any]] = []
        self.results: list[weakref.ref[Any]] = []

    def things(self, count: int) -> Iterator[Thing]:
        for number in range(count):
            thing = Thing(number)
            self.items.append(weakref.ref(thing))
            yield thing
            del thing

    def result(self, result: Any) -> None:
        self.results.append(weakref.ref(result))

    def alive(self, model: str = "") -> list[str]:
        if model in INLINE:
            gc.collect()
        kept = [f"item {ref().number}" for ref in self.items if ref() is not None]
        return kept + [repr(ref()) for ref in self.results if ref() is not None]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", MODELS)
def test_run_keeps_nothing(model: str) -> None:
    watch = Watch()
    run = atonce.run(function(model), watch.things(20), **MODELS[model])
    for outcome in run.outcomes:
        watch.result(outcome.value or outcome.error)
    assert len(watch.results) == 20
    del run, outcome
    assert watch.alive(model) == []


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", MODELS)
def test_map_keeps_nothing(model: str) -> None:
    watch = Watch()
    for result in atonce.map(function(model), watch.things(20), errors="return", **MODELS[model]):
        watch.result(result)
    del result
    assert len(watch.results) == 20
    assert watch.alive(model) == []


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", INLINE)
def test_what_goes_well_is_let_go_at_once_in_the_callers_thread_too(model: str) -> None:
    watch = Watch()
    for value in atonce.map(well, watch.things(20), **MODELS[model]):
        watch.result(value)
    del value
    assert watch.alive() == []


def well(thing: Thing) -> Thing:
    return Thing(-thing.number)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", MODELS)
def test_amap_keeps_nothing(model: str) -> None:
    watch = Watch()

    async def main() -> None:
        async for result in atonce.amap(function(model), watch.things(20), errors="return", **MODELS[model]):
            watch.result(result)

    asyncio.run(main())
    assert len(watch.results) == 20
    assert watch.alive() == []


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", MODELS)
def test_a_map_that_raises_keeps_nothing(model: str) -> None:
    watch = Watch()
    try:
        for result in atonce.map(function(model), watch.things(20), **MODELS[model]):
            watch.result(result)
    except Sad as error:
        watch.result(error)
    del result
    assert len(watch.results) == 2
    assert watch.alive(model) == []


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", MODELS)
def test_a_stream_that_is_left_early_keeps_nothing(model: str) -> None:
    watch = Watch()
    with contextlib.closing(atonce.stream(function(model), watch.things(1000), **MODELS[model])) as outcomes:
        outcome = next(outcomes)
        watch.result(outcome.value or outcome.error)
    del outcome, outcomes
    assert watch.alive() == []


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("model", ["coroutines", "threads", "processes", "hybrid-threads"])
def test_the_executor_keeps_nothing(model: str) -> None:
    watch = Watch()
    options = {name: value for name, value in MODELS[model].items() if name != "model"}
    with atonce.Executor(MODELS[model]["model"], **options) as executor:
        futures = [executor.submit(function(model), thing) for thing in watch.things(20)]
        for future in futures:
            watch.result(future.exception() or future.result())
    del futures, future
    assert watch.alive() == []


@pytest.mark.usefixtures("no_collector")
def test_an_item_that_hangs_is_let_go_with_its_run() -> None:
    """A coroutine that was cancelled, and the exception that stands for it."""

    async def hang(thing: Thing) -> None:
        if thing.number == 2:
            await asyncio.Event().wait()

    watch = Watch()
    run = atonce.run(hang, watch.things(5), model="coroutines", concurrency=3, timeout=0.05)
    assert [type(outcome.error) for outcome in run.failures] == [ItemTimeout]
    watch.result(run.failures[0].error)
    del run
    assert watch.alive() == []
