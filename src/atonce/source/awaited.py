"""Items in from an async iterable: a module of its own, since asyncio takes 9 ms to load, which most runs do without."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, Callable
from types import AsyncGeneratorType
from typing import Any

__all__ = ["AsyncSource"]

# Seconds that an iterable in the caller's loop may take to end what it was at when it is cancelled.
PATIENCE = 1.0


class AsyncSource:
    """An async iterable. Its `anext` runs in the caller's loop, or in a loop in a thread when there is none."""

    def __init__(self, items: AsyncIterable[Any], wake: Callable[[], None], loop: asyncio.AbstractEventLoop | None) -> None:
        self._items = items
        self._wake = wake
        self._buffer: deque[Any] = deque()
        self._wanted = 0
        self._exhausted = False
        self._closing = False
        self.error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if loop is None:
            self._loop = asyncio.new_event_loop()
            self._room = asyncio.Event()
            self._thread = threading.Thread(target=self._own_thread, name="atonce-source", daemon=True)
            try:
                self._thread.start()
            except BaseException:
                self._loop.close()
                raise
        else:
            self._loop = loop
            self._room = asyncio.Event()
            self._task = loop.create_task(self._pull())

    @property
    def ended(self) -> bool:
        return self._exhausted and not self._buffer

    @property
    def pending(self) -> bool:
        return not self._buffer and not self._exhausted

    def read(self, count: int) -> list[Any]:
        items: list[Any] = []
        while self._buffer and len(items) < count:
            items.append(self._buffer.popleft())
        self._wanted = count
        if not self._exhausted:
            if self._thread is None:
                self._room.set()
            else:
                self._loop.call_soon_threadsafe(self._room.set)
        return items

    def close(self) -> None:
        """Cancel the iteration; an async generator is closed, in the loop that read it."""
        self._closing = True
        if self._thread is None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed
                self._task.cancel()
        elif self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:  # the loop has just ended by itself
                pass
            self._thread.join()
        self._exhausted = True
        self._buffer.clear()

    async def wait_closed(self) -> None:
        """In the caller's loop `close` cannot wait until the iterable has ended what it was at: await this after it.

        Not for longer than `PATIENCE`: it may refuse to be cancelled.
        """
        if self._thread is not None:
            return
        until, cancelled = time.monotonic() + PATIENCE, None
        while not self._task.done() and (left := until - time.monotonic()) > 0:
            try:
                await asyncio.wait([self._task], timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _own_thread(self) -> None:
        try:
            self._task = self._loop.create_task(self._pull())
            self._loop.run_until_complete(asyncio.wait([self._task]))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _pull(self) -> None:
        try:
            iterator = aiter(self._items)
            try:
                async for item in iterator:
                    self._buffer.append(item)
                    self._wake()
                    while len(self._buffer) >= max(1, self._wanted):
                        self._room.clear()
                        await self._room.wait()
            finally:
                if isinstance(iterator, AsyncGeneratorType):  # one that has ended does nothing
                    await iterator.aclose()
        except asyncio.CancelledError as error:
            if not self._closing:  # what it awaited was cancelled: that is no end of the items
                self.error = error
        except Exception as error:
            self.error = error
            if self._closing:
                self._loop.call_exception_handler({"message": "the async generator of items did not close", "exception": error})
        except BaseException as error:
            self.error = error
            if self._thread is None:
                raise
        finally:
            self._exhausted = True
            self._wake()
