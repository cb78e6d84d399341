"""Tells those who look on what happens, in their words: `Onlookers`, between the conductor and its `Observer`s.

What a worker reports is told as it is. An attempt that no worker reports, since a death or a timeout cut it off, is told in
the same way by whoever found it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..outcome import WorkerId
from ..worker.outbox import Failure, Report
from . import complaints
from .events import Done, Ended, Lost, Ready
from .held import Held
from .observer import Observer
from .seat import Seat

if TYPE_CHECKING:
    from ..placement import Worker

__all__ = ["Onlookers"]

LOG = logging.getLogger("atonce")


class Onlookers:
    """False when there are none, so that nothing need be made ready for them. `seats`: of the machine, by number."""

    def __init__(self, observers: Iterable[Observer], seats: Mapping[int, Seat]) -> None:
        self._observers = list(observers)
        self._seats = seats

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, hook: str, *what: Any) -> None:
        """Call this method of each. They are guests: the run goes on without one that raises."""
        for observer in list(self._observers):
            try:
                getattr(observer, hook)(*what)
            except Exception as error:
                self._observers.remove(observer)
                with contextlib.suppress(Exception):
                    observer.dropped()
                LOG.warning("%s looks on no more: %s", type(observer).__name__, error)

    def show(self, event: Any, now: float) -> None:
        """An event, before the machine has it: what ended is still the worker's."""
        match event:
            case Done(number, report):
                seat = self._seats.get(number)
                self.tell("reported", number, report, Held() if seat is None else seat.assigned, now)
            case Ready(number):
                self.tell("ready", number, now)
            case Lost(number, status, running):
                self._cut_off(event, now)
                self.tell("lost", number, status, tuple(running), now)
            case Ended(number):
                self.tell("ended", number, now)

    def _cut_off(self, lost: Lost, now: float) -> None:
        seat = self._seats.get(lost.worker)
        if seat is None or not lost.cells:
            return
        held, gone = seat.assigned, complaints.gone(lost.status)
        failures = [
            Failure(index, seat.condemned.get(index) or gone, since, now, 0.0, WorkerId(lost.pid or 0, 0, slot))
            for slot, index, since in lost.cells
            if index in held
        ]
        self.tell("reported", lost.worker, Report(failures=failures), held, now)

    def abandoned(self, worker: Worker, slot: int, index: int, now: float) -> None:
        """An item was late, and its thread is left behind."""
        if not self._observers:
            return
        since = next((since for at, _, since in worker.running() if at == slot), now)
        failure = Failure(index, complaints.left_behind(), since, now, 0.0, WorkerId(0, 0, slot))
        self.tell("reported", worker.number, Report(failures=[failure]), Held(), now)
        self.tell("abandoned", worker.number, slot, index, now)
