"""The near side of a worker that is talked to in frames, wherever it is: what goes out as one, and what one means that came.

feed, resize, cancel, … ──pack──► _post     the way there and back, and how a death is noticed, is the placement's:
hub ◄──events── _tell ◄── _frame ◄── frames  a socket (process.py), calls of a cluster (cluster.py)
"""

from __future__ import annotations

import abc
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from ..engine.events import Broken, Done, Ended, Event, Lost, Ready, Said, Uncarried, Unreadable, Weighed
from ..engine.hub import Hub
from ..engine.seat import Seat
from ..errors import PlanError
from ..worker import nesting, talk, wire
from ..worker.buffers import Large, dump
from ..worker.channel import Frames, Message, pack
from ..worker.context import dump_context
from ..worker.job import Job
from ..worker.outbox import Report
from ..worker.runners import load
from . import Order, Worker

__all__ = ["FramedWorker", "pack_job"]


def pack_job(job: Job, *, shared: bool = True) -> list[Message]:
    """The function and its setup for the trip. Raises PlanError, before anything runs."""
    try:
        large = Large()
        return pack(wire.JOB, dump((job.fn, job.setup), large), large, shared=shared)
    except Exception as error:
        raise PlanError(
            f"the function cannot be pickled, so it cannot run in another process: {type(error).__name__}: {error}",
            causes=("it closes over a lock, a socket, an open file or a generator",),
            hint='make such things in setup=, or use model="threads"',
        ) from error


def _authkey() -> bytes | None:
    """What proves to a `multiprocessing.Manager` of this process that a worker belongs to it. Never for another machine."""
    process = sys.modules.get("multiprocessing.process")
    return None if process is None else bytes(process.current_process().authkey)


class FramedWorker(Worker):
    """`shared`: it is on this machine, so large buffers go by descriptor. `can_kill` as the placement's."""

    shared: ClassVar[bool] = True
    can_kill: ClassVar[bool] = True

    def __init__(self, number: int, order: Order, hub: Hub) -> None:
        self.number = number
        self._hub = hub
        self._order = order
        self._runner = load(order.runner)
        self._booted = self._released = False

    @abc.abstractmethod
    def _post(self, messages: list[Message]) -> None:
        """Send these, in order. Never blocks."""

    @abc.abstractmethod
    def _tell(self, event: Event) -> None:
        """Give the hub an event that came from the worker."""

    def _hello(self) -> dict[str, Any]:
        order = self._order
        return {
            "path": sys.path,
            "cwd": os.getcwd(),
            "environment": nesting.environment(),
            "number": self.number,
            "manners": talk.manners(),
            "runner": order.runner,
            "slots": order.slots,
            "most": max(order.slots, order.most),
            "timeout": order.job.timeout,
            "share": order.share,
            "weighed": order.weighed,
            "shared": self.shared,
            "pace": None,
            "authkey": _authkey() if self.shared else None,
            "context": dump_context(order.job.context),
        }

    def seat(self) -> Seat:
        return Seat(
            self._order.slots,
            enforces_timeout=self._runner.enforces_timeout,
            can_abandon=self._runner.can_abandon,
            can_kill=self.can_kill,
            can_cancel=self._runner.can_cancel,
        )

    # ── near → far ───────────────────────────────────────────────────────────────────────────────────────────────────

    def feed(self, indices: Sequence[int], items: Sequence[Any]) -> int | None:
        large = Large()
        try:
            payload = wire.dump_batch(indices, items, large)
        except (Exception, SystemExit):  # what pickling an item raises is that item's affair
            kept = self._carried(indices, items)
            if not kept:
                return None
            large.clear()
            payload = wire.dump_batch([index for index, _ in kept], [item for _, item in kept], large)
        self._post(pack(wire.BATCH, payload, large, shared=self.shared))
        return wire.size(payload, large)

    def _carried(self, indices: Sequence[int], items: Sequence[Any]) -> list[tuple[int, Any]]:
        """The items that can be pickled; the others are reported."""
        kept, errors = [], []
        for index, item in zip(indices, items, strict=True):
            try:
                dump(item, Large())
            except (Exception, SystemExit) as error:
                errors.append((index, wire.not_carried("the item", error, f"{index}: a {type(item).__name__}")))
            else:
                kept.append((index, item))
        self._hub.post(Uncarried(self.number, errors))
        return kept

    def abandon(self, slot: int, index: int) -> None:
        self._send(wire.ABANDON, wire.dumps((slot, index)))

    def resize(self, slots: int) -> None:
        self._send(wire.RESIZE, wire.dumps(slots))

    def cancel(self, index: int) -> None:
        self._send(wire.CANCEL, wire.dumps(index))

    def release(self, *, drop: bool = False) -> None:
        if not self._released:
            self._released = True
            self._send(wire.RELEASE, b"drop" if drop else b"")

    def _send(self, kind: int, payload: bytes = b"") -> None:
        self._post(pack(kind, payload))

    # ── far → near ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _hear(self, inbox: Frames) -> None:
        """The frames that are whole now."""
        for kind, payload in inbox.frames():
            self._frame(kind, payload, inbox.large)

    def _frame(self, kind: int, payload: Any, large: Sequence[Any]) -> None:
        if kind == wire.REPORT:
            try:
                report = wire.load_report(payload, large)
            except (Exception, SystemExit) as raised:  # what unpickling a value raises is that value's affair
                wrong = wire.not_carried("its result (on arrival)", raised)
                self._tell(Unreadable(self.number, wire.batch_indices(payload), wrong))
            else:
                self._tell(Done(self.number, self._arrived(report)))
        elif kind == wire.TALK:
            self._tell(Said(self.number, partial(talk.hear, payload)))
        elif kind == wire.MEMORY:
            self._tell(Weighed(self.number, wire.loads(payload)))
        elif kind == wire.READY:
            self._booted = True
            self._tell(Ready(self.number))
        elif kind == wire.UNREADABLE:
            indices, error = wire.loads(payload)
            self._tell(Unreadable(self.number, indices, wire.load_error(*error)))
        elif kind == wire.BROKEN:
            self._released = True  # its end, which follows, is no news
            self._tell(Broken(self.number, wire.load_error(*wire.loads(payload))))

    def _arrived(self, report: Report) -> Report:
        return report

    def _over(self, status: int | None, running: Sequence[int]) -> Event:
        """What its end means, all that it had sent having been read; `running`: the items that its cells name."""
        return Ended(self.number) if self._released else Lost(self.number, status, running, self._booted)
