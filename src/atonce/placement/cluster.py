"""What all clusters have in common: workers of ours on machines of theirs, their frames carried by calls of the cluster.

    driver ── feed ──► out ──► send() ────► Host on a node ──► worker process      (host.py)
    hub ◄── events ◄── frames ◄── receive() ◄──┘

A cluster is one small class (`Cluster`): how to connect, how to have a `Host` started where it has room, and how to call it.
Where workers live, how bytes get there and that a node is gone is the cluster's affair; chunking, retries, timeouts, limits and
the journal stay with the engine. One call of each kind is under way for a worker: what is to be sent meanwhile goes together
with the next. All calls are made in one event loop, in a thread of its own.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import dataclasses
import importlib.util
import platform
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, ClassVar

import atonce

from ..engine.events import Broken, Event, Room
from ..engine.hub import Hub
from ..errors import AtonceError, ClusterError, PlanError
from ..worker.channel import Frames, Message
from ..worker.job import Job
from ..worker.outbox import Report
from . import Order, Placement, Worker
from .framed import FramedWorker, pack_job

__all__ = ["Cluster", "ClusterWorker", "Far", "LoopThread"]

Far = Callable[..., Awaitable[Any]]
"""`await far("method", *arguments)` calls a `Host`."""

# Seconds that a call may wait for news: a node that is gone without a word is noticed by then.
PATIENCE = 5.0
# The same where items have a timeout, which is looked after here, by what the calls bring.
LOOKS = 0.2
# Seconds that a worker is given to be told it is not wanted any more.
FAREWELL = 3.0
# Seconds between two looks at how large the cluster is.
GROWTH = 2.0


class Cluster(Placement):
    """A kind of cluster. What is abstract is all there is to say about one; `connect` and `disconnect` may block."""

    needs_pickling = True
    can_kill = True
    survives_death = True

    name: ClassVar[str]
    package: ClassVar[str]

    def __init__(self) -> None:
        self._packed: tuple[Job, list[Message]] | None = None
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
        """How many workers of one core it has room for now."""

    @abc.abstractmethod
    async def start(self, name: str) -> Far:
        """Have a `Host` started where there is room, which may take as long as it does."""

    @abc.abstractmethod
    async def stop(self, far: Far) -> None:
        """Nothing more is wanted of it, which is closed already or cannot be reached."""

    @abc.abstractmethod
    def alive(self) -> bool:
        """Whether the cluster itself is still there; else its workers are not lost one by one."""

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
        before = -1
        while self.alive():
            with contextlib.suppress(OSError):
                if (now := await self.room()) != before:
                    before = now
                    hub.post(Room(now))
            await asyncio.sleep(GROWTH)

    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        if self._packed is None or self._packed[0] is not order.job:
            self._packed = order.job, pack_job(order.job, shared=False)
        return ClusterWorker(number, order, hub, self._packed[1], self)

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


class ClusterWorker(FramedWorker):
    shared = False

    def __init__(self, number: int, order: Order, hub: Hub, job: list[Message], cluster: Cluster) -> None:
        super().__init__(number, dataclasses.replace(order, share=1), hub)
        self._cluster = cluster
        self._job = b"".join(data for data, _ in job)
        self._greeting = self._hello()
        self._out: deque[bytes] = deque()
        self._running: list[tuple[int, int, float]] = []
        self._offset = 0.0  # its clock less ours
        self._far: Far | None = None
        self._life: asyncio.Task[Event] | None = None
        self._unwanted = self._leaving = self._gone = False
        self._looks = PATIENCE if order.job.timeout is None else LOOKS
        cluster.when_connected(self._begin)

    def _begin(self) -> None:
        if self._cluster.error is not None or self._unwanted:
            self._gone = True
            self._hub.wake()
        else:
            self._cluster.soon(self._start)

    def _start(self) -> None:
        self._work = asyncio.Event()
        self._life = asyncio.get_running_loop().create_task(self._live())
        self._life.add_done_callback(self._ended)  # which is called even if it was cancelled before it began

    def _ended(self, life: asyncio.Task[Event]) -> None:
        """The hub hears of it exactly once."""
        event = self._over(None, []) if life.cancelled() else life.result()
        self._gone = True
        self._hub.post(event)

    # ── near → far, in the driver's thread ───────────────────────────────────────────────────────────────────────────

    def running(self) -> list[tuple[int, int, float]]:
        return self._running

    def _post(self, messages: list[Message]) -> None:
        idle = not self._out
        self._out.extend(data for data, _ in messages)
        if idle:
            self._cluster.soon(self._wake)

    def _wake(self) -> None:
        if self._life is not None:
            self._work.set()

    def kill(self) -> None:
        self._cluster.soon(self._kill)

    def terminate(self) -> None:
        self._cluster.soon(self._ask_to_end)

    def close(self, *, cancel: bool) -> None:
        if self._order.job.setup is None or self._far is None:  # with no resource to exit, or none yet
            self._unwanted = self._released = True
            self._cluster.soon(self._kill)
        else:
            self.release(drop=cancel)

    def gone(self) -> bool:
        return self._gone

    # ── in the cluster's loop ────────────────────────────────────────────────────────────────────────────────────────

    def _kill(self) -> None:
        """Before it runs anything, or when nobody wants it any more, its host is told to go, and kills it."""
        if self._life is None or self._leaving:
            return
        if self._far is None or self._unwanted or not self._booted:
            self._life.cancel()
        else:
            self._signals = asyncio.get_running_loop().create_task(self._signal(signal.SIGKILL))

    def _ask_to_end(self) -> None:
        if self._far is not None:
            self._signals = asyncio.get_running_loop().create_task(self._signal(signal.SIGTERM))

    async def _signal(self, number: int) -> None:
        assert self._far is not None
        with contextlib.suppress(Exception):  # it cannot be reached: `receive` says so
            await self._far("signal", int(number))

    async def _live(self) -> Event:
        """From its start to its end, and what that means."""
        try:
            self._far = await self._cluster.start(f"atonce-{self.number}")
            await self._greet(self._far)
            sender = asyncio.get_running_loop().create_task(self._send_all(self._far))
            try:
                return self._over(*await self._receive_all(self._far))
            finally:
                sender.cancel()
        except AtonceError as error:
            return Broken(self.number, error)
        except asyncio.CancelledError:
            return self._over(None, [])
        except Exception as error:
            return self._over(None, []) if self._cluster.alive() else Broken(self.number, is_gone(self._cluster.name, error))
        finally:
            self._leaving = True
            if self._far is not None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(FAREWELL):
                        await self._far("close")
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(FAREWELL):
                        await self._cluster.stop(self._far)

    async def _greet(self, far: Far) -> None:
        before = time.monotonic()
        theirs = await far("about")
        after = time.monotonic()
        refuse_others(theirs)
        self._offset = theirs["clock"] - (before + after) / 2
        if abs(self._offset) <= after - before:
            self._offset = 0.0  # no further apart than can be told: on this machine it is one clock
        await far("open", self._greeting)
        await far("send", self._job)

    async def _send_all(self, far: Far) -> None:
        out = self._out
        while True:
            self._work.clear()
            if out:
                # the last one stays until it is sent: who finds something there need not wake us
                await far("send", b"".join(out.popleft() for _ in range(len(out))))
            else:
                await self._work.wait()

    async def _receive_all(self, far: Far) -> tuple[int | None, list[int]]:
        inbox = Frames()
        while True:
            data, running, end = await far("receive", self._looks)
            self._running = [(slot, index, since - self._offset) for slot, index, since in running]
            if data:
                inbox.feed(data)
                self._hear(inbox)
            if end is not None:
                status, culprits = end
                return status, culprits
            if inbox.garbled:
                await far("signal", int(signal.SIGKILL))

    def _frame(self, kind: int, payload: Any, large: Any) -> None:
        super()._frame(kind, payload, [bytearray(buffer) if isinstance(buffer, bytes) else buffer for buffer in large])

    def _tell(self, event: Event) -> None:
        self._hub.post(event)

    def _arrived(self, report: Report) -> Report:
        """Its times by our clock."""
        offset = self._offset
        if not offset:
            return report
        return report._replace(
            started=[at - offset for at in report.started],
            ended=[at - offset for at in report.ended],
            failures=[f._replace(started=f.started - offset, ended=f.ended - offset) for f in report.failures],
        )


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


def refuse_others(theirs: dict[str, Any]) -> None:
    """Both sides speak one protocol, and bytecode travels: the versions must be alike."""
    python, here = theirs["python"].rpartition(".")[0], f"{sys.version_info.major}.{sys.version_info.minor}"
    if python == here and theirs["atonce"] == atonce.__version__:
        return
    raise ClusterError(
        f"the cluster's node {theirs['node']} has Python {theirs['python']} with atonce {theirs['atonce']}, "
        f"and here are Python {platform.python_version()} and atonce {atonce.__version__}",
        causes=("the cluster was set up from another environment",),
        hint=f"pip install atonce=={atonce.__version__} there, under Python {here}",
    )


def cannot_connect(name: str, where: Any, error: BaseException) -> ClusterError:
    what = "can be started here" if where is None else f"answers at {where}"
    wrong = ClusterError(
        f"no {name} cluster {what}: {type(error).__name__}: {error}",
        causes=("its scheduler is not running", "the address is wrong, or cannot be reached from here"),
        hint=f'cluster="…" names the {name} cluster; without it one is started on this machine',
    )
    wrong.__cause__ = error
    return wrong


def is_gone(name: str, error: BaseException) -> ClusterError:
    wrong = ClusterError(
        f"the {name} cluster is gone: {type(error).__name__}: {error}",
        causes=("its scheduler has ended or was started again", "the network between is down"),
        hint="what was finished is kept; with journal= (in the command line, the same output) the same call goes on from there",
    )
    wrong.__cause__ = error
    return wrong
