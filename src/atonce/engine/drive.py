"""The two drivers: the same conductor, driven by a thread that waits or by an event loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING

from .conductor import Conductor
from .finished import Batch

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncDrive", "drive"]


def drive(conductor: Conductor) -> Generator[Batch, None, None]:
    """Batches of outcomes as they become final. Closing the generator ends the run.

    When the run is cut short, by Ctrl-C or by an error, what was finished all the same comes as a last batch before that is
    raised. Ctrl-C is raised also where that batch was not wanted: a failure in it must not hide that the user wants to stop.
    """
    hub = conductor.hub
    cancel = True
    error: BaseException | None = None
    try:
        while True:
            conductor.pump()
            while conductor.emitted:
                yield conductor.emitted.popleft()  # no name: what the caller has let go is not kept alive
            if conductor.finished:
                break
            hub.wait(conductor.timeout())
        cancel = conductor.error is not None
    except KeyboardInterrupt as interrupt:
        error = interrupt
    finally:
        conductor.close(cancel=cancel)
    error = error or conductor.error
    if error is not None:
        if salvaged := conductor.take_salvaged():
            try:
                yield salvaged
            except GeneratorExit:
                if not isinstance(error, KeyboardInterrupt):
                    raise
        raise error


class AsyncDrive:
    """As `drive`, in the running loop: it watches the hub's descriptor instead of sleeping in it. `aclose` ends the run.

    Not an async generator: a loop that ends closes all of those at once, this one under the hands of the one that reads it.
    """

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._begun = self._over = False
        self._unwatch: Callable[[], object] = lambda: None

    def __aiter__(self) -> AsyncDrive:
        return self

    async def __anext__(self) -> Batch:
        conductor = self._conductor
        if not self._over:
            try:
                if await self._any():
                    return conductor.emitted.popleft()  # no name: what the caller has let go is not kept alive
            except BaseException:
                await self.aclose()
                raise
            await self._end(cancel=conductor.error is not None)
            if conductor.error is not None and (salvaged := conductor.take_salvaged()):
                return salvaged
        if conductor.error is not None:
            raise conductor.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._end(cancel=True)

    async def _any(self) -> bool:
        """Whether there is a batch; else the run is over."""
        conductor = self._conductor
        while not conductor.emitted:
            if not self._begun:
                self._begin()
            elif conductor.finished:
                return False
            else:
                await self._wait(conductor.timeout())
            self._news.clear()
            conductor.hub.wait(0)
            conductor.pump()
        return True

    def _begin(self) -> None:
        import asyncio  # 9 ms, which nobody else need wait for

        self._begun = True
        hub, loop, news = self._conductor.hub, asyncio.get_running_loop(), asyncio.Event()
        self._news = news
        hub.notify = lambda: _soon(loop, news)
        fileno = hub.fileno()
        if fileno is not None:
            with contextlib.suppress(NotImplementedError):  # Windows' proactor loop: there only threads post
                loop.add_reader(fileno, news.set)
                self._unwatch = partial(loop.remove_reader, fileno)

    async def _wait(self, seconds: float | None) -> None:
        import asyncio

        if seconds == 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _end(self, *, cancel: bool) -> None:
        if self._over:
            return
        self._over = True
        self._unwatch()
        await self._conductor.close_async(cancel=cancel)


def _soon(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    import asyncio

    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is loop:
        news.set()
    else:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(news.set)
