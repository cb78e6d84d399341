"""Items in from an async iterable: a module of its own, since asyncio takes 9 ms to load, which most runs do without."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable
from typing import Any

__all__ = ["AsyncSource"]


class AsyncSource:
    """An async iterable. Its `anext` runs in the caller's loop, or in a loop in a thread when there is none."""

    def __init__(self, items: AsyncIterable[Any], wake: Callable[[], None], loop: asyncio.AbstractEventLoop | None) -> None:
        self._items = items
        self._wake = wake
        self._buffer: deque[Any] = deque()
        self._wanted = 0
        self._exhausted = False
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
        """Cancel the iteration; an async generator is closed in its own loop."""
        if self._thread is None:
            self._task.cancel()
        elif self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:  # the loop has just ended by itself
                pass
            self._thread.join()
        self._exhausted = True
        self._buffer.clear()

    def _own_thread(self) -> None:
        try:
            self._task = self._loop.create_task(self._pull())
            self._loop.run_until_complete(asyncio.wait([self._task]))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _pull(self) -> None:
        try:
            async for item in self._items:
                self._buffer.append(item)
                self._wake()
                while len(self._buffer) >= max(1, self._wanted):
                    self._room.clear()
                    await self._room.wait()
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.error = error
        finally:
            self._exhausted = True
            self._wake()
