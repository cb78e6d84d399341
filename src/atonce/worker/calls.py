"""A submitted call on the far side: what an executor's worker runs, an item being `(fn, args, kwargs)`.

Here and not with the executor because workers in other processes import it, and it alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Call", "Initialized", "call", "call_async", "call_each", "with_resource"]

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def call(item: Call) -> Any:
    """`fn(*args, **kwargs)`; an `async def` runs to its end in an event loop of its own."""
    fn, args, kwargs = item
    value = fn(*args, **kwargs)
    return _run(value) if type(value) is types.CoroutineType else value


async def call_async(item: Call) -> Any:
    """`await fn(*args, **kwargs)`, for the loop that keeps many of them in flight."""
    fn, args, kwargs = item
    value = fn(*args, **kwargs)
    return await value if inspect.isawaitable(value) else value


def call_each(fn: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """A chunk of `Executor.map`: `[fn(*args) for args in arguments]`."""
    return [call((fn, args, {})) for args in arguments]


def with_resource(target: Callable[[Call], Any], resource: Any, item: Call) -> Any:
    """With `setup=` a submitted function gets the resource first; after an initializer there is none."""
    if resource is None:
        return target(item)
    fn, args, kwargs = item
    return target((fn, (resource, *args), kwargs))


class Initialized(contextlib.nullcontext[None]):
    """Runs the initializer when the worker sets up; gives no resource."""

    def __init__(self, initializer: Callable[..., Any], initargs: tuple[Any, ...]) -> None:
        super().__init__()
        initializer(*initargs)


def _run(coroutine: types.CoroutineType[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()  # where no loop can be had, as inside of one that runs: else it would say it was never awaited
