"""What can be known of a function without running it, and what is refused at sight."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from atonce.errors import UsageError
from atonce.plan.function import Facts, look_at


def plain(item: Any) -> Any:
    return item


async def awaited(item: Any) -> Any:
    await asyncio.sleep(0)


def generator(item: Any) -> Iterator[Any]:
    yield item


async def async_generator(item: Any) -> AsyncIterator[Any]:
    yield item


class Calls:
    def __call__(self, item: Any) -> Any:
        return item

    def method(self, item: Any) -> Any:
        return item

    async def amethod(self, item: Any) -> Any:
        return item

    def gmethod(self, item: Any) -> Iterator[Any]:
        yield item


class Awaits:
    async def __call__(self, item: Any) -> Any:
        return item


class Generates:
    def __call__(self, item: Any) -> Iterator[Any]:
        yield item


class BringsItsOwn:
    atonce_runner = "somewhere:Runner"

    def __call__(self, item: Any) -> Any:
        return item


@functools.wraps(awaited)
def wrapper(item: Any) -> Any:
    return awaited(item)


@pytest.mark.parametrize(
    ("fn", "kind", "name"),
    [
        (plain, "sync", "plain"),
        (awaited, "async", "awaited"),
        (functools.partial(plain, 1), "sync", "plain"),
        (functools.partial(functools.partial(awaited, 1), 2), "async", "awaited"),
        (lambda item: item, "unsure", "<lambda>"),
        (Calls(), "unsure", "Calls"),
        (Calls().method, "unsure", "Calls.method"),
        (Calls().amethod, "async", "Calls.amethod"),
        (Awaits(), "async", "Awaits"),
        (int, "sync", "int"),
        (len, "sync", "len"),
        (str.upper, "unsure", "str.upper"),
        (BringsItsOwn(), "own", "BringsItsOwn"),
    ],
)
def test_look_at(fn: Any, kind: str, name: str) -> None:
    facts = look_at(fn)
    assert facts.kind == kind
    assert facts.name == name


def test_a_runner_of_its_own_is_named() -> None:
    assert look_at(BringsItsOwn()) == Facts("BringsItsOwn", "own", "somewhere:Runner")


@pytest.mark.parametrize("fn", [5, None, "print", plain(1), [plain]], ids=["int", "None", "str", "value", "list"])
def test_what_cannot_be_called_is_refused(fn: Any) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        look_at(fn)


@pytest.mark.parametrize(
    "fn",
    [generator, async_generator, functools.partial(generator, 1), Calls().gmethod, Generates()],
    ids=["def", "async def", "partial", "method", "object"],
)
def test_a_generator_function_is_refused_with_a_way_out(fn: Any) -> None:
    with pytest.raises(UsageError, match="generator function") as raised:
        look_at(fn)
    assert "list(" in str(raised.value.hint)


def test_a_coroutine_in_the_functions_place_is_refused() -> None:
    """`atonce.map(fn(1), items)` with an `async def`."""
    coroutine = awaited(1)
    with pytest.raises(UsageError, match="cannot be called"):
        look_at(coroutine)
    coroutine.close()
