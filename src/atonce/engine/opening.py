"""How many connections of one key may be opened at a time: few, where they wait for one another.

An item that starts while all connections that are known are busy is *fresh*: it opens one, as far as one can tell from here.
Where the fresh ones of a crowd take the longer the more they are, the far side lets them in one by one; more of them at once
then only keep items waiting that a connection which is there already would have served meanwhile.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

__all__ = ["Opening"]

# What one that did not wait for others makes room for, as the growth of the limit: three times as many each latency.
MORE = 2.0
# And where the last of them took the same, to so many times: as many as the limit is allowed where latency is flat.
SURE, SAME = 5.0, 1.3
# What fresh ones take beyond the others, the median over the least: in a queue of 4 it is 2.5. Where each takes its time for
# itself (TLS, some round trips) it is 1, whatever that time is.
CROWDED = 2.2
# How many latencies are looked at: of fresh ones, of the others; medians, since one slow answer says nothing. And how many
# there must be at least, in the order in which they started: a queue keeps it, chance does not.
FRESH, OTHERS, ENOUGH = 8, 15, 4
# A fresh item that took at most so many times what the others take is quick: it went over a connection that was there already,
# which nobody could know here (what has ended is heard a little later), or opening one costs next to nothing.
QUICK = 1.5
# What a quick one makes room for where connections are dear: they may have become cheap.
LITTLE = 0.5
# What an answer makes room for where only so many connections are served: one more is tried in a thousand items.
SELDOM = 0.001


class Opening:
    """One key's, `start` fresh ones at a time to begin with. Pure: time is passed in. `open` connections have brought answers,
    `width` fresh items may be in flight; `dear`: they have been seen to wait for one another; `full`: to wait in vain."""

    __slots__ = (
        "_cut_at",
        "_fresh_took",
        "_in_turn",
        "_least",
        "_others_took",
        "dear",
        "fresh",
        "full",
        "open",
        "room",
        "width",
    )

    def __init__(self, start: int) -> None:
        self.open = 0
        self.width = float(start)
        self.room = start  # items that may be in flight: one for each connection, and those that open one
        self.fresh: dict[int, float] = {}  # item → when it started, the oldest first
        self._fresh_took: deque[float] = deque(maxlen=FRESH)
        self._others_took: deque[float] = deque(maxlen=OTHERS)
        self._least = math.inf  # of what fresh ones took
        self._in_turn = 0  # how many of them ended in the order in which they had started
        self.dear = self.full = False
        self._cut_at = -math.inf

    def __repr__(self) -> str:
        return f"<Opening {self.open} open, {len(self.fresh)} of at most {self.width:.0f} being opened>"

    def started(self, item: int, in_flight: int, now: float) -> None:
        """`in_flight` does not count it."""
        if in_flight - len(self.fresh) >= self.open:
            self.fresh[item] = now
            self._count()

    def left(self, item: int) -> None:
        """It is not in flight any more, whatever came of it."""
        if self.fresh.pop(item, None) is not None:
            self._count()

    def answered(self, item: int, latency: float, opened: bool | None = None) -> None:
        """It took so long, and there is a connection now: one that it has `opened`, or another; None, nobody knows."""
        if opened is False:
            self.left(item)
        if item not in self.fresh:
            self._others_took.append(latency)
            if self.full and self.width < 1:
                self.width += SELDOM
                self._count()
            return
        self._learn(item, latency)
        self._count()

    def passed_over(self, item: int) -> None:
        """Nothing came over its connection while others were answered: more are accepted than served."""
        if item not in self.fresh:  # as it must have been: there are not as many as it seemed
            self.open = max(1, self.open - 1)
        self.full, self.width = True, 0.0
        self._count()

    def _count(self) -> None:
        self.room = self.open + max(int(self.width), len(self.fresh))

    def _learn(self, item: int, latency: float) -> None:
        """What a fresh one took tells whether more of them, or fewer, are opened at a time."""
        first = next(iter(self.fresh)) == item
        since = self.fresh.pop(item)
        if self.full:
            self.open += 1
            return
        quick = bool(self._others_took) and latency <= QUICK * _median(self._others_took)
        if quick and self.dear:
            self.width += LITTLE
            return
        self.open += 1
        self._fresh_took.append(0.0 if quick else latency)
        if not quick:
            self._in_turn = self._in_turn + 1 if first else self._in_turn // 2
            self._least = min(self._least, latency)
        if not self._crowded():
            self.width += SURE if self._alike else MORE
        elif since >= self._cut_at:
            self._cut_at = since + latency
            self.width = max(1.0, self.width / 2) if self.dear else 1.0
            self.dear = True

    @property
    def _alike(self) -> bool:
        """Whether nothing speaks against many more of them."""
        took = self._fresh_took
        return not self.dear and len(took) >= ENOUGH and max(took) <= SAME * min(took)

    def _crowded(self) -> bool:
        """Whether those that open connections wait for one another."""
        slow = [seconds for seconds in self._fresh_took if seconds]
        if min(len(slow), self._in_turn, len(self._others_took)) < ENOUGH or 2 * len(slow) < len(self._fresh_took):
            return False
        others, fresh = _median(self._others_took), _median(slow)
        return fresh > 2 * others and fresh - others > CROWDED * max(self._least - others, 0.0)


def _median(values: Iterable[float]) -> float:
    """As the standard library's, whose module takes 2.5 ms to load."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
