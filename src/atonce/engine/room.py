"""How many in flight the cores have room for, by what their items compute. Pure: time is passed in.

A limit that climbs finds out as well that more in flight brings no more, but only after they have come back, and what computes
takes the longer the more of it there is: 600 queries of SQLite, of 2 ms each and with a lock of their own, took threads that
climbed to 370 of them 10 s and more, one after another 1.2 s.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["Room"]

# Items that a look needs at least.
LOOK = 8


class Room:
    """Of one run on so many `cores` (0: not known, there is always room). `most` is how many in flight would use them up, by
    Little's law: those there are ÷ the share of the cores that they compute. Looked at anew each time as many have come back as
    were in flight, so that a limit grows to that and no further before it is known what that brought."""

    def __init__(self, cores: int) -> None:
        self.most = math.inf
        self._share = 0.0
        self._cores = cores
        self._since = math.inf
        self._count, self._cpu = 0, 0.0

    @property
    def why(self) -> str:
        """Why there should be no more."""
        return f"the items compute {100 * self._share:.0f} % of what the cores can"

    def told(self, report: Any, in_flight: int, now: float) -> None:
        """What a worker finished; `in_flight` were running before that."""
        if not self._cores:
            return
        if math.isinf(self._since):
            self._since = min(report.started, default=now)
        self._count += len(report.started)
        self._cpu += sum(report.cpu)
        if self._count < max(LOOK, in_flight) or now <= self._since:
            return
        self._share = min(1.0, self._cpu / ((now - self._since) * self._cores))  # a long one's came before that
        self.most = in_flight / self._share if self._share else math.inf
        self._since, self._count, self._cpu = now, 0, 0.0
