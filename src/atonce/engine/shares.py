"""How much each worker is given: look-ahead by time, in even shares towards the end of the input, bounded in bytes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .policy import Policy
from .seat import FINEST, Seat

__all__ = ["Shares"]

# Bytes of items before the workers, and of outcomes held back for their order, at most (estimated from samples).
MOST_BYTES = 64 << 20


class Shares:
    """Of `seats`, which it looks at only. `limited`: an item given is an item started, so nothing may wait at a worker.

    `left` is how many items nobody has yet, as far as that is known.
    """

    def __init__(self, policy: Policy, seats: Mapping[int, Seat]) -> None:
        self._policy, self._seats = policy, seats
        self.limited = False
        self._item_bytes = 0.0
        self._value_bytes = 0.0

    def item(self, nbytes: float) -> None:
        """An item has so many bytes."""
        self._item_bytes = _moving(self._item_bytes, nbytes)

    def value(self, nbytes: float) -> None:
        """So has what came of one."""
        self._value_bytes = _moving(self._value_bytes, nbytes)

    def too_many(self, values: int) -> bool:
        """Whether so many are too much to hold back."""
        return values * self._value_bytes > MOST_BYTES

    def readable(self, count: int) -> int:
        """How many of these items may be read at once."""
        if self._item_bytes * count > MOST_BYTES:
            return max(1, int(MOST_BYTES / self._item_bytes))
        return max(0, count)

    @property
    def holdable(self) -> float:
        """How many items there is room for before the workers."""
        return MOST_BYTES / self._item_bytes if self._item_bytes else math.inf

    def target(self, seat: Seat, left: int) -> int:
        """How many items it should have."""
        if self.limited:
            return min(seat.slots, seat.target(math.inf))
        share = self._policy.most_ahead
        if self._policy.total is not None and len(self._seats) > 1:
            share = min(share, max(left / (4 * len(self._seats) * seat.slots), FINEST / seat.mean))
        # what it has before it is held twice where it was carried, comes back as values, and may have to wait for the reader
        most = max(self._item_bytes, self._value_bytes)
        if most > 0:
            share = min(share, MOST_BYTES / (most * len(self._seats) * seat.slots))
        return seat.target(share)

    def needs(self, left: int) -> list[tuple[int, int]]:
        """(worker, items) of those that run low: below half of their look-ahead, so that batches stay large."""
        needs = []
        for worker, seat in self._seats.items():
            if not seat.open:
                continue
            target = self.target(seat, left)
            need = target - len(seat.assigned)
            if need > 0 and need >= (target - seat.slots) // 2:
                needs.append((worker, need))
        return needs

    def room(self, left: int) -> int:
        """How many items all of them need."""
        return sum(need for _, need in self.needs(left))

    def split(self, count: int, left: int) -> list[tuple[int, int]]:
        """(worker, items) for `count` items: first one for each free slot, emptiest worker first, then look-ahead evenly."""
        needs, seats = self.needs(left), self._seats
        total = sum(need for _, need in needs)
        if count >= total:
            return needs
        needs.sort(key=lambda pair: len(seats[pair[0]].assigned) / seats[pair[0]].slots)
        free = [min(need, max(0, seats[worker].slots - len(seats[worker].assigned))) for worker, need in needs]
        shares = _spread(count, free)
        rest = count - sum(shares)
        if rest:
            more = _spread(rest, [need - had for (_, need), had in zip(needs, shares, strict=True)])
            shares = [had + extra for had, extra in zip(shares, more, strict=True)]
        return [(worker, share) for (worker, _), share in zip(needs, shares, strict=True) if share]


def _spread(count: int, rooms: list[int]) -> list[int]:
    """`count` things over rooms, in proportion to their size, the first rooms getting the remainder; at most what fits."""
    total = sum(rooms)
    if count >= total:
        return list(rooms)
    shares = []
    for room in rooms:
        share = min(room, math.ceil(room * count / total)) if total else 0
        shares.append(share)
        count, total = count - share, total - room
    return shares


def _moving(old: float, new: float) -> float:
    """A mean that follows growth at once and shrinks slowly: it bounds memory."""
    return max(new, old + (new - old) / 8)
