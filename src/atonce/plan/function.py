"""What can be known of a function without running it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from typing import Any

from ..errors import UsageError
from ..worker.job import is_async

__all__ = ["Facts", "look_at"]


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """`kind` is "sync", "async", "unsure" (a lambda or object that may return an awaitable) or "own" (brings `runner`)."""

    name: str
    kind: str
    runner: str | None = None


def look_at(fn: Any) -> Facts:
    """Facts, or UsageError for what cannot be run once an item."""
    if not callable(fn):
        raise UsageError(
            f"{fn!r} cannot be called",
            causes=("fn(item) was written where fn was meant",),
            hint="give the function first, then the items: atonce.map(fn, items)",
        )
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    plain = fn
    while isinstance(plain, functools.partial):
        plain = plain.func
    name = getattr(plain, "__qualname__", name)
    call = plain if inspect.isroutine(plain) else getattr(type(plain), "__call__", plain)  # noqa: B004
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise UsageError(
            f"{name} is a generator function: calling it runs nothing, it would give one unused generator an item",
            hint=f"a function that collects: lambda item: list({name}(item))",
        )
    if runner := getattr(fn, "atonce_runner", None):
        return Facts(name, "own", runner)
    if is_async(fn):
        return Facts(name, "async")
    surely_sync = isinstance(plain, types.FunctionType) and plain.__name__ != "<lambda>"
    return Facts(name, "sync" if surely_sync or isinstance(plain, type) or inspect.isbuiltin(plain) else "unsure")
