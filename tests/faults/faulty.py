"""What goes wrong, and where: faults that can be put into the pickling, the setup or the run of an item.

A module of its own, so that workers import it by name.
"""

from __future__ import annotations

import ctypes
import os
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
    threading.Event().wait()


def interrupts() -> None:
    raise KeyboardInterrupt


FAULTS: dict[str, Callable[[], None]] = {
    "raise": raises,
    "sys.exit": exits,
    "os._exit": ends_the_process,
    "SIGKILL": is_killed,
    "SIGSEGV": crashes,
    "hang": hangs,
    "KeyboardInterrupt": interrupts,
}


def blow(fault: str, value: Any = None) -> Any:
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
