"""What a worker is given: the function, its resource, and the memory in which it says what it is doing."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import inspect
import threading
import time
import types
from array import array
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import SetupFailed

__all__ = [
    "BOOTING",
    "CARRYING",
    "IDLE",
    "LOADING",
    "RECEIVING",
    "RUNNING",
    "SENDING",
    "Cells",
    "Job",
    "calling",
    "is_async",
    "leaving",
]

# What a worker is doing, read by the near side after a death, to know whom to suspect. Two cells, each with its time: one
# that the thread which reads batches writes, one that whoever sends a report writes (one at a time).
RECEIVING, SENDING = 0, 2
BOOTING, RUNNING, LOADING = 0.0, 1.0, 2.0
IDLE = -1.0
CARRYING = -1  # the slot under which a worker that unpickles or pickles is listed


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """The work, the same for every item. `context` is the caller's, copied for each item; None is an empty one."""

    fn: Callable[..., Any]
    setup: Callable[[], Any] | None = None
    timeout: float | None = None
    context: contextvars.Context | None = None

    @property
    def is_async(self) -> bool:
        return is_async(self.fn)


class Cells:
    """One cell a slot, in memory that both sides see: the number of the item that runs there, and since when.

    Layout, in doubles: two phases with since when, then (index, since) for each slot; an index of -1 is an idle slot. The
    writer stores `since` before `index`, so a reader that comes between the two sees the old item as younger, never a new
    item as old. Writing is two stores, no system call. Doubles hold indices exactly up to 2**53.
    """

    __slots__ = ("slots", "view")

    def __init__(self, slots: int, view: Any = None) -> None:
        self.slots = slots
        self.view: Any = array("d", bytes(self.size(slots))) if view is None else view
        if view is None:
            self.clear()

    @staticmethod
    def size(slots: int) -> int:
        """Bytes needed."""
        return 8 * (4 + 2 * slots)

    @staticmethod
    def at(slot: int) -> int:
        """Where in `view` a slot's index is; since when is right behind it. For loops that write it themselves."""
        return 4 + 2 * slot

    def clear(self) -> None:
        self.view[RECEIVING] = BOOTING
        for at in range(4, 4 + 2 * self.slots, 2):
            self.view[at] = IDLE

    def leave(self, slot: int) -> None:
        self.view[self.at(slot)] = IDLE

    def enter(self, slot: int, index: int, now: float) -> None:
        self.view[self.at(slot) + 1] = now
        self.view[self.at(slot)] = index

    def phase(self, which: int, phase: float) -> _Phase:
        """`with cells.phase(RECEIVING, LOADING):` says what it does, should this process end here."""
        return _Phase(self.view, which, phase)

    @property
    def carrying(self) -> bool:
        """Whether it unpickles or pickles: what then happens may be any item's doing."""
        return bool(self.view[RECEIVING] == LOADING or self.view[SENDING])

    def running(self) -> list[tuple[int, int, float]]:
        """(slot, index, since) of every busy slot; (CARRYING, -1, since) while it unpickles or pickles."""
        view = self.view
        carrying = [(CARRYING, -1, view[1])] if view[RECEIVING] == LOADING else []
        carrying += [(CARRYING, -1, view[SENDING + 1])] if view[SENDING] else []
        busy = [(slot, view[self.at(slot)], view[self.at(slot) + 1]) for slot in range(self.slots)]
        return carrying + [(slot, int(index), since) for slot, index, since in busy if index != IDLE]


class _Phase:
    """`Cells.phase`: a class, since a generator costs three times as much, and a batch has two of them."""

    __slots__ = ("_before", "_phase", "_view", "_which")

    def __init__(self, view: Any, which: int, phase: float) -> None:
        self._view, self._which, self._phase = view, which, phase

    def __enter__(self) -> None:
        view, which = self._view, self._which
        self._before = view[which]
        view[which + 1] = time.monotonic()
        view[which] = self._phase

    def __exit__(self, *_: object) -> None:
        self._view[self._which] = self._before


def is_async(fn: Any) -> bool:
    """Whether calling `fn` gives a coroutine: `async def`, a partial of one, or an object whose `__call__` is one."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if isinstance(fn, type):  # calling it makes an object, whatever that object's `__call__` is
        return False
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


@contextlib.contextmanager
def calling(job: Job) -> Any:
    """`item -> value` for one thread: enters `setup` here and exits it here; an `async def` gets an event loop of its own.

    `setup` and its exit see the caller's context, in a copy of their own: what it sets there stays there.
    """
    context = contextvars.Context() if job.context is None else job.context.copy()
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(_loop()) if job.is_async else None
        fn = job.fn
        if job.setup is not None:
            try:
                resource = context.run(job.setup) if loop is None else loop.run(_called(job.setup), context=context)
                if loop is not None and hasattr(resource, "__aenter__"):
                    entered = loop.run(resource.__aenter__(), context=context)
                    stack.callback(_left, lambda *none: loop.run(resource.__aexit__(*none), context=context))
                elif hasattr(resource, "__enter__"):
                    entered = context.run(type(resource).__enter__, resource)
                    stack.callback(_left, functools.partial(context.run, type(resource).__exit__, resource))
                else:
                    raise TypeError(_not_a_manager(resource, wants_async=False))
            except (Exception, SystemExit) as error:
                raise setup_failed(error) from error
            fn = functools.partial(fn, entered)
        if loop is not None:
            # the context that the runner has made for this item: without it, items would share the loop's
            yield lambda item: loop.run(fn(item), context=contextvars.copy_context())
        else:
            yield fn if isinstance(job.fn, types.FunctionType) and job.fn.__name__ != "<lambda>" else _no_coroutines(fn)


def _loop() -> Any:
    import asyncio  # would be most of what an interpreter imports to be a worker

    return asyncio.Runner()


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Around the exit of a resource: what it raises is told by the run, and does not end the thread that was there for it."""
    try:
        yield
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # somebody has pressed it
        raise exit_failed(error) from error


def _left(leave: Callable[..., Any]) -> None:
    with leaving():
        leave(None, None, None)


def _no_coroutines(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For what cannot be looked at beforehand, such as a lambda: a coroutine that nobody awaits is not a value."""

    def call(item: Any) -> Any:
        value = fn(item)
        if type(value) is types.CoroutineType:
            value.close()
            raise TypeError("the function returned a coroutine: make it an async def, or use model='coroutines'")
        return value

    return call


async def _called(setup: Callable[[], Any]) -> Any:
    # some resources (aiohttp.ClientSession) want to be made inside a running loop
    return setup()


def setup_failed(error: BaseException) -> SetupFailed:
    return SetupFailed(
        f"setup raised {type(error).__name__}: {error}",
        causes=("what setup connects to is not there", "setup needs arguments: it is called with none"),
        hint="call setup() yourself and enter what it gives in a with statement",
    )


def exit_failed(error: BaseException) -> SetupFailed:
    return SetupFailed(
        f"leaving what setup gave raised {type(error).__name__}: {error}",
        causes=("what it was to write or to commit at its end is not there",),
        hint="the items are done, and their outcomes are kept: .run of this exception",
    )


def _not_a_manager(resource: Any, *, wants_async: bool) -> str:
    kind = "an async context manager" if wants_async else "a context manager"
    other = " (it is an async one: use it with an async def)" if hasattr(resource, "__aenter__") else ""
    return f"setup gave {type(resource).__name__}, which is not {kind}{other}"
