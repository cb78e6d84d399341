"""What goes wrong, and where: faults that can be put into the pickling, the setup or the run of an item.

A module of its own, so that workers import it by name.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

BAD = 7  # the item that is hit


def raises() -> None:
    raise ValueError("the fault")


def exits() -> None:
    sys.exit(3)


def ends_the_process() -> None:
    os._exit(3)


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crashes() -> None:
    ctypes.string_at(0)


def hangs() -> None:
    release.wait()


# Threads that hang cannot be ended: whoever has made one lets it go in the end.
release = threading.Event()


def interrupts() -> None:
    raise KeyboardInterrupt


def prints_for_ever() -> None:
    """To a pipe that nobody reads, see `unread_stdout` of the tests; when that is closed it fails, if nobody ended it."""
    line = "and on it goes\n" * 1000
    while True:
        if sys.stdout.fileno() == 1:
            print(line, flush=True)
        else:  # pytest's: these tests are in the caller's own process
            os.write(1, line.encode())


def eats_memory() -> None:
    """All that it may have, which is made to be little, and by one thread at a time: the limit is the process's."""
    with _hogging:
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_in_use() + HOG, before[1]))
        eaten: list[Any] = []
        try:
            while len(eaten) < 100:  # should the limit not hold, the machine must
                eaten.append(bytearray(8 << 20))
        finally:
            eaten.clear()
            resource.setrlimit(resource.RLIMIT_AS, before)


_hogging = threading.Lock()
HOG = 100 << 20


def _in_use() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


FAULTS: dict[str, Callable[[], None]] = {
    "raise": raises,
    "sys.exit": exits,
    "os._exit": ends_the_process,
    "SIGKILL": is_killed,
    "SIGSEGV": crashes,
    "hang": hangs,
    "KeyboardInterrupt": interrupts,
    "endless output": prints_for_ever,
    "memory hog": eats_memory,
}


def blow(fault: str, value: Any = None) -> Any:
    if "TELL_OF_FAULTS" in os.environ:
        os.write(2, b"there\n")
    FAULTS[fault]()
    return value


def same(item: Any) -> Any:
    return item


async def asame(item: Any) -> Any:
    return item


class OnArrival:
    """Travels well, and fails where it is unpickled."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __reduce__(self) -> Any:
        return blow, (self.fault,)


class OnDeparture:
    """Fails where it is pickled."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __reduce__(self) -> Any:
        return same, (blow(self.fault),)


class Function:
    """`fn(item)` that does what its stage says to the bad item."""

    def __init__(self, stage: str, fault: str) -> None:
        self.stage = stage
        self.fault = fault

    def __call__(self, item: Any) -> Any:
        if item == BAD:
            match self.stage:
                case "run":
                    blow(self.fault)
                case "pickling the result":
                    return OnDeparture(self.fault)
                case "unpickling the result":
                    return OnArrival(self.fault)
        return item

    def with_resource(self, resource: Any, item: Any) -> Any:
        return self(item)


class AsyncFunction(Function):
    async def __call__(self, item: Any) -> Any:  # type: ignore[override]
        if item == BAD and (self.stage, self.fault) == ("run", "hang"):
            await asyncio.Event().wait()
        return super().__call__(item)

    async def with_resource(self, resource: Any, item: Any) -> Any:
        return super().__call__(item)


class FunctionOnArrival(Function):
    def __reduce__(self) -> Any:
        return blow, (self.fault,)


class AsyncFunctionOnArrival(AsyncFunction):
    def __reduce__(self) -> Any:
        return blow, (self.fault,)


class Setup:
    """Called, it fails."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __call__(self) -> Any:
        blow(self.fault)


class Exit:
    """A resource that fails where it is exited."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __enter__(self) -> Exit:
        return self

    def __exit__(self, *_: object) -> None:
        blow(self.fault)


class ExitOf:
    """Called, it gives that resource."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __call__(self) -> Exit:
        return Exit(self.fault)
