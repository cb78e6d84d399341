"""An input that may block, such as stdin, without holding up the run: `Fed`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Any

__all__ = ["Fed"]

_AHEAD = 1000  # items read before anybody asks for them

_END = object()


class Fed:
    """An iterable, iterated in a thread of its own, as an async iterable.

    The engine reads a plain iterable in the thread that also hands out outcomes: while that waits for a line which
    somebody has yet to type, the lines before would wait with it. The thread is a daemon since nothing can end a read
    of stdin: after Ctrl-C it is left to the end of the process.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    async def __aiter__(self) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        came: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()
        room = threading.Semaphore(_AHEAD)
        ended = threading.Event()

        def put(item: Any, error: BaseException | None = None) -> None:
            room.acquire()
            if not ended.is_set():
                with contextlib.suppress(RuntimeError):  # the loop was closed just now
                    loop.call_soon_threadsafe(came.put_nowait, (item, error))

        def feed() -> None:
            try:
                for item in self._items:
                    put(item)
                    if ended.is_set():
                        return
            except Exception as error:
                put(_END, error)
            else:
                put(_END)

        threading.Thread(target=feed, name="atonce-input", daemon=True).start()
        try:
            while True:
                item, error = await came.get()
                room.release()
                if error is not None:
                    raise error
                if item is _END:
                    return
                yield item
        finally:
            ended.set()
            room.release(2)  # one for the item that waits, one for the end after it
