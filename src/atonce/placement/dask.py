"""`dask`: workers on a `distributed` cluster, each the guest of a long-lived task that keeps one of its threads.

    client.submit(guest) ──► a thread of a Dask worker, until the end      so that Dask counts it: it places it where a thread
    client.run(call) ──────► the event loop of that Dask worker ──► Host    is free, grows for it, and does not shrink over it

All bytes go over the cluster's own connections, by way of the scheduler. Where a Dask worker is lost, Dask starts the task
again elsewhere; nobody calls that one, and it ends: the near side has asked for another by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from functools import partial
from typing import Any

from ..errors import PlanError
from .cluster import Cluster, Far
from .host import Host

__all__ = ["Dask"]

# Seconds in which a guest must have been found by its near side.
FOUND = 15.0

_hosts: dict[str, Host] = {}  # in a Dask worker: who lives here


class Dask(Cluster):
    """`where`: the address of a scheduler, a `distributed.Client`, or None for a `LocalCluster`."""

    name = "dask"
    package = "distributed"

    def connect(self, where: Any) -> None:
        import dask
        from distributed import Client, LocalCluster

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
        self._client.subscribe_topic(self._topic, self._on_found)

    def disconnect(self) -> None:
        with contextlib.suppress(Exception):  # a scheduler that is gone
            self._client.unsubscribe_topic(self._topic)
        for each in reversed(self._ours):
            each.close()

    async def room(self) -> int:
        return sum((await self._client.nthreads()).values())

    def alive(self) -> bool:
        return bool(self._client.status == "running")

    async def start(self, name: str) -> Far:
        client, key = self._client, f"{name}-{uuid.uuid4().hex}"
        found = self._found[key] = self.loop.create_future()
        task = client.submit(guest, self._topic, key, key=key, pure=False)
        ended = asyncio.ensure_future(_ended(task))
        try:
            await asyncio.wait([found, ended], return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                ended.result()
            address = found.result()
        except BaseException:
            await client.cancel([task], force=True)
            raise
        finally:
            ended.cancel()
            del self._found[key]
        far = partial(self._call, key, address)
        self._tasks[far] = task
        return far

    def _on_found(self, event: Any) -> None:
        _, (key, address) = event
        if (found := self._found.get(key)) is not None and not found.done():
            found.set_result(address)

    async def _call(self, key: str, address: str, method: str, *arguments: Any) -> Any:
        return (await self._client.run(call, key, method, *arguments, workers=[address]))[address]

    async def stop(self, far: Far) -> None:
        await self._client.cancel([self._tasks.pop(far)], force=True)


async def _ended(task: Any) -> None:
    """Raises what the task raised: there is no atonce where it runs."""
    await task
    raise ConnectionError("its task has ended before it was found")


# ── in a Dask worker ─────────────────────────────────────────────────────────────────────────────────────────────────


def guest(topic: str, key: str) -> None:
    """The task: has a host made in this Dask worker's loop, tells where that is, and keeps its thread while there is one."""
    from distributed import get_worker

    worker = get_worker()
    loop = worker.loop.asyncio_loop
    over = asyncio.run_coroutine_threadsafe(_live(key), loop)
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
    finally:
        del _hosts[key]
        with contextlib.suppress(Exception):
            await host.close()


async def call(key: str, method: str, *arguments: Any) -> Any:
    """One call of a host that lives here."""
    if key not in _hosts:
        raise ConnectionError(f"{key} does not live here any more")
    return await getattr(_hosts[key], method)(*arguments)
