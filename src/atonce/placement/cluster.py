"""What all clusters have in common: workers of ours on machines of theirs, their frames carried by calls of the cluster.

    driver ── feed ──► out ──► send() ────► Host on a node ──► worker process      (near side: away.py; far side: host.py)
    hub ◄── events ◄── frames ◄── receive() ◄──┘

A cluster is one small class (`Cluster`): how to connect, to have a `Host` started where there is room, to call it. Where
workers live and how bytes get there is the cluster's affair; chunking, retries, timeouts, limits and the journal stay with the
engine. All calls are made in one event loop, in a thread of its own.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ClassVar

from ..engine.events import Broken, Room
from ..engine.hub import Hub
from ..errors import AtonceError, PlanError
from ..worker.channel import Message
from ..worker.job import Job
from . import Order, Placement, Worker
from .away import SILENCE, Away, Far
from .complaints import cannot_connect, is_gone
from .framed import pack_job

__all__ = ["Cluster", "LoopThread"]

# Seconds between two looks at how large the cluster is, and whether it is there.
GROWTH = 2.0


class Cluster(Placement):
    """A kind of cluster. What is abstract is all there is to say about one; `connect` and `disconnect` may block."""

    needs_pickling = True
    can_kill = True
    survives_death = True

    name: ClassVar[str]
    package: ClassVar[str]
    # how many times less often a worker is called for news than one of this machine would report, since calls are dear
    stretch: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self._packed: tuple[Job, bytes] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] | None = []  # None: connected, or never will be
        self._closed = False
        self._watching: Any = None
        self.error: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop

    @abc.abstractmethod
    def connect(self, where: Any) -> None:
        """To the cluster that the caller has named (None: one for trying, on this machine). Sets `loop`."""

    @abc.abstractmethod
    def disconnect(self) -> None:
        """End what `connect` has started."""

    @abc.abstractmethod
    async def room(self) -> int:
        """How many workers of one core it has room for now. Raises where the cluster is gone."""

    @abc.abstractmethod
    async def start(self, name: str) -> Far:
        """Have a `Host` started where there is room, which may take as long as it does."""

    @abc.abstractmethod
    async def stop(self, far: Far) -> None:
        """Nothing more is wanted of it, which is closed already or cannot be reached."""

    def open(self, where: Any, hub: Hub) -> None:
        if importlib.util.find_spec(self.package) is None:
            raise PlanError(
                f"model={self.name!r} needs {self.package}, which is not installed", hint=f"pip install 'atonce[{self.name}]'"
            )
        self._thread = threading.Thread(target=self._connect, args=(where, hub), name=f"atonce-{self.name}", daemon=True)
        self._thread.start()

    def _connect(self, where: Any, hub: Hub) -> None:
        try:
            self.connect(where)
        except BaseException as error:
            self.error = error if isinstance(error, AtonceError) else cannot_connect(self.name, where, error)
            hub.post(Broken(-1, self.error))
        else:
            self._watching = asyncio.run_coroutine_threadsafe(self._watch(hub), self.loop)
        finally:
            with self._lock:
                waiting, self._waiting = self._waiting or [], None
            for do in waiting:
                do()

    async def _watch(self, hub: Hub) -> None:
        """Tell how large it is; and, once, that it is gone."""
        before = -1
        while True:
            try:
                now = await self.look()
            except Exception as error:
                hub.post(Broken(-1, is_gone(self.name, error)))
                return
            if now != before:
                before = now
                hub.post(Room(now))
            await asyncio.sleep(GROWTH)

    async def look(self) -> int:
        """As `room`, which also shows whether the cluster itself is there: else its workers are not lost one by one."""
        async with asyncio.timeout(SILENCE):
            return await self.room()

    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        if self._packed is None or self._packed[0] is not order.job:
            messages: list[Message] = pack_job(order.job, shared=False)
            self._packed = order.job, b"".join(data for data, _ in messages)
        return Away(number, order, hub, self._packed[1], self)

    def when_connected(self, do: Callable[[], None]) -> None:
        """Without blocking: now, or by the thread that connects. Also where that fails, which is in `error` then."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.append(do)
                return
        do()

    def soon(self, do: Callable[[], None]) -> None:
        """Have the loop do it, if there is one yet: nothing has been started before."""
        if self._waiting is None and self.error is None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(do)

    def close(self) -> None:
        if self._closed or self._thread is None:
            return
        self._closed = True
        self._thread.join()
        if self._watching is not None:
            self._watching.cancel()
        if self.error is None:
            self.disconnect()


class LoopThread:
    """An event loop in a thread of its own, for a cluster that brings none. `within` is entered and left in that thread."""

    def __init__(self, name: str, within: contextlib.AbstractContextManager[Any]) -> None:
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=_run_loop, args=(within, started), name=name, daemon=True)
        self._thread.start()
        self.loop = started.result()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


def _run_loop(within: contextlib.AbstractContextManager[Any], started: Future[asyncio.AbstractEventLoop]) -> None:
    try:
        with within, asyncio.Runner() as runner:  # which ends what is left at the end
            loop = runner.get_loop()
            loop.call_soon(started.set_result, loop)
            loop.run_forever()
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)
