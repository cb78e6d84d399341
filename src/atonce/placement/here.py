"""`here`: workers in this process. Nothing is pickled, nothing can be killed: what hangs is left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ..engine.events import Broken, Done, Ended, Lost, Ready
from ..engine.hub import Hub
from ..engine.seat import Seat
from ..worker.job import Cells
from ..worker.outbox import Outbox
from ..worker.runners import load
from . import Order, Placement, Worker

__all__ = ["Beside", "Here"]


class Here(Placement):
    """One worker: the caller's thread (`call`), threads, or an event loop."""

    needs_pickling = False
    can_kill = False
    survives_death = False

    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        return HereWorker(number, order, hub)


class Beside(Here):
    """Several workers, each with threads or an event loop of its own: in parallel where there is no GIL."""

    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        return HereWorker(number, order._replace(loop=None, offload=True), hub)


class HereWorker(Worker):
    def __init__(self, number: int, order: Order, hub: Hub) -> None:
        self.number = number
        self._hub = hub
        self._left = False
        self._ended = False
        # a thread that runs a loop, such as a notebook's, can run no coroutine in a second one
        elsewhere = order.offload or (order.job.is_async and _in_a_loop())
        name = "thread" if order.runner == "call" and elsewhere else order.runner
        self._inline = name == "call"
        make: Any = load(name)
        outbox = Outbox(
            send=lambda report: hub.post(Done(number, report)), broken=lambda error: hub.post(Broken(number, error))
        )
        self._cells = Cells(max(order.slots, order.most))
        in_callers_loop = name == "coroutine" and order.loop is not None
        extra = {"loop": order.loop} if in_callers_loop else {}
        self._runner: Any = make(order.job, order.slots, outbox, self._cells, **extra)
        self.wait_closed: Callable[[], Any] | None = getattr(self._runner, "wait_closed", None) if extra else None
        if self._inline:
            self._runner.reraise = (KeyboardInterrupt,)
        self._start()

    def _start(self) -> None:
        try:
            self._runner.start()
        except Exception as error:
            self._hub.post(Broken(self.number, error))
        else:
            self._hub.post(Ready(self.number))

    @property
    def loop(self) -> Any:
        """The event loop its items run in; None where there is none of ours."""
        return getattr(self._runner, "loop", None)

    def seat(self) -> Seat:
        runner = self._runner
        return Seat(
            runner.slots,
            enforces_timeout=runner.enforces_timeout,
            can_abandon=runner.can_abandon,
            can_kill=False,
            can_cancel=runner.can_cancel,
        )

    def feed(self, indices: Sequence[int], items: Sequence[Any]) -> None:
        self._runner.feed(zip(indices, items, strict=True))

    def running(self) -> list[tuple[int, int, float]]:
        return self._cells.running()

    def abandon(self, slot: int, index: int) -> None:
        self._runner.abandon(slot, index)

    def resize(self, slots: int) -> None:
        self._runner.resize(slots)

    def cancel(self, index: int) -> None:
        self._runner.cancel(index)

    def kill(self) -> None:
        """A loop that is blocked cannot be ended: its thread is left behind, with all that it had."""
        self._left = True
        self._runner.leave()
        running = self.running()
        self._hub.post(Lost(self.number, None, [index for _, index, _ in running], True, running, os.getpid()))

    def release(self) -> None:
        self.close(cancel=False)
        self._hub.post(Ended(self.number))

    def close(self, *, cancel: bool) -> None:
        if not self._ended and not self._left:
            self._ended = True
            self._runner.stop(cancel=cancel)

    def gone(self) -> bool:
        return True


def _in_a_loop() -> bool:
    """Whether this thread runs one of asyncio's; where nobody has loaded that, none does."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None
