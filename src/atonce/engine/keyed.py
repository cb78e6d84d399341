"""What has been read and not been given to a worker: one queue, or one for each key."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from ..outcome import Outcome

__all__ = ["Backlog", "KeyedBacklog", "Queued"]

Queued = tuple[int, Any, float]  # index, item, when it was read

# Items read past those whose key is full or parked, so that a list sorted by host does not idle the others.
LOOK_AHEAD = 1000


class Backlog:
    """First in, first out; what comes back goes to the front."""

    look_ahead = 0
    parked_until = math.inf

    def __init__(self) -> None:
        self._queue: deque[Queued] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def extend(self, first: int, items: Sequence[Any], now: float) -> list[tuple[int, Any, BaseException]]:
        """Items from the source; returns those that cannot be queued, with the reason."""
        self._queue.extend(zip(range(first, first + len(items)), items, repeat(now), strict=False))
        return []

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

    def start(self, indices: Sequence[int]) -> bool:
        """Count these, which are not in the queue, as in flight; False, and nothing counted, if their keys have no room."""
        return True

    def done(self, indices: Iterable[int]) -> None:
        """These no longer count as in flight."""

    def forget(self, outcomes: Iterable[Outcome[Any]]) -> None:
        """These are final."""

    def unpark(self, now: float) -> None:
        """Keys whose time has come may start again."""

    def park(self, index: int, until: float) -> None:
        """Nothing of this item's key may start before `until`."""


class KeyedBacklog(Backlog):
    """A queue for each key, taken from in turn; at most `per_key` of one key are in flight, none while it is parked."""

    look_ahead = LOOK_AHEAD

    def __init__(self, key: Callable[[Any], Any], per_key: int | None) -> None:
        super().__init__()
        self._key = key
        self._asked = per_key if per_key is not None else math.inf
        self._per_key: float = self._asked
        self._queues: dict[Any, deque[Queued]] = {}
        self._turn: deque[Any] = deque()  # keys that have items, in turn
        self._in_flight: Counter[Any] = Counter()
        self._keys: dict[int, Any] = {}  # index → key, from reading to the outcome: the function is called once an item
        self._started: set[int] = set()
        self._parked: dict[Any, float] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, first: int, items: Sequence[Any], now: float) -> list[tuple[int, Any, BaseException]]:
        failed: list[tuple[int, Any, BaseException]] = []
        queues, keys = self._queues, self._keys
        for index, item in enumerate(items, first):
            try:
                key = self._key(item)
                queue = queues.get(key)  # hashes it
            except Exception as error:  # the user's key function: this item's fault
                failed.append((index, item, error))
                continue
            keys[index] = key
            if queue is None:
                queue = queues[key] = deque()
                self._turn.append(key)
            queue.append((index, item, now))
        self._size += len(items) - len(failed)
        return failed

    def first(self, queued: Queued) -> None:
        key = self._keys[queued[0]]
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            self._turn.append(key)
        queue.appendleft(queued)
        self._size += 1

    def take(self, count: int, now: float) -> list[Queued]:
        taken: list[Queued] = []
        passed = 0  # keys in a row that had nothing to give
        while len(taken) < count and passed < len(self._turn):
            key = self._turn[0]
            self._turn.rotate(-1)
            if key in self._parked or self._in_flight[key] >= self._per_key:
                passed += 1
                continue
            passed = 0
            queue = self._queues[key]
            queued = queue.popleft()
            taken.append(queued)
            self._size -= 1
            self._in_flight[key] += 1
            self._started.add(queued[0])
            if not queue:
                del self._queues[key]
                self._turn.pop()  # it was rotated to the end
        return taken

    def slots(self, total: int) -> bool:
        # a key cannot have more in flight than there are slots: then nothing is counted, and items may wait at the worker
        self._per_key = self._asked if self._asked < total else math.inf
        return self._per_key != math.inf

    def start(self, indices: Sequence[int]) -> bool:
        keys = Counter(self._keys[index] for index in indices)
        if any(self._in_flight[key] + count > self._per_key for key, count in keys.items()):
            return False
        self._in_flight.update(keys)
        self._started.update(indices)
        return True

    def done(self, indices: Iterable[int]) -> None:
        for index in indices:
            if index in self._started:
                self._started.discard(index)
                key = self._keys[index]
                self._in_flight[key] -= 1
                if not self._in_flight[key]:
                    del self._in_flight[key]

    def forget(self, outcomes: Iterable[Outcome[Any]]) -> None:
        for outcome in outcomes:
            self._keys.pop(outcome.index, None)

    def unpark(self, now: float) -> None:
        if self._parked:
            for key in [key for key, until in self._parked.items() if until <= now]:
                del self._parked[key]

    def park(self, index: int, until: float) -> None:
        key = self._keys[index]
        self._parked[key] = max(until, self._parked.get(key, 0.0))

    @property
    def parked_until(self) -> float:  # type: ignore[override]
        return min(self._parked.values(), default=math.inf)
