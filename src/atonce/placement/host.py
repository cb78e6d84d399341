"""The far end of a cluster: runs one worker process on its node for a near side that calls it, and passes frames on.

    near side ──calls──► Host (in the cluster's own process there) ──socket──► worker process (atonce.worker.main)

The items run in a process of ours, not in the cluster's: what crashes, hangs or must be killed takes nothing else with it, and
its exit status and its cells say whose fault it was. All methods are coroutines of one event loop, that of the process it
lives in. When the near side has not called for `LEASE` seconds it is gone: the worker is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import sys
import time
from typing import Any

from ..worker import wire
from ..worker.nesting import CORES, DEPTH
from .complaints import versions
from .process import Child

__all__ = ["LEASE", "Host", "about"]

# Seconds without a call after which nobody is there any more. A near side calls every few seconds, however idle.
LEASE = 60.0
# Bytes that one call brings at most, and that wait here at most before the worker has to.
MOST = 8 << 20
CHUNK = 1 << 18


def about() -> dict[str, Any]:
    """What both sides must have alike, and the clock."""
    return {
        "versions": versions(),
        "clock": time.monotonic(),
        "node": platform.node(),
        "pid": os.getpid(),
    }


class Host:
    """One worker process. `found` is set by the first call, `over` when nobody wants it any more."""

    def __init__(self) -> None:
        self.found = asyncio.Event()
        self.over = asyncio.Event()
        self._child: Child | None = None
        self._news = asyncio.Event()
        self._bytes = bytearray()
        self._status: tuple[int | None] | None = None
        self._culprits: list[int] = []
        self._reading = False
        self._loop = asyncio.get_running_loop()
        self._lease = self._loop.call_later(LEASE, self._forsaken)

    async def about(self) -> dict[str, Any]:
        self.found.set()
        return about()

    async def open(self, greeting: bytes) -> None:
        """Start the worker. What is this node's own stays so: environment, folder and import path (the caller's behind it)."""
        hello = wire.loads(greeting)
        here = dict(os.environ)
        told = hello["environment"]
        environment = here | {name: told[name] for name in (DEPTH, CORES) if name in told}
        path = [*sys.path, *(entry for entry in hello["path"] if entry not in sys.path)]
        self._child = Child(hello["most"])
        self._loop.add_reader(self._child.status, self._on_status)
        self._read()
        await self.send(wire.frame(wire.HELLO, wire.dumps(hello | {"environment": environment, "path": path})))

    async def send(self, data: bytes) -> None:
        """Frames for the worker; returns when its socket has taken them, so one call at a time."""
        self._called()
        if self._child is not None:
            with contextlib.suppress(OSError):  # it is dying, which the status will say
                await self._loop.sock_sendall(self._child.socket, data)

    async def receive(self, patience: float) -> tuple[bytes, list[tuple[int, int, float]], Any]:
        """(what the worker has sent, what runs in it now, how it ended: (status, the items it died in) or None).

        Waits until there is something, `patience` seconds at most. The end comes when all before it has been taken.
        """
        self._called()
        if not self._bytes and self._status is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):  # Python 3.11's `wait_for` loses a cancellation that comes with the news
                    await self._news.wait()
        self._news.clear()
        data = bytes(memoryview(self._bytes)[:MOST])
        del self._bytes[:MOST]
        running = [] if self._child is None else self._child.cells.running()
        if self._child is not None and self._status is None:
            self._read()
        if self._bytes or self._status is None:
            return data, running, None
        return data, [], (*self._status, self._culprits)

    async def signal(self, number: int) -> None:
        """To the worker process and what it has started."""
        if self._child is not None and self._status is None:
            self._child.signal(number)

    async def close(self) -> None:
        """Nobody wants it any more: it is killed."""
        self._lease.cancel()
        self.found.set()
        if self._child is not None:
            child, self._child = self._child, None
            self._unread(child)
            self._loop.remove_reader(child.status)
            if self._status is None:
                child.signal(signal.SIGKILL)
            child.close()
        self.over.set()
        self._news.set()  # whoever waits for some learns that there will be none

    def _called(self) -> None:
        self._lease.cancel()
        self._lease = self._loop.call_later(LEASE, self._forsaken)

    def _forsaken(self) -> None:
        self._closing = self._loop.create_task(self.close())  # kept: the loop does not hold its tasks

    # ── the worker's socket and its end ──────────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        if not self._reading and self._child is not None and len(self._bytes) < MOST:
            self._reading = True
            self._loop.add_reader(self._child.socket, self._on_socket)

    def _unread(self, child: Child) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(child.socket)

    def _on_socket(self) -> None:
        assert self._child is not None
        if not self._take(self._child) or len(self._bytes) >= MOST:
            self._unread(self._child)

    def _take(self, child: Child) -> bool:
        """What is there now; False when no more can come."""
        try:
            data = child.socket.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._bytes += data
        self._news.set()
        return bool(data)

    def _on_status(self) -> None:
        child = self._child
        assert child is not None
        status = child.ended()
        if status is None:
            return
        self._loop.remove_reader(child.status)
        self._unread(child)
        while self._take(child):  # what a dead process had sent is in the socket, and then its end
            pass
        self._culprits = child.culprits()
        self._status = status
        self._news.set()
