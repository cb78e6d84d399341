"""How many items may start, and when: the rate."""

from __future__ import annotations

from ..options import Rate

__all__ = ["TokenBucket"]


class TokenBucket:
    """At most `rate.count` starts `per` seconds; `burst` of them may come at once. Pure: time is passed in."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._then: float | None = None

    def allowed(self, now: float) -> int:
        """How many may start now."""
        if self._then is not None:
            self._tokens = min(float(self._rate.burst), self._tokens + (now - self._then) * self._rate.a_second)
        self._then = now
        # a millionth forgiven: the clock's own rounding must not cost a turn
        return int(self._tokens + 1e-6)

    def spend(self, count: int) -> None:
        self._tokens -= count

    def next_at(self, now: float) -> float:
        """When the next one may start, after `allowed(now)` said none."""
        return now + max(0.0, 1.0 - self._tokens) / self._rate.a_second
