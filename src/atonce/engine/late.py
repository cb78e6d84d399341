"""Which items have taken longer than `timeout=`, and what that costs: a thread is left behind, a worker is killed. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..worker.job import CARRYING
from .seat import Seat

__all__ = ["BACKSTOP", "Doomed", "Running", "Stuck", "grace", "late"]

# Seconds after which the near side acts where the runner should have ended a late item and did not (a blocked loop).
BACKSTOP = 2.5

Running = Mapping[int, Sequence[tuple[int, int, float]]]  # worker → (slot, index, since)


class Stuck(NamedTuple):
    """This slot is to be left behind: its item began at `since`."""

    worker: int
    slot: int
    item: int
    since: float


class Doomed(NamedTuple):
    """This worker is to be killed for these items."""

    worker: int
    items: list[int]


def late(seats: Mapping[int, Seat], running: Running, timeout: float, now: float) -> tuple[list[Stuck | Doomed], float]:
    """What is to be done now, and when to look again."""
    found: list[Stuck | Doomed] = []
    look_at = math.inf
    for worker, seat in seats.items():
        if not seat.assigned or seat.killed:
            continue
        limit = timeout + grace(seat)
        soonest = now + limit
        doomed: list[int] | None = None
        for slot, index, since in running.get(worker, ()):
            if slot == CARRYING and now - since >= timeout + BACKSTOP:
                doomed = list(seat.assigned)[:1] * (len(seat.assigned) == 1)
                break
            if index not in seat.assigned:
                continue  # finished, its report is under way
            if now - since < limit:
                soonest = min(soonest, since + limit)
            elif seat.can_abandon:
                found.append(Stuck(worker, slot, index, since))
            else:
                doomed = [*(doomed or ()), index]
        if doomed is None:
            look_at = min(look_at, soonest)
        else:
            found.append(Doomed(worker, doomed))
    return found, look_at


def grace(seat: Seat) -> float:
    """Seconds that a runner which ends late items itself has for it."""
    return BACKSTOP if seat.enforces_timeout else 0.0
