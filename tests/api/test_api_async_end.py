"""How a run of an async caller ends: with the caller's loop, by somebody else's cancellation, and what becomes of its items."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.engine import conductor
from atonce.errors import RunError

pytestmark = pytest.mark.timeout(40, method="signal")


async def forth(x: int) -> int:
    await asyncio.sleep(0)
    return x


@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize("left_by", ["break", "raise", "return"])
def test_a_loop_that_ends_with_an_open_iterator_has_nothing_to_say(left_by: str, progress: bool) -> None:
    """Of a generator within a generator, and of tasks that are begun while the loop cancels all, it had."""
    said: list[dict[str, Any]] = []
    kept: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        values = atonce.amap(forth, iter(int, 1), model="coroutines", concurrency=8, progress=progress)
        if left_by == "return":
            kept.append(values)
            await anext(values)
            return
        async for _ in values:
            if left_by == "raise":
                raise KeyError
            break

    with contextlib.suppress(KeyError):
        asyncio.run(main())
    kept.clear()
    gc.collect()
    assert said == []


def test_items_whose_tasks_somebody_else_cancels_end_the_run() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def hang(x: int) -> None:
            begun.set()
            await asyncio.Event().wait()

        run = asyncio.create_task(atonce.arun(hang, range(100), model="coroutines", concurrency=4))
        await begun.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task(), run}:
            task.cancel()
        with pytest.raises(RunError, match="cancelled"):
            await run

    asyncio.run(main())


def test_an_async_generator_of_items_is_closed_when_its_run_has_ended() -> None:
    async def main() -> None:
        ended = []

        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await asyncio.sleep(0)
                ended.append(True)

        source = items()
        async with contextlib.aclosing(atonce.amap(forth, source, model="coroutines")) as values:  # type: ignore[type-var]
            await anext(values)
        assert ended == [True]

    asyncio.run(main())


class SlowToLeave:
    """Its exit takes until the caller's loop has had another turn."""

    loop: asyncio.AbstractEventLoop

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        turned = threading.Event()
        self.loop.call_soon_threadsafe(turned.set)
        assert turned.wait(10), "the loop is held up"


@pytest.mark.parametrize("cancel", [False, True])
def test_the_loop_goes_on_while_threads_leave_their_resources(cancel: bool) -> None:
    async def main() -> None:
        SlowToLeave.loop = asyncio.get_running_loop()
        stream = atonce.astream(lambda _, x: x, range(9) if not cancel else iter(int, 1), setup=SlowToLeave, model="threads")
        async with contextlib.aclosing(stream) as outcomes:  # type: ignore[type-var]
            async for outcome in outcomes:
                assert outcome.ok
                if cancel:
                    break

    asyncio.run(main())


def test_the_loop_goes_on_while_processes_leave_their_resources(tmp_path: Path) -> None:
    asked, told = tmp_path / "asked", tmp_path / "told"
    os.mkfifo(asked)
    os.mkfifo(told)

    class Resource:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *exc: object) -> None:
            asked.write_text("may I?")
            assert told.read_text() == "yes"

    async def answer() -> None:
        await asyncio.to_thread(asked.read_text)
        await asyncio.to_thread(told.write_text, "yes")

    async def main() -> None:
        answering = asyncio.create_task(answer())
        run = await atonce.arun(lambda _, x: x, range(9), setup=Resource, model="processes", parallelism=1)
        await answering
        assert run.values == [*range(9)]

    asyncio.run(main())


def test_a_caller_who_is_cancelled_does_not_wait_for_a_resource_that_does_not_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "PATIENCE", 0.01)
    gate = threading.Event()

    async def main() -> None:
        loop, leaving = asyncio.get_running_loop(), asyncio.Event()

        @contextlib.contextmanager
        def resource() -> Iterator[None]:
            yield
            loop.call_soon_threadsafe(leaving.set)
            gate.wait()

        run = asyncio.create_task(atonce.arun(lambda _, x: x, range(9), setup=resource, model="threads", concurrency=1))
        await leaving.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        closing = [thread for thread in threading.enumerate() if thread.name == "atonce-close"]
        gate.set()
        for thread in closing:
            thread.join()
        assert len(closing) == 1

    asyncio.run(main())


def test_where_no_thread_is_to_be_had_a_run_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at exit, from Python 3.12 on."""

    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        stream = atonce.astream(abs, range(9), model="processes", parallelism=1)
        async with contextlib.aclosing(stream) as outcomes:  # type: ignore[type-var]
            async for outcome in outcomes:
                assert outcome.ok
                monkeypatch.setattr(threading.Thread, "start", none_left)

    asyncio.run(main())


def cancelled_within() -> AsyncIterator[int]:
    async def items() -> AsyncIterator[int]:
        yield 1
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
        yield 2

    return items()


async def exits() -> AsyncIterator[int]:
    yield 1
    raise SystemExit(3)


def test_items_that_end_by_a_cancellation_of_their_own_are_not_all() -> None:
    with pytest.raises(asyncio.CancelledError):
        list(atonce.map(abs, cancelled_within(), model="threads"))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(atonce.arun(forth, cancelled_within(), model="coroutines"))  # type: ignore[arg-type]


def test_items_that_exit_the_program_do_so() -> None:
    with pytest.raises(SystemExit):
        list(atonce.map(abs, exits(), model="threads"))
