"""Functions of every kind are taken, wherever they run."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atonce

from .shape import Awaits, Shape, check

__all__: list[str] = []  # they are `contract.CHECKS`


def _plus(a: int, b: int) -> int:
    return a + b


async def _aplus(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


async def _aone_more(item: int) -> int:
    await asyncio.sleep(0)
    return item + 1


def _one_more(item: int) -> int:
    return item + 1


class _Adder:
    def __init__(self, by: int) -> None:
        self.by = by

    def method(self, item: int) -> int:
        return item + self.by

    async def amethod(self, item: int) -> int:
        await asyncio.sleep(0)
        return item + self.by

    def __call__(self, item: int) -> int:
        return item + self.by

    @classmethod
    def of_class(cls, item: int) -> int:
        return item + 1

    @staticmethod
    def of_none(item: int) -> int:
        return item + 1


def functions(shape: Shape) -> dict[str, Callable[[int], Any]]:
    """Each adds one."""
    by = 1

    def closure(item: int) -> int:
        return item + by

    async def aclosure(item: int) -> int:
        await asyncio.sleep(0)
        return item + by

    if shape.awaits:
        kinds: dict[str, Callable[[int], Any]] = {
            "async def": _aone_more,
            "closure": aclosure,
            "partial": functools.partial(_aplus, 1),
            "bound method": _Adder(1).amethod,
            "callable object": Awaits(_one_more),
        }
        if shape.options["model"] == "coroutines":  # elsewhere nobody can tell beforehand that it gives a coroutine
            kinds["lambda"] = lambda item: _aone_more(item)
        return kinds
    return {
        "def": _one_more,
        "closure": closure,
        "lambda": lambda item: item + by,
        "partial": functools.partial(_plus, 1),
        "bound method": _Adder(1).method,
        "class method": _Adder.of_class,
        "static method": _Adder.of_none,
        "callable object": _Adder(1),
        "builtin": (1).__add__,
        "class": _OneMore,
    }


class _OneMore:
    def __init__(self, item: int) -> None:
        self.number = item + 1

    def __eq__(self, other: object) -> bool:
        return self.number == other

    __hash__ = None  # type: ignore[assignment]


@check
def every_kind_of_function_is_taken(shape: Shape, folder: Path) -> None:
    for kind, fn in functions(shape).items():
        assert list(atonce.map(fn, range(5), **shape.options)) == [1, 2, 3, 4, 5], kind


@check
def an_async_def_is_awaited_wherever_it_runs(shape: Shape, folder: Path) -> None:
    """Also where calls run one after another or in threads: each thread has a loop then."""
    assert list(atonce.map(_aone_more, range(20), **shape.options)) == list(range(1, 21))
