"""What refusals say: that there are too many in flight, that a rate is limited, or nothing, where they come by chance."""

from __future__ import annotations

from collections import deque

from .kinds import Kind
from .pacer import in_between

__all__ = ["Refusals"]

# Rounds of refusals, within so many seconds, after which it is a rate that is limited and not the number in flight. Up to
# `COARSE` in flight two do: there a step is over 12 %, too coarse to hit a rate with.
ROUNDS, ROUNDS_SPAN, COARSE = 4, 30.0, 8
# Ends over which shares are taken: a moving mean.
ENDS = 64
# Timeouts are a sign of load from this share of all ends on, and where they took twice what items take: a per cent of items
# that raise TimeoutError by themselves once brought a limit of 256 down to 2.
MANY_LATE, TWICE = 0.25, 2.0
# Refusals may come by chance up to this share, and are errors up to that one, once that has been found.
RARE, BY_CHANCE = 0.1, 0.15


class Refusals:
    """Of one limit. Pure: time is passed in."""

    def __init__(self) -> None:
        self.accepted = 0  # since the first of those rounds
        self._rounds: deque[float] = deque(maxlen=ROUNDS)
        self._since = self._paused = 0.0
        self._refused = self._late = 0.0  # their shares
        self._chance = False

    def weigh(self, kind: Kind, *, slow: bool, asked: bool) -> Kind:
        """What an end says, after those before it. `slow`: it took twice what items take; `asked`: to wait."""
        self._refused += ((kind == "overload") - self._refused) / ENDS
        self._late += ((kind == "timeout") - self._late) / ENDS
        if kind == "timeout":
            return kind if slow and self._late >= MANY_LATE else "error"
        if kind == "overload" and self._chance and not asked:
            self._chance = self._refused <= BY_CHANCE
            return "error" if self._chance else kind
        return kind

    @property
    def rare(self) -> bool:
        return self._refused <= RARE

    def come_by_chance(self) -> None:
        """Fewer have been sent, and as large a share of them was refused: it has nothing to do with how many."""
        self._chance = True
        self.forget()

    def are_a_rate(self, now: float, limit: float, latency: float) -> bool:
        """Another round of them: whether there have been so many that no limit would do."""
        rounds = self._rounds
        while rounds and rounds[0] < now - max(ROUNDS_SPAN, 20 * latency):
            rounds.popleft()
        if not rounds:
            self._since, self._paused, self.accepted = now, 0.0, 0
        rounds.append(now)
        enough = len(rounds) >= (2 if limit <= COARSE else ROUNDS)
        return enough and (limit < 2 or now - rounds[0] >= max(0.5, 3 * latency))

    def rate(self, now: float) -> float:
        """Accepted a second since then."""
        return max(1, self.accepted) / in_between(max(now - self._since, 1e-3), self._paused)

    def paused(self, seconds: float) -> None:
        """For so long nothing starts: that says nothing about a rate."""
        self._paused += seconds

    def forget(self) -> None:
        self._rounds.clear()
