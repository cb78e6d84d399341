"""How far others are looked for past items that may not start: `Ahead`. Pure."""

from __future__ import annotations

import math

__all__ = ["LEAST", "MOST", "Ahead"]

# Items that wait in memory, so that a list sorted by host does not idle the others: always, and at most, where those that wait
# will do so for long. One of `fetch` has about 500 bytes.
LEAST, MOST = 1000, 100_000
# Seconds between two looks at how fast they go; and those within which all that wait should start, or it is looked further.
EVERY, SOON = 0.25, 10.0


class Ahead:
    """It is asked (`more`) when something might start if only it were known, and told of what `started`.

    A host that takes 5 000 a second is not looked past by more than `LEAST`: what waits for it starts soon. One that takes one
    in five seconds would have the whole list wait for it, as soon as `LEAST` of its items had come. Twice as many are let in
    each time, so that no more is in memory than has to be.
    """

    __slots__ = ("_since", "_started", "items", "look_at")

    def __init__(self) -> None:
        self.items = LEAST
        self.look_at = math.inf  # when it is worth asking again, should nothing happen before
        self._since = -math.inf  # of the look that is under way
        self._started = 0

    def __repr__(self) -> str:
        return f"<Ahead {self.items} items>"

    def started(self, count: int) -> None:
        self._started += count

    def more(self, waiting: int, now: float, most: float = MOST) -> bool:
        """Whether more is to be read while so many wait. `most`: what there is room for."""
        if waiting < self.items:
            self.look_at = math.inf
            return True
        seconds = now - self._since
        slow = waiting * seconds > SOON * self._started
        if seconds >= EVERY:
            judged = self._since > -math.inf
            self._since, self._started = now, 0
            if judged and slow and self.items < most:
                self.items = int(min(2 * self.items, MOST, max(most, LEAST)))
                return self.more(waiting, now, most)
        self.look_at = self._since + EVERY if self.items < min(MOST, most) else math.inf
        return False
