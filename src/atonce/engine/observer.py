"""What a run tells whoever looks on: `Observer`, hooks that do nothing until one is overridden."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..outcome import Stats
    from ..plan.plan import Plan
    from ..worker.outbox import Report
    from .held import Held
    from .history import Again, Move, Weight
    from .status import Status

__all__ = ["Observer"]


class Observer:
    """A guest: called in the driver's thread, between two steps of the run; one that raises is left out from then on.

    `now` is `time.monotonic()`. Workers are numbered from 0 as they are hired; a number is never given twice.
    """

    def begun(self, look: Callable[[], Status], now: float) -> None:
        """The run begins. Any thread may call `look`, as long as it likes, to see what the run is doing."""

    def hired(self, worker: int, plan: Plan, now: float) -> None:
        """A worker of this plan is being started."""

    def ready(self, worker: int, now: float) -> None:
        """It has started, and can be given items."""

    def reported(self, worker: int, report: Report, items: Held, now: float) -> None:
        """Attempts ended: reported by their worker, or cut off by its end or because they were late (their `worker.pid` is 0
        where nobody knows it). `items` maps the index of what the worker has to its item; what has ended is still in it, but
        for what was late."""

    def abandoned(self, worker: int, slot: int, index: int, now: float) -> None:
        """An item was late, and its thread is left behind."""

    def lost(self, worker: int, status: int | None, running: tuple[int, ...], now: float) -> None:
        """A worker is gone while it had items, these for certain; `status` as in `subprocess`, None if nobody knows."""

    def ended(self, worker: int, now: float) -> None:
        """A worker that was let go has ended."""

    def resized(self, worker: int, slots: int, now: float) -> None:
        """A worker may from now on have so many in flight."""

    def limited(self, move: Move) -> None:
        """How many may be in flight has changed, in all or of one key."""

    def put_off(self, again: Again) -> None:
        """What failed is to be tried again; not told where an item's worker died, which has a rule of its own."""

    def weighed(self, weight: Weight) -> None:
        """What memory there is in use, about twice a second."""

    def planned(self, plan: Plan, now: float) -> None:
        """The plan as it is at the end of the run, with all that was measured."""

    def closed(self, stats: Stats, now: float) -> None:
        """The run is over: let go of everything."""

    def dropped(self) -> None:
        """It is left out from now on, or was never needed: let go of everything."""
