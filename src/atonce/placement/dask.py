"""`dask`: workers on a `distributed` cluster, each the guest of a long-lived task that keeps one of its threads.

    client.submit(guest) ──► a thread of a Dask worker, until the end    so that Dask counts it: it places it where a thread
    call ──────────────────► the event loop of that Dask worker ──► Host is free, grows for it, and does not shrink over it

Calls go over the cluster's own connections: straight to the Dask worker, or by way of the scheduler where that worker cannot be
reached from here. Where a Dask worker is lost, Dask starts the task again elsewhere; the near side, which has asked for another
by then, sends that one away.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from functools import partial
from typing import Any

from ..errors import PlanError
from .away import FAREWELL, Far
from .cluster import Cluster
from .host import Host

__all__ = ["Dask"]

# Seconds in which a guest must have been found by its near side.
FOUND = 15.0
# Seconds that a Dask worker is given to answer when it is called straight for the first time.
REACH = 3.0
# What a Dask worker that has had a guest understands besides Dask's own messages.
CALL = "atonce"

_hosts: dict[str, Host] = {}  # in a Dask worker: who lives here


class Dask(Cluster):
    """`where`: the address of a scheduler, a `distributed.Client`, or None for a `LocalCluster`."""

    name = "dask"
    package = "distributed"

    def connect(self, where: Any) -> None:
        import dask
        from distributed import Client, LocalCluster
        from distributed.core import ConnectionPool

        self._ours: list[Any] = []
        if isinstance(where, Client):
            if where.asynchronous:
                raise PlanError(
                    "cluster= is an asynchronous client, which must not be used from another thread",
                    hint="its address: cluster=client.scheduler.address",
                )
            self._client: Any = where
        else:
            if where is None:
                # a plain LocalCluster listens for a dashboard as well
                where = LocalCluster(threads_per_worker=1, dashboard_address=None, silence_logs=40)
                self._ours.append(where)
            with dask.config.set({"distributed.comm.timeouts.connect": "10s"}):
                self._client = Client(where, set_as_default=False)
            self._ours.append(self._client)
        self.loop = self._client.loop.asyncio_loop
        self._topic = f"atonce-{uuid.uuid4().hex}"
        self._found: dict[str, asyncio.Future[str]] = {}
        self._tasks: dict[Far, Any] = {}
        # one of ours: the client's has a limit, and each worker keeps one connection busy by waiting for news
        self._straight: Any = ConnectionPool(limit=sys.maxsize, connection_args=self._client.connection_args)
        self._calls: set[asyncio.Future[Any]] = set()
        asyncio.run_coroutine_threadsafe(self._straight.start(), self.loop).result()
        self._client.subscribe_topic(self._topic, self._on_found)

    def disconnect(self) -> None:
        from distributed.utils import silence_logging_cmgr

        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result()
        # where the scheduler is gone, which has been told, Dask would tell it again by a page of tracebacks
        gone = self._client.status != "running"
        with silence_logging_cmgr(100) if gone else contextlib.nullcontext(), contextlib.suppress(Exception):
            self._client.unsubscribe_topic(self._topic)
            for each in reversed(self._ours):
                each.close()

    async def _hang_up(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls, timeout=FAREWELL)
        await self._straight.close()

    async def room(self) -> int:
        if self._client.status != "running":  # a client that connects again has lost its tasks, and we our workers
            raise ConnectionError(f"the scheduler at {self._client.scheduler.address} has closed the connection")
        return sum((await self._client.nthreads()).values())

    async def start(self, name: str) -> Far:
        client, key = self._client, f"{name}-{uuid.uuid4().hex}"
        found = self._found[key] = self.loop.create_future()
        task = client.submit(guest, self._topic, key, key=key, pure=False)
        ended = asyncio.ensure_future(_ended(task))
        ended.add_done_callback(_heard)
        try:
            await asyncio.wait([found, ended], return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                ended.result()
            far = await self._reach(key, found.result())
        except BaseException:
            await client.cancel([task], force=True)
            raise
        finally:
            ended.cancel()
            del self._found[key]
        self._tasks[far] = task
        return far

    def _on_found(self, event: Any) -> None:
        _, (key, address) = event
        found = self._found.get(key)
        if found is None:  # its like was here before
            self._ask(address, key, "close")
        elif not found.done():
            found.set_result(address)

    async def _reach(self, key: str, address: str) -> Far:
        """Straight, or through the scheduler where it does not answer so."""
        straight = partial(self._call_straight, address, key)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(REACH):
                await straight("about")
                return straight
        return partial(self._call_through_scheduler, key, address)

    async def _call_straight(self, address: str, key: str, method: str, *arguments: Any) -> Any:
        """Who stops waiting does not end the call: a connection that is given up while it is being made would stay open."""
        call = self._ask(address, key, method, *arguments)
        await asyncio.wait([call])
        return _answer(call.result())

    def _ask(self, address: str, key: str, method: str, *arguments: Any) -> asyncio.Future[Any]:
        call: asyncio.Future[Any] = asyncio.ensure_future(
            self._straight(address).atonce(key=key, method=method, arguments=arguments)
        )
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        call.add_done_callback(_heard)
        return call

    async def _call_through_scheduler(self, key: str, address: str, method: str, *arguments: Any) -> Any:
        message = {"op": CALL, "key": key, "method": method, "arguments": arguments}
        return _answer(await self._client.scheduler.proxy(msg=message, worker=address))

    async def stop(self, far: Far) -> None:
        await self._client.cancel([self._tasks.pop(far)], force=True)


async def _ended(task: Any) -> None:
    """Raises what the task raised: there is no atonce where it runs."""
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
    raise ConnectionError("its task has ended before it was found")


def _heard(task: asyncio.Future[Any]) -> None:
    """Nobody may be there any more to hear what it raised."""
    if not task.cancelled():
        task.exception()


def _answer(answer: Any) -> Any:
    """What the host gave. Raises where there is none, or where it failed."""
    told, value = answer
    if told == "gone":
        raise ConnectionError(value)
    return value


# ── in a Dask worker ─────────────────────────────────────────────────────────────────────────────────────────────────


def guest(topic: str, key: str) -> None:
    """The task: has a host made in this Dask worker's loop, tells where that is, and keeps its thread while there is one."""
    from distributed import get_worker

    worker = get_worker()
    worker.handlers[CALL] = _called
    over = asyncio.run_coroutine_threadsafe(_live(key), worker.loop.asyncio_loop)
    try:
        worker.log_event(topic, (key, worker.address))
        over.result()
    finally:
        over.cancel()


async def _live(key: str) -> None:
    host = _hosts[key] = Host()
    try:
        await asyncio.wait_for(host.found.wait(), FOUND)
        await host.over.wait()
    except TimeoutError:
        pass
    finally:
        del _hosts[key]
        with contextlib.suppress(Exception):
            await host.close()


async def _called(key: str, method: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """One call of a host that lives here. It answers in any case: Dask would log what is raised."""
    if key not in _hosts:
        return "gone", f"{key} does not live here any more"
    try:
        return "here", await getattr(_hosts[key], method)(*arguments)
    except Exception as error:
        return "gone", f"{method}: {type(error).__name__}: {error}"
