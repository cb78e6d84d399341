"""START of a limit: as many more for each that comes back as latency allows, until more in flight brings no more.

    nothing back ──► the first round tells what items take ──► rounds, each under more ──► two that brought no more: over
                     without a queue                            than the one before

A round is a handful of successes that started after the one before had ended, so a latency at least.
"""

from __future__ import annotations

import math
from collections import deque

from .window import Window

__all__ = ["GROWTH", "TAU", "USED", "Ramp"]

# The price of one more in flight: throughput must grow by at least this power of the limit. .NET's thread pool has the same
# bias (10 % more threads for 1.5 % more throughput).
TAU = 0.15
# Room is made, and a window counts, where at least so much of the limit was used: else the source is what is slow.
USED = 0.7

# Successes that a round needs.
ROUND = 8
# In flight grow to 3 times as many each latency, where TCP doubles (delay of 100 ms: 1.6 times the oracle's time, 1.8 with
# doubling), and to 6 times where the last round was flat: its latency, with its noise, at most so many times the usual one,
# the noise itself at most so much (50 ms ± 5 %, 10 000 items: 1.37 times the oracle's time, 1.55 with 3; 8 gains nothing more).
GROWTH, SURE = 3.0, 6.0
EVEN, NOISE = 1.15, 0.1
# A first round whose latencies are alike, their spread that share of the mean, need not be longer than what it began with, and
# makes so many times as many of those.
ALIKE, FIRST = 0.2, 4.0
# A success makes room only if it took no longer than so many times what items take; twice as long, with little to show for
# it, ends the start (a server that thrashes: 1.45 times the oracle's time; 1.6 without).
FLAT, TWICE = 1.5, 2.0
# Before anything is known: up to `FREE` (or twice as many as it began with) before a latency has passed, up to `UNPROVEN` (or
# three times as many, or half as many again as were in flight) before two rounds have been compared. With a start of 4, 8 and
# 12 cost a latency more.
FREE, UNPROVEN, HALF_MORE = 16, 32, 1.5
# A round whose number in flight did not grow to so many times that of the best round counts half when it brings no more:
# chance does as much (lognormal latencies: 4.8 times the oracle's time in the worst of 12 seeds, now 1.9).
CLEARLY_MORE = 1.5


class Ramp:
    """Of one limit, that begins with `start`. Pure: time is passed in. `best` is (successes a second, in flight meanwhile),
    `usual` the latency while there is no queue."""

    def __init__(self, start: int, limit: int) -> None:
        self.best = (0.0, 1.0)
        self.usual = 0.0
        self._start = start
        self._growth = GROWTH
        self._misses = 0.0
        self._first = start  # in flight when the first came back
        self._unproven = math.inf  # not above this before two rounds have been compared
        self._offers = deque([(-math.inf, limit)])  # from when on how many could start

    def begin(self, in_flight: int, limit: float) -> None:
        """The first has come back."""
        self._first = in_flight
        self._unproven = max(GROWTH * self._start, HALF_MORE * limit, UNPROVEN)
        self._offers = deque([(-math.inf, min(self._offers[-1][1], in_flight))])

    def offer(self, now: float, limit: int) -> None:
        """From now on items start under this limit."""
        if limit != self._offers[-1][1]:
            self._offers.append((now, limit))

    def grown(self, limit: float, latency: float, in_flight: int, started: float) -> float:
        """The limit after a success: what came back makes room for more, if what could start when it started did so."""
        offers = self._offers
        while len(offers) > 1 and offers[1][0] <= started:
            offers.popleft()
        flat = latency <= FLAT * self.usual if self.usual else limit < max(2 * self._start, FREE)
        if not flat or self._misses >= 1 or in_flight < USED * offers[0][1]:
            return limit
        return max(limit, min(limit + self._growth - 1, self._unproven))

    def is_round(self, window: Window, limit: float) -> bool:
        """Whether the window is long enough to be one."""
        # where latencies vary, the first to come back are the quick ones: then all must have, to know what is usual
        enough = max(ROUND, 2.5 * (window.cv - 0.1) * limit)
        if not self.usual and window.n and window.cv <= ALIKE:
            limit = self._first
        return window.fresh >= min(ROUND, limit) and window.n >= min(enough, limit)

    def first(self, window: Window, limit: float) -> float:
        """The limit after the first round. It began with nothing in flight: good for the usual latency, not for more."""
        self.usual = window.fresh_mean
        if window.cv > ALIKE:
            return limit
        self._growth = SURE
        return max(limit, min(FIRST * self._first, self._unproven))

    def round(self, window: Window, now: float, limit: float) -> None:
        """A latency has passed."""
        mean, noise, rate = window.fresh_mean, window.noise, window.rate(now)
        best, at = self.best
        more = window.in_flight / at
        self._growth = SURE if noise <= NOISE and mean * (1 + noise) <= EVEN * self.usual else GROWTH
        if mean <= FLAT * self.usual:
            self._unproven = math.inf
            if not best:
                self.usual = max(self.usual, mean)  # the first to come back were the quick ones
        if best and mean > TWICE * self.usual and rate <= best * max(1.5, math.sqrt(more)):
            self._misses = 2.0
        elif rate > best * more**TAU * (1 + 0.5 * noise) and (more > 1.1 or not best):
            if best and rate > best * math.sqrt(more):
                self.usual = max(self.usual, mean)
            self.best = (rate, window.in_flight)
            self._misses = 0.0
        elif window.in_flight >= USED * limit:
            self._misses += 1 if more >= CLEARLY_MORE else 0.5

    @property
    def grows(self) -> bool:
        """Whether the last round brought more."""
        return not self._misses

    @property
    def over(self) -> bool:
        """Whether more in flight brings no more."""
        return self._misses >= 2
