"""Waits for a thread or an event that Ctrl-C ends, whenever it is pressed.

Python handles a signal in the main thread, between two steps of its program. One that comes after its last look for signals
and before the system call, or on Windows at any time, does not end the wait for a lock: it would be as if it had not been
pressed. So these look up from time to time.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["ended", "join", "wait"]

LOOK_UP = 0.5  # seconds


def join(thread: threading.Thread, timeout: float | None = None) -> bool:
    """`thread.join(timeout)`; whether it has ended."""
    until = math.inf if timeout is None else time.monotonic() + timeout
    while thread.is_alive() and (left := until - time.monotonic()) > 0:
        thread.join(min(left, LOOK_UP))
    return not thread.is_alive()


def wait(event: threading.Event) -> None:
    """`event.wait()`."""
    while not event.wait(LOOK_UP):
        pass


async def ended(future: Future[Any], patience: float = math.inf) -> None:
    """`future.result()` in an event loop, to the end although the caller is cancelled, even in each turn of the loop, as anyio
    does until she has left its scope; then that is raised. From then on it is waited for `patience` seconds at most."""
    import asyncio

    closed, until, cancelled = asyncio.wrap_future(future), math.inf, None
    while not closed.done() and (left := until - time.monotonic()) > 0:
        try:
            await asyncio.wait([closed], timeout=None if left == math.inf else left)
        except asyncio.CancelledError as error:
            cancelled = error
            until = min(until, time.monotonic() + patience)
    if cancelled is not None:
        raise cancelled
    closed.result()
