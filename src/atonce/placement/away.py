"""The near side of a worker on a cluster's node: what goes out is collected and sent, what comes is asked for.

    _post ──► out ──► far("send", bytes)          one call of each kind is under way: what is to be sent meanwhile goes
    hub ◄── frames ◄── far("receive", patience)   together with the next

A host that is lost before its worker could be fed is nobody's fault and no news: another is started, a few times. One that is
lost later is a lost worker. Where the cluster itself does not answer any more, that is what is told instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..engine.events import Broken, Event
from ..engine.hub import Hub
from ..engine.seat import AHEAD, Seat
from ..errors import AtonceError
from ..worker import wire
from ..worker.channel import Frames, Message
from ..worker.outbox import FLUSH_COMPUTING, Report
from . import Order
from .complaints import cannot_start, is_gone, refuse_others
from .framed import FramedWorker

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["FAREWELL", "SILENCE", "Away", "Far"]

Far = Callable[..., Awaitable[Any]]
"""`await far("method", *arguments)` calls a `Host`."""

# Seconds after which one who does not answer at all is gone: a cluster, or a node of it.
SILENCE = 30.0
# Seconds that a call may wait for news.
PATIENCE = 5.0
# The same where items have a timeout, which is looked after here, by what the calls bring.
LOOKS = 0.2
# Seconds that a worker is given to be told it is not wanted any more.
FAREWELL = 3.0
# Workers up to which each is called as often as it has news, at most every `FLUSH_COMPUTING` seconds. Where there are more,
# each is called less often, and has more before it: all of them together cost the near side no more calls than so many.
CROWD = 50
# Hosts in a row that may be lost before their worker was ready. A node that goes takes all that start on it.
TRIES = 5
# Seconds before the second of them, doubled before each further one: until the cluster knows of a node that is gone.
PAUSE = 0.1


class Away(FramedWorker):
    """`job`: the frame with the function. What has an underscore and is not below "in the driver's thread" is the loop's."""

    shared = False

    def __init__(self, number: int, order: Order, hub: Hub, job: bytes, cluster: Cluster) -> None:
        super().__init__(number, order._replace(share=1), hub)
        self._cluster = cluster
        self._job = job
        self._stretch = max(cluster.stretch, order.among / CROWD)
        self._greeting = wire.dumps(self._hello() | {"pace": FLUSH_COMPUTING * self._stretch})
        self._out: deque[bytes] = deque()
        self._running: list[tuple[int, int, float]] = []
        self._offset = 0.0  # its clock less ours
        self._far: Far | None = None
        self._life: asyncio.Task[Event] | None = None
        self._unwanted = self._leaving = self._gone = False
        self._looks = PATIENCE if order.job.timeout is None else LOOKS * self._stretch
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

    def seat(self) -> Seat:
        return dataclasses.replace(super().seat(), horizon=AHEAD * self._stretch)

    # ── in the driver's thread ───────────────────────────────────────────────────────────────────────────────────────

    def running(self) -> list[tuple[int, int, float]]:
        return self._running

    def _post(self, messages: list[Message]) -> None:
        idle = not self._out
        self._out.extend(data for data, _ in messages)
        if idle:
            self._cluster.soon(self._wake)

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

    def _wake(self) -> None:
        if self._life is not None:
            self._work.set()

    def _kill(self) -> None:
        """Before it runs anything, or when nobody wants it any more, its host is told to go, and kills it."""
        if self._life is None or self._leaving:
            return
        if self._far is None or self._unwanted or not self._booted:
            self._life.cancel()
        else:
            self._signals = asyncio.get_running_loop().create_task(self._signal(self._far, signal.SIGKILL))

    def _ask_to_end(self) -> None:
        if self._far is not None:
            self._signals = asyncio.get_running_loop().create_task(self._signal(self._far, signal.SIGTERM))

    @staticmethod
    async def _signal(far: Far, number: int) -> None:
        with contextlib.suppress(Exception):  # it cannot be reached: `receive` says so
            await far("signal", int(number))

    async def _live(self) -> Event:
        """From its start to its end, and what that means."""
        lost: Exception = ConnectionError()
        try:
            for tries in range(TRIES):
                if tries:
                    await asyncio.sleep(PAUSE * 2 ** (tries - 1))
                try:
                    return await self._on_a_host()
                except AtonceError:
                    raise
                except Exception as error:
                    lost = error
                await self._cluster.look()
                if self._booted or self._released:
                    return self._over(None, [])
            return Broken(self.number, cannot_start(self._cluster.name, TRIES, lost))
        except AtonceError as error:
            return Broken(self.number, error)
        except asyncio.CancelledError:
            return self._over(None, [])
        except Exception as error:
            return Broken(self.number, is_gone(self._cluster.name, error))
        finally:
            self._leaving = True

    async def _on_a_host(self) -> Event:
        """Raises where the host is lost."""
        far = self._far = await self._cluster.start(f"atonce-{self.number}")
        reached = True
        try:
            await self._greet(far)
            sender = asyncio.get_running_loop().create_task(self._send_all(far))
            try:
                return self._over(*await self._receive_all(far))
            finally:
                sender.cancel()
        except AtonceError:
            raise
        except Exception:
            reached = False
            raise
        finally:
            self._far = None
            if reached:
                await _soon(far("close"))
            await _soon(self._cluster.stop(far))

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
        """Once the worker is ready: what is sent to a host that is lost before would be lost with it."""
        out = self._out
        with contextlib.suppress(Exception):  # it cannot be reached: `receive` says so
            while True:
                self._work.clear()
                if out and self._booted:
                    await far("send", b"".join(out.popleft() for _ in range(len(out))))
                else:
                    await self._work.wait()

    async def _receive_all(self, far: Far) -> tuple[int | None, list[int]]:
        inbox = Frames()
        while True:
            async with asyncio.timeout(self._looks + SILENCE):
                data, running, end = await far("receive", self._looks)
            self._running = [(slot, index, since - self._offset) for slot, index, since in running]
            if data:
                before = self._booted
                inbox.feed(data)
                self._hear(inbox)
                if self._booted and not before:
                    self._work.set()
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


async def _soon(what: Awaitable[Any]) -> None:
    """Whatever comes of it, if it comes."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(FAREWELL):
            await what
