"""How many items may start, and when: the rate."""

from __future__ import annotations

from ..options import Rate

__all__ = ["SLACK", "TokenBucket"]

# Seconds that starts may come late and be made up for: timers are no finer than a millisecond, and a loop that is busy looks at
# them some milliseconds later. Without it each late wake-up was lost for good: who asked for 1000/s got 530.
SLACK = 0.01
# Seconds in which starts that are due gather, once all that were have begun and where that is more than one: 2000/s need not
# wake anybody two thousand times (half the processor time).
TICK = 0.004


class TokenBucket:
    """At most `rate.count` starts `per` seconds; `burst` of them, or what is `SLACK` late, may come at once. Pure: time is
    passed in."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._most = max(float(rate.burst), 1.0 + SLACK * rate.a_second)
        self._tokens = float(rate.burst)
        self._tick = TICK if TICK * rate.a_second > 1.0 else 0.0
        self._then: float | None = None
        self._not_before = 0.0

    def allowed(self, now: float) -> int:
        """How many may start now."""
        if self._then is not None:
            self._tokens = min(self._most, self._tokens + (now - self._then) * self._rate.a_second)
        self._then = now
        # a millionth forgiven: the clock's own rounding must not cost a turn
        return int(self._tokens + 1e-6) if now >= self._not_before else 0

    def spend(self, count: int) -> None:
        """So many start, of those `allowed` just now."""
        self._tokens -= count
        if self._then is not None and self._tokens < 1.0:  # else whoever runs them had no room for more
            self._not_before = self._then + self._tick

    def next_at(self, now: float) -> float:
        """When the next one may start, after `allowed(now)` said none."""
        return max(now + max(0.0, 1.0 - self._tokens) / self._rate.a_second, self._not_before)
