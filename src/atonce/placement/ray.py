"""`ray`: workers on a Ray cluster, each with an actor of its own, which takes one CPU as long as it lives.

An actor is placed where a CPU is free, and a cluster that scales grows for it. Its calls go to its node directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

from .away import Far
from .cluster import Cluster, LoopThread
from .host import Host

__all__ = ["Ray"]

# Calls of one actor at once: `receive` waits while others are made.
CALLS = 8
# Seconds that the head node may be away, to be started again. After a minute of that Ray ends this process.
AWAY = 15.0


class Ray(Cluster):
    """`where`: an address as `ray.init` takes it, or None: the cluster this process is connected to, or one of its own.

    A process can be in one Ray cluster at a time. Who was connected before stays so; else the connection ends with the run.
    """

    name = "ray"
    package = "ray"
    # a call costs 1.3 ms of CPU, both sides together: at 25 a second for each of two workers a tenth of a core
    stretch = 4.0

    _users = 0
    _lock = threading.Lock()
    _loop: LoopThread

    def connect(self, where: Any) -> None:
        import ray

        with Ray._lock:  # runs at the same time share the connection
            if not Ray._users:
                Ray._loop = LoopThread("atonce-ray-loop", _connected(where))
            Ray._users += 1
        self.loop = Ray._loop.loop
        self._ray: Any = ray
        self._head = _head(ray)
        self._gone = False
        self._actor = ray.remote(Guest)
        self._actors: dict[Far, Any] = {}

    def disconnect(self) -> None:
        with Ray._lock:
            Ray._users -= 1
            if not Ray._users:
                Ray._loop.stop()
                del Ray._loop

    async def room(self) -> int:
        await self._reach_head()
        return int((await asyncio.to_thread(self._ray.cluster_resources)).get("CPU", 0))

    async def _reach_head(self) -> None:
        if self._head is None:
            return
        until = self.loop.time() + AWAY
        while True:
            try:
                _, writer = await asyncio.open_connection(*self._head)
            except OSError as error:
                if self.loop.time() > until:
                    self._gone = True
                    raise ConnectionError(
                        f"its head node does not answer at {self._head[0]}:{self._head[1]}: {error}"
                    ) from error
                await asyncio.sleep(1.0)
            else:
                writer.close()
                return

    async def start(self, name: str) -> Far:
        # atonce starts another when one is lost; Ray's own would be empty
        actor = self._actor.options(num_cpus=1, max_concurrency=CALLS, max_restarts=0).remote()
        far = partial(self._call, actor)
        try:
            await far("about")  # it waits for room
        except BaseException:
            self._ray.kill(actor)
            raise
        self._actors[far] = actor
        return far

    async def _call(self, actor: Any, method: str, *arguments: Any) -> Any:
        return await actor.call.remote(method, *arguments)

    async def stop(self, far: Far) -> None:
        actor = self._actors.pop(far)
        if not self._gone:  # it would wait for the head node
            self._ray.kill(actor)


class Guest:
    """The actor. Its methods are coroutines, so Ray runs them in an event loop, where the host is made by the first."""

    def __init__(self) -> None:
        self._host: Host | None = None

    async def call(self, method: str, *arguments: Any) -> Any:
        if self._host is None:
            self._host = Host()
        return await getattr(self._host, method)(*arguments)


def _head(ray: Any) -> tuple[str, int] | None:
    """Where it listens; None where a proxy is between (`ray://`), which does not tell."""
    with contextlib.suppress(Exception):
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        return host.strip("[]"), int(port)
    return None


@contextlib.contextmanager
def _connected(where: Any) -> Iterator[None]:
    """In the thread that stays: what Ray starts here ends, on Linux, with the thread that has started it."""
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(address=where, log_to_driver=False, logging_level="ERROR", include_dashboard=None if where else False)
    try:
        yield
    finally:
        ray.shutdown()
