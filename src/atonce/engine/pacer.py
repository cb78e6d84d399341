"""How often an item may start, learned from refusals: for servers that count requests a second, not requests at once."""

from __future__ import annotations

import math

from .bucket import SLACK

__all__ = ["Pacer", "in_between"]

# What is left below the rate that the server showed: an estimate from few items is off by some per cent.
MARGIN = 0.97
# Growth after an interval without a refusal: quick until the first one and far below where that was; then slow, halved by each
# refusal that follows a raise, doubled by each raise that follows a raise.
QUICK, SLOW, FINEST, FAR = 1.5, 1.08, 1.02, 0.6
# Seconds of an interval at most, and how long it must have been clean and of no effect to be given up.
LONGEST, CLEAN = 30.0, 30.0
# A server that limits a rate lets all through that stays below it. Where it has let so many through in a row and then refused
# one, twice, with nothing but lowering between, much less is tried; where so many are refused at half of what it once let
# through, it does so by chance. What it once let through is forgotten by that share at a raise after so many in a row: it may
# have become slower.
MANY, MUCH_LESS, HALF, BY_CHANCE, LONG, FORGOTTEN = 19, 0.8, 0.5, 3, 100, 0.1
# A raise that is refused costs the pause that is asked for: it is tried when so many of those have gone by without one (10/s,
# 10 at once, Retry-After 5 s: 0.75 of its rate instead of 0.58; with 8, one that counts singly gives 0.66 instead of 0.75).
WORTH = 3.0
# Items let through from which an estimate is taken for itself; fewer are added to those of the next interval.
ENOUGH = 10
# Starts a second at least. What refuses whatever the pace, such as the URLs of one account among others, says nothing of how
# often the rest may be asked: 8 URLs that answer 429 for ever and 60 that do not took a minute and more. Who wants longer
# pauses can say so (Retry-After), which holds.
LEAST = 0.2


def in_between(elapsed: float, paused: float) -> float:
    """Seconds to divide by what was let through in `elapsed`, for `paused` of which nothing was sent since the server said so.

    All of them, if it saves up meanwhile what it would have let through, and none of the pause, if it does not: nobody knows,
    and the geometric mean halves the doubt at each refusal.
    """
    return math.sqrt(elapsed * max(elapsed - paused, 0.01 * elapsed))


class Pacer:
    """Starts evenly spaced at `rate` a second. Pure: time is passed in.

    Between two refusals a token bucket was empty at both ends, so what it let through in between, over the time between,
    *is* its rate, however long or short that time was. That makes one estimate do for what probing step by step takes minutes
    for where latencies are long.
    """

    def __init__(self, rate: float, now: float, latency: float) -> None:
        self.rate = rate
        self._next = now
        self._set_at = now  # when this rate began: what was sent before says nothing about it
        self._interval = max(1.0, 2 * latency)
        self._quiet_since = now
        self._growth = QUICK
        self._refused_at = 0.0  # the rate at the last refusal
        self._clean = 0.0  # the rate before it was last raised, if nothing has been refused since
        self._anchor = now
        self._sends = self._refusals = 0  # since the anchor
        self._paused = 0.0  # since then, seconds in which nothing could start
        self._pause = 0.0  # the last time that it was asked to wait, so long
        self._shown = rate  # the most that it let through
        self._in_a_row = 0  # let through
        self._in_vain = 0  # refusals after many of them, at a rate that had been lowered
        self._by_chance = 0  # refusals at less than half of that rate
        self._bound_at = now  # when it last held an item back

    @property
    def helpless(self) -> bool:
        """Whether as many are refused however slow it is."""
        return self._by_chance >= BY_CHANCE

    def gate(self, now: float) -> float:
        return max(now, self._next)

    def sent(self, now: float) -> None:
        if self._next > now - 1.5 / self.rate:
            self._bound_at = now
        # nothing is made up for where a refusal costs a pause: who counts singly refuses what comes a millisecond too soon
        self._next = max(self._next, now if self._pause else now - SLACK) + 1.0 / self.rate
        self._sends += 1

    def accepted(self, now: float, latency: float) -> None:
        self._in_a_row += now - latency >= self._set_at
        interval = max(self._interval, 2 * latency)
        if self._refused_at and self.rate >= FAR * self._refused_at:
            interval = max(interval, WORTH * self._pause)
        if now - self._quiet_since >= interval and now - latency > self._set_at:
            if self._clean:  # the raise before was fine, too: the server is another one
                self._growth = min(1 + 2 * (self._growth - 1), QUICK)
                self._interval = max(self._interval / 2, 1.0)
            self._clean = self.rate
            if self._in_a_row >= LONG:
                self._shown = max(self.rate, self._shown * (1 - FORGOTTEN))
            self._set(self.rate * (QUICK if self.rate < FAR * self._refused_at else self._growth), now)

    def refused(self, now: float, latency: float, *, rare: bool = False) -> bool:
        """False where it was sent at an older rate, and is no news. `rare`: few are, of all."""
        sent = now - latency
        self._quiet_since = max(self._quiet_since, now)
        if sent < self._set_at:
            return False
        self._refusals += 1
        elapsed = max(sent - self._anchor, 1e-9)
        # of what went out since `sent` nobody knows yet what becomes of it
        passed = self._sends * elapsed / max(now - self._anchor, 1e-9) - self._refusals
        showed = max(passed, 0.5) / in_between(elapsed, self._paused)
        self._weigh(rare)
        if passed >= ENOUGH:
            self._shown = max(self._shown, showed)
            self._anchor, self._sends, self._refusals, self._paused = now, 0, 0, 0.0
        if self._clean:
            self._interval = min(2 * self._interval, LONGEST)
            self._growth = max(FINEST, 1 + (self._growth - 1) / 2)
        self._growth = min(self._growth, SLOW)
        self._refused_at = self.rate
        self._set(max(self._clean, (MUCH_LESS if self._in_vain > 1 else MARGIN) * min(self.rate, showed)), now)
        self._clean = 0.0
        return True

    def _weigh(self, rare: bool) -> None:
        """Whether a refusal may have come by chance."""
        raised = bool(self._clean) or not self._refused_at
        self._in_vain = 0 if raised else self._in_vain + (self._in_a_row >= MANY)
        self._in_a_row = 0
        if not rare:
            self._by_chance = 0
        elif not raised and self.rate <= HALF * self._shown:
            self._by_chance += 1

    def paused(self, seconds: float, until: float) -> None:
        """For so long nothing starts, as was asked: that shows no rate, and that nothing is refused meanwhile is no sign."""
        self._paused, self._pause = self._paused + seconds, seconds
        self._quiet_since = until
        self._next = max(self._next, until)

    def took_effect(self, when: float) -> None:
        """What starts before `when` was sent at an older rate."""
        self._set_at = max(self._set_at, when)

    def idle(self, now: float) -> bool:
        """Whether it has been of no use for long: nothing refused, nothing held back."""
        return now - max(self._quiet_since, self._bound_at) >= CLEAN

    def _set(self, rate: float, now: float) -> None:
        if not math.isfinite(rate) or rate <= 0:
            return
        rate = max(rate, LEAST)
        # the next start moves with the rate, else one long pause outlives the slow rate that it came from
        self._next = now + max(0.0, self._next - now) * self.rate / rate
        self.rate = rate
        self._set_at = self._quiet_since = now
