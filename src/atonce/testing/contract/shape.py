"""What a check is and what it is given: the shapes, each a model and how it is asked for."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["PATIENCE", "SHAPES", "Awaits", "Check", "Shape", "check", "checks", "name_of"]

# Seconds that something may take which must happen; only a check that fails takes them.
PATIENCE = 30.0


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model and how it is asked for.

    `options`: the keywords. `awaits`: its functions are `async def`. `here`: items run in this process, so nothing is pickled,
    and an item that ends its process ends everything. `at_once`: how many items are in flight
    at most, all of them if there are enough items; None when that is the model's own choice. `threads_at_once`: into how
    many threads of execution at most a `setup` is entered. `kills`: a death costs one item. `keeps_timeout`: else refuses.
    `own_process`: where items do not run `here`, whether that is in another process.
    """

    name: str
    options: Mapping[str, Any]
    awaits: bool = False
    here: bool = True
    at_once: int | None = None
    threads_at_once: int | None = None
    kills: bool = False
    keeps_timeout: bool = True
    own_process: bool = True

    def of(self, plain: Callable[..., Any], *, beside: bool = False) -> Callable[..., Any]:
        """The function as this model takes it; `beside`: it blocks, so that a coroutine of it must wait in a thread."""
        return Awaits(plain, beside) if self.awaits else plain

    def __str__(self) -> str:
        return self.name


SHAPES = (
    Shape("sync", {"model": "sync"}, at_once=1, threads_at_once=1, keeps_timeout=False),
    Shape("coroutines", {"model": "coroutines", "concurrency": 4}, awaits=True, at_once=4, threads_at_once=1),
    Shape("threads", {"model": "threads", "concurrency": 4}, at_once=4, threads_at_once=4),
    Shape("processes", {"model": "processes", "parallelism": 2}, here=False, at_once=2, threads_at_once=2, kills=True),
    Shape(
        "hybrid-threads",
        {"model": "hybrid", "parallelism": 2, "concurrency": 2},
        here=False,
        at_once=4,
        threads_at_once=4,
        kills=True,
    ),
    Shape(
        "hybrid-coroutines",
        {"model": "hybrid", "parallelism": 2, "concurrency": 2},
        awaits=True,
        here=False,
        at_once=4,
        threads_at_once=2,
        kills=True,
    ),
    Shape("auto", {"model": "auto"}),
    Shape("auto-async", {"model": "auto"}, awaits=True),
)

Check = Callable[[Shape, Path], None]
checks: list[Check] = []


def check(function: Check) -> Check:
    """Add to the contract."""
    checks.append(function)
    return function


def name_of(check: Check) -> str:
    """A readable id."""
    return getattr(check, "__name__", repr(check))


class Awaits:
    """An `async def` around a plain function."""

    def __init__(self, plain: Callable[..., Any], beside: bool = False) -> None:
        self.plain = plain
        self.beside = beside

    async def __call__(self, *args: Any) -> Any:
        await asyncio.sleep(0)
        return await asyncio.to_thread(self.plain, *args) if self.beside else self.plain(*args)
