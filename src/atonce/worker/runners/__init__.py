"""Runners: how one worker keeps its slots busy. One file each; the table finds them by name, imported on first use."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from ..job import Cells, Job
from ..outbox import Outbox

__all__ = ["RUNNERS", "Runner", "load"]

RUNNERS = {
    "call": "atonce.worker.runners.call:CallRunner",
    "thread": "atonce.worker.runners.thread:ThreadRunner",
    "coroutine": "atonce.worker.runners.coroutine:CoroutineRunner",
}


class Runner(abc.ABC):
    """Runs the items it is fed in `slots` slots, and puts what came of them into the outbox.

    `start`, `feed`, `resize`, `abandon` and `stop` are called by one thread, the near side's driver or the worker
    process's main thread. The contract, for each item fed:

    - before it starts, `cells.enter(slot, index, now)`; when nothing follows in that slot, `cells.leave(slot)`;
    - afterwards one row in `outbox.rows` or one `Failure` in `outbox.failures`, then `outbox.due(now)`, and
      `outbox.flush()` when the runner runs out of items (one that runs them in `feed`: if `more` says that none wait);
    - an exception of the function, SystemExit included, is a Failure and never ends the runner.
    """

    enforces_timeout: ClassVar[bool] = False  # ends a late item itself (a loop's timer); else the near side must
    can_abandon: ClassVar[bool] = False  # can leave a stuck slot behind and go on
    can_cancel: ClassVar[bool] = False  # can end one item and nothing else

    def __init__(self, job: Job, slots: int, outbox: Outbox, cells: Cells) -> None:
        self.job = job
        self.slots = slots
        self.outbox = outbox
        self.cells = cells
        self.more: Callable[[], bool] = bool  # whether whoever feeds it has another batch at hand

    @abc.abstractmethod
    def start(self) -> None:
        """Enter the resources. Raises SetupFailed, or calls `outbox.broken` with it later."""

    @abc.abstractmethod
    def feed(self, batch: Iterable[tuple[int, Any]]) -> None:
        """Take (index, item) pairs. Returns at once, except that `call` runs them."""

    @abc.abstractmethod
    def stop(self, *, cancel: bool) -> None:
        """Finish what was fed, or with `cancel` drop it and cancel what runs; exit the resources; end the threads."""

    def leave(self) -> None:  # noqa: B027 - only a runner with a loop can be blocked
        """As `stop(cancel=True)`, without waiting: its thread is blocked. What it reports later is nobody's."""

    def resize(self, slots: int) -> None:
        """Keep this many slots busy from now on, at most as many as there are cells."""
        self.slots = min(slots, self.cells.slots)

    def abandon(self, slot: int, index: int) -> None:
        """Leave the slot that runs `index` to itself and go on with a new one."""
        raise RuntimeError(f"{type(self).__name__} cannot leave a slot behind")

    def cancel(self, index: int) -> None:
        """End this item: it fails with CancelledError, unless it is finished first or refuses."""
        raise RuntimeError(f"{type(self).__name__} cannot cancel an item")


def load(where: str) -> type[Runner]:
    """The runner class of a name in the table, or of `module:attribute` (a transport's own)."""
    module, _, attribute = RUNNERS.get(where, where).partition(":")
    return cast("type[Runner]", getattr(importlib.import_module(module), attribute))
