"""The two drivers: the same conductor, driven by a thread that waits or by an event loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING

from .conductor import Conductor
from .finished import Batch

if TYPE_CHECKING:
    import asyncio

__all__ = ["drive", "drive_async"]


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


async def drive_async(conductor: Conductor) -> AsyncGenerator[Batch, None]:
    """As `drive`, in the running loop: it watches the hub's descriptor instead of sleeping in it."""
    import asyncio  # 9 ms, which nobody else need wait for

    hub, loop = conductor.hub, asyncio.get_running_loop()
    news = asyncio.Event()
    fileno = hub.fileno()
    hub.notify = lambda: _soon(loop, news)
    watched = False
    if fileno is not None:
        with contextlib.suppress(NotImplementedError):  # Windows' proactor loop: there only threads post
            loop.add_reader(fileno, news.set)
            watched = True
    cancel = True
    try:
        while True:
            news.clear()
            hub.wait(0)
            conductor.pump()
            while conductor.emitted:
                yield conductor.emitted.popleft()
            if conductor.finished:
                break
            timeout = conductor.timeout()
            if timeout == 0:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await news.wait()
        cancel = conductor.error is not None
    finally:
        if watched and fileno is not None:
            loop.remove_reader(fileno)
        await conductor.close_async(cancel=cancel)
    if conductor.error is not None:
        if salvaged := conductor.take_salvaged():
            yield salvaged
        raise conductor.error


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
