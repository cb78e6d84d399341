"""What came back under one limit, summed up: a window of successes, and what the limit that is held brings."""

from __future__ import annotations

import math

__all__ = ["Held", "Window"]


class Window:
    """Sums over the successes of one window. `fresh` are those that started in it."""

    __slots__ = ("_fresh", "_in_flight", "_square", "_sum", "fresh", "n", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.n = self.fresh = 0
        self._sum = self._square = self._fresh = 0.0
        self._in_flight = 0

    def add(self, latency: float, in_flight: int, fresh: bool) -> None:
        self.n += 1
        self._sum += latency
        self._square += latency * latency
        self._in_flight += in_flight
        if fresh:
            self.fresh += 1
            self._fresh += latency

    def rate(self, now: float) -> float:
        """Successes a second."""
        return self.n / max(now - self.since, 1e-9)

    @property
    def mean(self) -> float:
        return self._sum / self.n

    @property
    def fresh_mean(self) -> float:
        return self._fresh / self.fresh

    @property
    def in_flight(self) -> float:
        return self._in_flight / self.n

    @property
    def cv(self) -> float:
        """The spread of latencies as a share of their mean, from .1 to 1."""
        mean = self.mean
        if mean <= 0:
            return 1.0
        return min(1.0, max(0.1, math.sqrt(max(0.0, self._square / self.n - mean * mean)) / mean))

    @property
    def noise(self) -> float:
        """How far the mean is off, as a share of it."""
        return self.cv / math.sqrt(self.n)


class Held:
    """Throughput at the limit that is held: what a probe is compared with."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.n = 0

    def forget(self) -> None:
        self.rate, self.n = 0.0, 0

    def set(self, rate: float, n: int) -> None:
        self.rate, self.n = rate, n

    def add(self, rate: float, n: int) -> None:
        """A mean over all windows, and a moving one from eight on."""
        self.n += n
        self.rate += (rate - self.rate) * max(n / self.n, 1 / 8)

    def compare(self, window: Window, now: float) -> tuple[float, float]:
        """How many times as much the window brings, as a logarithm, and how far that may be off by chance."""
        # what a queue lets through varies however even its latencies are
        error = max(0.5, window.cv) * math.sqrt(1 / window.n + 1 / max(1, self.n))
        return math.log(window.rate(now) / self.rate) if self.rate else 0.0, error
