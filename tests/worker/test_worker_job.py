"""What a worker is given: its cells, and a function made callable for one thread, with its resource entered and exited."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

from atonce.errors import SetupFailed
from atonce.worker.job import Cells, Job, calling, is_async


def plain(item: Any) -> Any:
    return item


async def awaited(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


class Awaits:
    async def __call__(self, item: Any) -> Any:
        return item

    async def method(self, item: Any) -> Any:
        return item


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (plain, False),
        (awaited, True),
        (functools.partial(awaited, 1), True),
        (functools.partial(functools.partial(awaited, 1), 2), True),
        (functools.partial(plain, 1), False),
        (Awaits(), True),
        (Awaits().method, True),
        (Awaits, False),
        (print, False),
        (lambda item: awaited(item), False),
    ],
)
def test_is_async(fn: Any, expected: bool) -> None:
    assert is_async(fn) is expected


def test_cells_say_what_runs_where_and_since_when() -> None:
    cells = Cells(3)
    assert cells.running() == []
    cells.enter(1, 2**40, 12.5)
    cells.enter(0, 7, 13.0)
    assert cells.running() == [(0, 7, 13.0), (1, 2**40, 12.5)]
    cells.leave(1)
    assert cells.running() == [(0, 7, 13.0)]
    cells.clear()
    assert cells.running() == []
    assert Cells(2).running() == []


def test_cells_share_the_memory_they_are_given() -> None:
    memory = memoryview(bytearray(Cells.size(2))).cast("d")
    far, near = Cells(2, memory), Cells(2, memory)
    far.clear()
    far.enter(1, 5, 1.0)
    assert near.running() == [(1, 5, 1.0)]


def test_a_plain_function_is_called_as_it_is() -> None:
    with calling(Job(plain)) as call:
        assert call("x") == "x"


def test_an_async_def_gets_a_loop_of_its_own() -> None:
    with calling(Job(awaited)) as call:
        assert [call(k) for k in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


class Base:
    def __init__(self) -> None:
        self.log: list[str] = []


class Resource(Base):
    def __enter__(self) -> str:
        self.log.append("enter")
        return "the resource"

    def __exit__(self, *_: object) -> None:
        self.log.append("exit")


class AsyncResource(Base):
    async def __aenter__(self) -> str:
        assert asyncio.get_running_loop()
        self.log.append("enter")
        return "the resource"

    async def __aexit__(self, *_: object) -> None:
        self.log.append("exit")


def with_resource(resource: str, item: Any) -> tuple[str, Any]:
    return resource, item


async def awith_resource(resource: str, item: Any) -> tuple[str, Any]:
    return resource, item


@pytest.mark.parametrize(
    ("fn", "kind"),
    [(with_resource, Resource), (awith_resource, Resource), (awith_resource, AsyncResource)],
    ids=["sync", "async with a sync resource", "async"],
)
def test_a_resource_is_entered_given_and_exited(fn: Any, kind: type[Base]) -> None:
    resource = kind()
    with calling(Job(fn, lambda: resource)) as call:
        assert resource.log == ["enter"]
        assert call(1) == ("the resource", 1)
    assert resource.log == ["enter", "exit"]


@pytest.mark.parametrize("kind", [Resource, AsyncResource])
def test_a_resource_is_exited_when_the_block_raises(kind: type[Base]) -> None:
    resource = kind()
    fn = awith_resource if kind is AsyncResource else with_resource
    with pytest.raises(LookupError), calling(Job(fn, lambda: resource)):
        raise LookupError
    assert resource.log == ["enter", "exit"]


def fails() -> Any:
    raise LookupError("nobody there")


def exits() -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("setup", "fn", "text"),
    [
        (fails, with_resource, "nobody there"),
        (fails, awith_resource, "nobody there"),
        (exits, with_resource, "SystemExit"),
        (lambda: None, with_resource, "not a context manager"),
        (AsyncResource, with_resource, "use it with an async def"),
        (lambda: 5, awith_resource, "context manager"),
    ],
    ids=["raises", "raises, async", "exits", "gives None", "async one for a def", "gives a number, async"],
)
def test_a_setup_that_gives_no_resource_is_a_setup_failure(setup: Any, fn: Any, text: str) -> None:
    with pytest.raises(SetupFailed) as raised, calling(Job(fn, setup)):
        pass
    assert text in str(raised.value)


def test_two_threads_have_two_resources() -> None:
    made: list[Resource] = []

    def setup() -> Resource:
        made.append(Resource())
        return made[-1]

    def run() -> None:
        with calling(Job(with_resource, setup)) as call:
            call(1)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [resource.log for resource in made] == [["enter", "exit"]] * 2
