"""Items in: any iterable or async iterable, read lazily and only as far as somebody has room."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from itertools import islice
from typing import Any

__all__ = ["AsyncSource", "PushSource", "Source", "length_of"]

# Seconds that one `read` may take of the driver's time before it looks after the workers again.
SLICE = 0.01


class Source:
    """A sync iterable, read in the caller's thread (a generator or a cursor may depend on its thread).

    `read(n)` gives up to n items. Fewer mean that it took long or that they ended: `ended` tells. A slow iterable is read
    one item at a time, so that outcomes are handed out between two of its items. What the iterable raises ends it, and is
    kept in `error`.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._iterator = iter(items)
        self._piece = 1
        self.ended = False
        self.pending = False  # whether more will come later, with a wake-up
        self.error: BaseException | None = None

    def read(self, count: int) -> list[Any]:
        items: list[Any] = []
        until = time.monotonic() + SLICE
        while len(items) < count and not self.ended:
            before = time.monotonic()
            piece = min(self._piece, count - len(items))
            came = len(items)
            try:
                items.extend(islice(self._iterator, piece))
            except Exception as error:
                # `extend` keeps what had come before the iterable raised
                self.error, self.ended = error, True
                break
            self.ended = len(items) - came < piece
            now = time.monotonic()
            self._piece = min(4096, self._piece * 2) if now - before < SLICE / 4 else max(1, self._piece // 4)
            if now >= until:
                break
        return items

    def close(self) -> None:
        """Nothing more will be read."""
        self.ended = True


class PushSource:
    """Items that are pushed by any thread, for the executor."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._items: deque[Any] = deque()
        self._wake = wake
        self._closing = False
        self.error: BaseException | None = None

    @property
    def ended(self) -> bool:
        return self._closing and not self._items

    @property
    def pending(self) -> bool:
        return not self._items and not self._closing

    def push(self, item: Any) -> None:
        self._items.append(item)
        self._wake()

    def read(self, count: int) -> list[Any]:
        items: list[Any] = []
        while self._items and len(items) < count:
            items.append(self._items.popleft())
        return items

    def close(self) -> None:
        self._closing = True
        self._wake()


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


def length_of(items: Any) -> int | None:
    """How many items there are, when it can be known without reading them."""
    try:
        return len(items)
    except Exception:  # no length, or one that cannot be told
        return None
