"""How many connections this process has descriptors for: `Room`.

Those that are open, idle ones too, are no more than what `ulimit -n` leaves, less some for files that are written, names that
are looked up, and modules that are imported. Three quarters may be under way, so that another can be opened while those
before it are being closed. Where there is no descriptor all the same, since somebody else has taken it, a hop waits
(`Attempt.starves`).
"""

from __future__ import annotations

from ...plan.machine import open_descriptors, usable_descriptors

__all__ = ["PAUSE", "Room", "attempts"]

# Descriptors that are left to others: a folder that is written needs three, a lookup two, a connection two for a moment.
RESERVE = 12
# Seconds until a socket is asked for again where there was none: a guess.
PAUSE = 0.05


class Room:
    """As it is when this is made. `most`: connections that may be open; `under_way`: attempts; `crowded`: the number of a
    descriptor, of which the lowest that is free is given, that says that there are too many."""

    __slots__ = ("crowded", "most", "under_way")

    def __init__(self) -> None:
        self.crowded = usable_descriptors() - RESERVE
        self.most = max(2, self.crowded - open_descriptors())
        self.under_way = attempts(self.most)


def attempts(connections: int) -> int:
    """That may be under way with so many connections: three quarters, at least one."""
    return max(1, connections * 3 // 4)
