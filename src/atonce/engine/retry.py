"""When a failed item may start again: full jitter under a job-wide budget."""

from __future__ import annotations

import random

from ..options import Retry

__all__ = ["Backoff", "pause_asked"]

# Retries a second that the budget always allows, so that a short run may retry at all.
FLOOR = 3.0
# Retries that a run may begin with, and those it may save up.
RESERVE, MOST = 10.0, 1000.0


class Backoff:
    """The pauses of one run. Pure but for its own random numbers; time is passed in."""

    def __init__(self, policy: Retry, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._tokens = RESERVE
        self._since: float | None = None

    def started(self, count: int) -> None:
        """`count` attempts ended: each earns its share of a retry."""
        self._tokens = min(self._tokens + count * self._policy.budget, MOST)

    def again_at(self, error: BaseException, attempts: int, now: float, asked: float = 0.0) -> float | None:
        """The time of the next attempt, or None when there is none: attempts used up, or an error not worth it. `asked`: after
        that many seconds at the earliest.

        Over budget the retry is put off by as much as the floor of 3 a second needs to pay for it; it is never dropped.
        """
        policy = self._policy
        if attempts >= policy.attempts or not self._covered(error):
            return None
        pause = self._rng.uniform(0.0, min(policy.cap, policy.base * 2.0 ** (attempts - 1)))
        pause = max(pause, asked)
        if self._since is not None:
            self._tokens = min(self._tokens + (now - self._since) * FLOOR, MOST)
        self._since = now
        self._tokens -= 1.0
        if self._tokens < 0:
            pause = max(pause, -self._tokens / FLOOR)
        return now + pause

    def _covered(self, error: BaseException) -> bool:
        try:
            return self._policy.covers(error)
        except Exception:  # the user's own predicate fails: then the item has failed with what it failed with
            return False


def pause_asked(error: BaseException, most: float, rng: random.Random) -> float:
    """Seconds that an error asks for by its `retry_after`, `most` of them at most, plus up to 10 %, so that those told the same
    do not come back together; 0.0 where it does not."""
    asked = getattr(error, "retry_after", None)
    # it is whatever somebody put there: only a number of seconds above 0 counts, which leaves out nan
    if not isinstance(asked, int | float) or not asked > 0:
        return 0.0
    return min(float(asked), most) * (1.0 + 0.1 * rng.random())
