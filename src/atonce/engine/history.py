"""What a run remembers of itself until its end: `History`, the moves of the limit with their reasons, and memory. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Again", "History", "Move", "Weight"]

# At most so many of each are kept; then every second one is dropped, so that a run of days remembers as much as one of minutes.
MOST = 1000
# Seconds between two looks at memory, to begin with: one costs some 10 µs a process.
EVERY = 0.5


class Move(NamedTuple):
    """From `at` (`time.monotonic()`) on `limit` may be in flight, and why; of one `key`, or of all ("")."""

    at: float
    limit: int
    why: str
    key: str = ""


class Again(NamedTuple):
    """At `at` an item had failed `attempts` times, the last time with `error`, and is tried again from `then` on."""

    at: float
    item: int
    attempts: int
    then: float
    error: BaseException | None = None


class Weight(NamedTuple):
    """Bytes in RAM: of this process and of its worker processes, what they share counted in each of them (RSS)."""

    at: float
    own: int
    workers: int


class History:
    """Of one run, which began at `began`. `next_look` is when memory is to be looked at again."""

    def __init__(self, began: float = 0.0) -> None:
        self.began = began
        self.moves: list[Move] = []
        self.weights: list[Weight] = []
        self.bytes = self.peak = 0
        self.next_look = -math.inf
        self._every = EVERY

    def moved(self, move: Move) -> None:
        if len(self.moves) >= MOST:
            del self.moves[1::2]
        self.moves.append(move)

    def weighed(self, weight: Weight) -> None:
        if len(self.weights) >= MOST:
            del self.weights[1::2]
            self._every *= 2
        self.weights.append(weight)
        self.bytes = weight.own + weight.workers
        self.peak = max(self.peak, self.bytes)
        self.next_look = weight.at + self._every

    def since(self, zero: float) -> History:
        """A copy whose times count from `zero`."""
        copy = History(self.began - zero)
        copy.moves = [move._replace(at=move.at - zero) for move in self.moves]
        copy.weights = [weight._replace(at=weight.at - zero) for weight in self.weights]
        copy.bytes, copy.peak = self.bytes, self.peak
        return copy
