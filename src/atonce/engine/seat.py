"""A worker as the machine sees it: what it was given, how quick it is, and how much it should have before it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from .held import Held

__all__ = ["AHEAD", "FINEST", "Seat"]

# Seconds of work a slot has before it besides the item it runs, so that it need not wait for the near side: three times
# the pace of reports, so that one may come late.
AHEAD = 0.12
# Items at a worker at most, however short: beyond this the hand-over is amortised, and only memory grows. At 1 024 items that
# do nothing cost 4 % more CPU, both sides together, and threads were switched twice as often.
MOST_AHEAD = 4096
# Items that the mean looks back on: a report of one item must not weigh as much as one of a thousand.
WINDOW = 64
# Seconds of work under which the end of the input is not cut finer: a hand-over costs 0.1 to 0.3 ms.
FINEST = 0.002


@dataclasses.dataclass(slots=True)
class Seat:
    """`assigned` is what the worker has and has not reported."""

    slots: int
    enforces_timeout: bool = False
    can_abandon: bool = False
    can_kill: bool = True
    can_cancel: bool = False
    only: int | None = None  # a probe takes this many items and no more
    ready: bool = False
    released: bool = False
    through: bool = False  # released, and told so
    alone: bool = False  # runs suspects and nothing else
    killed: bool = False
    assigned: Held = dataclasses.field(default_factory=Held)
    ghosts: set[tuple[int, float]] = dataclasses.field(default_factory=set)  # (index, start) given up: may still report
    condemned: dict[int, BaseException] = dataclasses.field(default_factory=dict)  # killed for these
    horizon: float = AHEAD
    left: int | None = None  # items it may still be given, before a fresh worker takes over; None: any number
    before: int | None = None  # the worker that it takes over from, and that is not through yet
    booted: bool = False  # could be fed, were there not that one
    mean: float = math.inf  # seconds an item takes in its slot
    ahead: float = 0.0  # items a slot has before it
    seconds: float = 0.0  # of the items in the window
    count: float = 0.0  # how many those are

    @property
    def open(self) -> bool:
        """Whether it may be given more."""
        return self.ready and not (self.released or self.alone or self.killed)

    def learn(self, seconds: float, count: int) -> None:
        """`count` items took so long. The look-ahead at most quadruples a step: one quick first item cannot mislead it far."""
        self.seconds, self.count = self.seconds + seconds, self.count + count
        self.mean = max(self.seconds / self.count, 1e-7)
        if self.count > WINDOW:
            self.seconds, self.count = self.mean * WINDOW, WINDOW
        self.ahead = min(self.horizon / self.mean, 4 * self.ahead + 4)

    def target(self, fair_share: float) -> int:
        """How many items it should have; `fair_share` bounds how many a slot has before it."""
        if self.only is not None:
            return len(self.assigned) + self.only
        ahead = min(self.ahead, fair_share)
        target = min(self.slots + round(self.slots * ahead), max(self.slots, MOST_AHEAD))
        return target if self.left is None else min(target, len(self.assigned) + self.left)

    # ── its items ────────────────────────────────────────────────────────────────────────────────────────────────────

    def give(self, indices: Sequence[int], items: Sequence[Any], read_at: Sequence[float] | float) -> None:
        """It has these now."""
        self.assigned.give(indices, items, read_at)
        if self.only is not None:
            self.only -= len(indices)
        if self.left is not None:
            self.left = max(0, self.left - len(indices))
