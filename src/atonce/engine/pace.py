"""When the next item may start, and how many may be in flight: the rate that was asked for, and what is found out."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

from .bucket import TokenBucket
from .events import Command, Resize
from .limit import SILENCE
from .policy import Policy
from .seat import Seat
from .steering import Steering

__all__ = ["Pace"]


class Pace:
    """Of all that starts, whatever its key. `steering` is None where how many may be in flight is fixed."""

    def __init__(self, policy: Policy, max_wait: float) -> None:
        self._bucket = TokenBucket(policy.rate) if policy.rate is not None else None
        self._max_wait, self._cores = max_wait, policy.cores
        self.steering: Steering | None = None
        self._first_at = math.inf  # when something started, while nothing has come back
        self._look_at = math.inf
        self._next_at = math.inf
        self._told = -1  # the limit that `move` has given last

    def steer(self, start: int, most: int) -> None:
        """Find out how many may be in flight: `start` in all to begin with, `most` at most."""
        self.steering = Steering(start, most, max_wait=self._max_wait, cores=self._cores)
        self._first_at = math.inf

    def unsteer(self) -> None:
        """That is fixed from now on."""
        self.steering = None
        self._look_at = math.inf

    @property
    def steered(self) -> bool:
        return self.steering is not None and self.steering.awake

    @property
    def gated(self) -> bool:
        """Whether an item may have to wait for its start although there is room for it."""
        return self._bucket is not None or self.pacing

    @property
    def pacing(self) -> bool:
        """Whether that is because of what was found out."""
        return self.steering is not None and self.steering.pacing

    @property
    def next_at(self) -> float:
        """When the next may start, or nothing has come back for too long."""
        return min(self._next_at, self._look_at)

    def passed(self, now: float) -> None:
        """It may have to be asked again when the next may start."""
        if now >= self._next_at:
            self._next_at = math.inf

    def allowed(self, now: float) -> int:
        """How many may start now by the rate that was asked for, and by the one that was found out."""
        allowed, self._next_at = sys.maxsize, math.inf
        if self._bucket is not None:
            allowed = self._bucket.allowed(now)
            if not allowed:
                self._next_at = self._bucket.next_at(now)
        if self.steering is not None and self.steering.pacing and not self.steering.allowed(now):
            allowed = 0
            self._next_at = max(self.steering.next_at(now), self._next_at if self._next_at < math.inf else 0.0)
        return allowed

    def spend(self, count: int, now: float) -> None:
        """So many start."""
        if self._bucket is not None:
            self._bucket.spend(count)
        if self.steering is not None:
            self.steering.spend(count, now)

    # ── what comes back ──────────────────────────────────────────────────────────────────────────────────────────────

    def fed(self, now: float) -> None:
        """A worker was given something."""
        if self._first_at == math.inf:
            self._first_at = now
            if self.steering is not None:
                self._look_at = now + SILENCE

    def heard(self) -> None:
        """Something came back."""
        self._look_at = math.inf

    def silent(self, now: float) -> bool:
        """Whether nothing has come back for too long, which moves the limit."""
        if now < self._look_at:
            return False
        assert self.steering is not None
        self.steering.nothing_came(self._first_at, now)
        self._look_at = now + SILENCE if self.steering.slots < self.steering.most_unheard else math.inf
        return True

    def share(self, seats: Mapping[int, Seat]) -> list[Command]:
        """Share the limit out anew among those that may be given something."""
        assert self.steering is not None
        able = [
            (worker, seat) for worker, seat in seats.items() if not (seat.released or seat.killed or seat.before is not None)
        ]
        commands: list[Command] = []
        for (worker, seat), slots in zip(able, self.steering.share(len(able)), strict=True) if able else ():
            if slots != seat.slots:
                seat.slots = slots
                commands.append(Resize(worker, slots))
        return commands

    # ── for who looks on ─────────────────────────────────────────────────────────────────────────────────────────────

    def move(self) -> tuple[int, str] | None:
        """(how many may be in flight, why), where that has changed since the last time."""
        steering = self.steering
        if steering is None or not steering.awake or steering.slots == self._told:
            return None
        self._told = steering.slots
        return steering.slots, steering.why
