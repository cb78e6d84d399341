"""Items in: any iterable, read lazily and only as far as somebody has room; an async one is read by `awaited.py`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

__all__ = ["PushSource", "Source", "length_of"]

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


def length_of(items: Any) -> int | None:
    """How many items there are, when it can be known without reading them."""
    try:
        return len(items)
    except Exception:  # no length, or one that cannot be told
        return None
