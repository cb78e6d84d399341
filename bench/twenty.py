"""Twenty calls, one of which goes wrong. A module of its own, so that every tool's workers import it by name."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any

__all__ = ["BAD", "FAULTS", "ITEMS", "acall", "call"]

ITEMS = range(20)
BAD = 7


class TwoArguments(Exception):
    """Many libraries have such an exception: what pickle keeps are not the arguments of `__init__`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


FAULTS = {
    "kills its worker": "`os.kill(os.getpid(), SIGKILL)`, as the kernel does when memory is short",
    "hangs": "it waits for ever",
    "raises what cannot be unpickled": "an exception whose `__init__` takes two arguments",
    "returns what cannot be pickled": "a `threading.Lock`",
}


def call(item: int, fault: str) -> Any:
    """20 to 50 ms of waiting, then the item itself."""
    time.sleep(_seconds(item))
    if item == BAD and fault == "hangs":
        threading.Event().wait()
    return _end(item, fault)


async def acall(item: int, fault: str) -> Any:
    """The same for an event loop."""
    await asyncio.sleep(_seconds(item))
    if item == BAD and fault == "hangs":
        await asyncio.Event().wait()
    return _end(item, fault)


def _seconds(item: int) -> float:
    return 0.02 + 0.01 * (item % 4)


def _end(item: int, fault: str) -> Any:
    if item == BAD:
        if fault == "kills its worker":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "raises what cannot be unpickled":
            raise TwoArguments(404, "not found")
        elif fault == "returns what cannot be pickled":
            return threading.Lock()
    return item
