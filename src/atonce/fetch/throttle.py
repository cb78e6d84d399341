"""How fast bodies may come, where somebody has said so: `Throttle`.

Pieces are taken as they come, and each is given a time: when all that has come until then would have come at the rate. Until
then nothing more is taken from that connection, so that the system's buffers fill and the other side waits (TCP's flow
control); the others have their own times. This is the leaky bucket as a meter (the generic cell rate algorithm, ITU-T I.371).
"""

from __future__ import annotations

import threading

__all__ = ["Throttle"]

# Seconds' worth of bytes that may come at once after a pause, and waits that are not worth it: what they would have held back
# is held back a piece later.
BURST, LEAST = 0.1, 0.005


class Throttle:
    """Of all bodies of a run, in one process; `rate` in bytes a second. For any thread; time is passed in."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._through_at = 0.0  # when all that has come would be through
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Throttle], tuple[float]]:
        return Throttle, (self.rate,)

    def __repr__(self) -> str:
        return f"<Throttle {self.rate:g} bytes a second>"

    def took(self, count: int, now: float) -> float:
        """`count` bytes have come: seconds for which no more should be taken from there; 0.0 where that is not worth it."""
        with self._lock:
            self._through_at = max(self._through_at, now - BURST) + count / self.rate
        return self.behind(now)

    def behind(self, now: float) -> float:
        """Seconds until all that has come would be through; 0.0 where that is not worth a wait."""
        wait = self._through_at - now
        return wait if wait > LEAST else 0.0
