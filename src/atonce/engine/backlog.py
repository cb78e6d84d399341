"""What has been read and not been given to a worker: one queue. `KeyedBacklog` has one for each key."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import Any

from .finished import Batch

__all__ = ["Backlog", "Queued"]

Queued = tuple[int, Any, float]  # index, item, when it was read


class Backlog:
    """First in, first out; what comes back goes to the front."""

    parked_until = math.inf
    look_at = math.inf  # when it is worth asking `looks_on` again, should nothing happen before
    gave_up: Collection[Any] = ()  # keys whose items fail without being started: see `hopeless`
    has_homes = False  # some items are for one worker only: see `home`
    has_news = False  # one of them does not answer since `hopeless` was asked last: see `is_hopeless`

    def __init__(self) -> None:
        self._queue: deque[Queued] = deque()
        self.moved: list[tuple[Any, int, str]] = []  # (key, limit, why) since somebody took it

    def __len__(self) -> int:
        return len(self._queue)

    def extend(self, first: int, items: Sequence[Any], now: float) -> list[tuple[int, Any, BaseException]]:
        """Items from the source; returns those that cannot be queued, with the reason."""
        self._queue.extend(zip(range(first, first + len(items)), items, repeat(now), strict=False))
        return []

    def looks_on(self, now: float, most: float) -> bool:
        """Whether more is to be read past what may not start, for workers with nothing to do; `most` fit into memory."""
        return False

    def first(self, queued: Queued) -> None:
        self._queue.appendleft(queued)

    def take(self, count: int, now: float) -> list[Queued]:
        queue = self._queue
        if count >= len(queue):
            taken = list(queue)
            queue.clear()
            return taken
        pop = queue.popleft
        return [pop() for _ in range(count)]

    def slots(self, total: int) -> bool:
        """There are this many slots in all. Whether that leaves something for a limit per key to do."""
        return False

    def start(self, indices: Sequence[int], now: float) -> bool:
        """Count these, which are not in the queue, as in flight; False, and nothing counted, if their keys have no room."""
        return True

    def adapt(self, start: int, now: float) -> None:
        """Find out how many of a key may be in flight, if nobody has said, with `start` to begin with."""

    def told(self, report: Any, worker: int, now: float) -> None:
        """What a worker reports, before `done`."""

    def hopeless(self, now: float) -> list[tuple[Queued, BaseException]]:
        """Take out what nobody will start, each with the reason."""
        return []

    def is_hopeless(self, index: int, now: float) -> bool:
        """Whether this item, which waits for another try, would be taken out."""
        return False

    def home(self, index: int) -> int | None:
        """The worker that this item is for, if there is one."""
        return None

    def has_answered(self, index: int) -> bool:
        """Whether there was a sign of life of this item's key."""
        return False

    def learned(self) -> None:
        """The run is over."""

    @property
    def why(self) -> str:
        """In a line, for the key with the most to do."""
        return ""

    def done(self, indices: Iterable[int]) -> None:
        """These no longer count as in flight."""

    def forget(self, outcomes: Batch) -> None:
        """These are final."""

    def unpark(self, now: float) -> None:
        """Keys whose time has come may start again."""

    def park(self, index: int, until: float, now: float) -> None:
        """Nothing of this item's key may start before `until`."""

    @property
    def unheard(self) -> int:
        """Keys that have something in flight, and of which nothing has come back yet; from any thread."""
        return 0

    def parked(self, now: float) -> list[tuple[Any, float, int, bool, BaseException | None]]:
        """(key, until when, how many of its items wait, whether it asked for that: else nobody answers there, the last failure)
        of keys of which nothing may start now; from any thread."""
        return []
