"""What a worker was given and has not reported: items by index, kept in the batches they came in for as long as that goes.

A worker with one slot finishes its items in the order it got them, so a report is a slice from the front, and nothing is
looked up item by item. What comes out of that order (several slots, a failure in the middle) has the batches taken apart
into dicts up to there, which costs 0.2 µs an item more.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, compress, repeat
from typing import Any, NamedTuple

from .backlog import Queued

__all__ = ["Held", "Taken", "first_of_each"]

# Items of a batch that is kept whole, at least: many batches of one item each would have to be gone through.
WORTH = 16


class Taken(NamedTuple):
    """Items, and when each of them was read."""

    items: Sequence[Any]
    read_at: Sequence[float]


class _Batch:
    """Items that follow one another in the input, all read at once. `items` is cut from the front."""

    __slots__ = ("first", "items", "read_at")

    def __init__(self, first: int, items: list[Any], read_at: float) -> None:
        self.first, self.items, self.read_at = first, items, read_at

    @property
    def indices(self) -> range:
        return range(self.first, self.first + len(self.items))

    def cut(self, count: int) -> list[Any]:
        items = self.items[:count]
        del self.items[:count]
        self.first += count
        return items


class Held(Mapping[int, Any]):
    """index → item. Batches are in the order of the input, since only what comes straight from there is kept in one."""

    __slots__ = ("_apart", "_batches", "_count", "_read_at")

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._apart: dict[int, Any] = {}  # what is in no batch, or in none any more
        self._read_at: dict[int, float] = {}  # of the same; a pair an item would be an object more for the garbage collector
        self._count = 0

    # ── in and out ───────────────────────────────────────────────────────────────────────────────────────────────────

    def give(self, indices: Sequence[int], items: Sequence[Any], read_at: Sequence[float] | float) -> None:
        """It has these as well, read when `read_at` says: all at once, or each at its own time."""
        self._count += len(indices)
        if isinstance(read_at, float):
            if isinstance(indices, range) and len(indices) >= WORTH:
                self._batches.append(_Batch(indices.start, list(items), read_at))
                return
            read_at = [read_at] * len(indices)
        self._apart.update(zip(indices, items, strict=True))
        self._read_at.update(zip(indices, read_at, strict=True))

    def take(self, indices: Sequence[int]) -> Taken | None:
        """What it reports. None, and nothing is taken, where it does not have all of these or tells of one twice."""
        if not self._apart and (ends := self._front(indices)):
            self._count -= len(indices)
            if len(ends) == 1:
                return Taken(*self._cut(ends[0]))
            parts = [self._cut(end) for end in ends]
            return Taken([*chain(*(items for items, _ in parts))], [*chain(*(times for _, times in parts))])
        self._take_apart(max(indices))
        held = len(self._apart)
        items = list(map(self._apart.pop, indices, repeat(None)))
        if held - len(self._apart) < len(items):
            right = first_of_each(indices, set(self._read_at))
            self._apart.update(compress(zip(indices, items, strict=True), right))
            return None
        self._count -= len(items)
        return Taken(items, list(map(self._read_at.pop, indices)))

    def pop_one(self, index: int) -> Queued | None:
        """One that it no longer has, or None if it does not have it."""
        if index not in self:
            return None
        self._take_apart(index)
        self._count -= 1
        return index, self._apart.pop(index), self._read_at.pop(index)

    def pop_all(self) -> list[Queued]:
        """All of them, by index; it has none then."""
        while self._batches:
            self._take_apart(self._batches[-1].indices[-1])
        rest = [(index, self._apart[index], self._read_at[index]) for index in sorted(self._apart)]
        self._apart.clear()
        self._read_at.clear()
        self._count = 0
        return rest

    # ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _front(self, indices: Sequence[int]) -> list[int]:
        """How many of each batch, from the first on, these are, one after another; empty: they are not."""
        ends = []
        at = 0
        for batch in self._batches:
            count = min(len(batch.items), len(indices) - at)
            span = range(batch.first, batch.first + count)
            part = indices[at : at + count]
            if part != span and (isinstance(part, range) or [*part] != [*span]):
                return []
            ends.append(count)
            at += count
            if at == len(indices):
                return ends
        return []

    def _cut(self, count: int) -> tuple[list[Any], list[float]]:
        """So many from the first batch."""
        batch = self._batches[0]
        if count == len(batch.items):
            self._batches.popleft()
            return batch.items, [batch.read_at] * count
        return batch.cut(count), [batch.read_at] * count

    def _take_apart(self, last: int) -> None:
        """The batches up to this index."""
        while self._batches and (first := self._batches[0].first) <= last:
            items, times = self._cut(min(len(self._batches[0].items), last + 1 - first))
            self._apart.update(zip(range(first, first + len(items)), items, strict=True))
            self._read_at.update(zip(range(first, first + len(items)), times, strict=True))

    def read_at(self, indices: Sequence[int]) -> list[float]:
        """When each of these was read, as far as it has them; nan for others."""
        if not self._apart and (ends := self._front(indices)):
            return list(chain(*(repeat(batch.read_at, end) for batch, end in zip(self._batches, ends, strict=False))))
        return [self._read(index) for index in indices]

    def _read(self, index: int) -> float:
        found = self._read_at.get(index)
        return next((batch.read_at for batch in self._batches if index in batch.indices), math.nan) if found is None else found

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return chain(tuple(self._apart), *(batch.indices for batch in tuple(self._batches)))

    def __contains__(self, index: object) -> bool:
        return index in self._apart or any(index in batch.indices for batch in tuple(self._batches))

    def __getitem__(self, index: int) -> Any:
        for batch in tuple(self._batches):  # few; and a display may look in from another thread
            if index in batch.indices:
                return batch.items[index - batch.first]
        return self._apart[index]


def first_of_each(indices: Sequence[int], known: set[int]) -> list[bool]:
    """True where an index is known and comes for the first time."""
    keep = []
    for index in indices:
        keep.append(index in known)
        known.discard(index)
    return keep
