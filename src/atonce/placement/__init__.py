"""Where workers live and how their death is noticed. One file each, found by name through a table."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from ..worker.job import Job

if TYPE_CHECKING:
    import asyncio

    from ..engine.hub import Hub
    from ..engine.seat import Seat

__all__ = ["PLACEMENTS", "Order", "Placement", "Worker", "load"]

PLACEMENTS = {
    "here": "atonce.placement.here:Here",
    "thread": "atonce.placement.here:Beside",
    "process": "atonce.placement.process:Process",
    "interpreter": "atonce.placement.interpreter:Interpreters",
    "dask": "atonce.placement.dask:Dask",
    "ray": "atonce.placement.ray:Ray",
}


class Order(NamedTuple):
    """What a worker is to be: which runner (a name or `module:Class`), how many slots, in whose loop if in the caller's.

    `share` is the part of the machine's cores that its native thread pools may use. `offload`: the driver's thread must not
    be blocked, because it runs an event loop. `weighed`: it tells now and then how much memory it holds. `among`: how many
    workers there are to be.
    """

    job: Job
    runner: str
    slots: int
    most: int = 0  # slots it may be resized to
    share: int = 1
    loop: asyncio.AbstractEventLoop | None = None
    offload: bool = False
    weighed: bool = False
    among: int = 1


class Placement(abc.ABC):
    """Makes workers. The class attributes say what it can do; planning asks them, never the name."""

    needs_pickling: ClassVar[bool]
    can_kill: ClassVar[bool]
    survives_death: ClassVar[bool]  # an item that ends its process costs that item only

    def open(self, where: Any, hub: Hub) -> None:  # noqa: B027 - most have nothing to open
        """Before the first hire: where it is, as `cluster=` has it. One that can say so posts how much Room there is."""

    @abc.abstractmethod
    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        """Start a worker. It posts Ready to the hub when it can be fed."""

    def close(self) -> None:  # noqa: B027 - most keep nothing
        """The run is over: let go of what was kept for all its workers."""


class Worker(abc.ABC):
    """The near side of one worker. Everything it has to say it posts to the hub under its number."""

    number: int

    @abc.abstractmethod
    def seat(self) -> Seat:
        """What the machine is to know of it."""

    @abc.abstractmethod
    def feed(self, indices: Sequence[int], items: Sequence[Any]) -> int | None:
        """Items to run, with their numbers. Never blocks, except where the driver's own thread runs them.

        Returns how many bytes they are on their way, where they are copied.
        """

    @abc.abstractmethod
    def running(self) -> list[tuple[int, int, float]]:
        """(slot, index, since) of what runs now."""

    def memory(self) -> int:
        """Bytes in RAM of its process, where that is one of its own, on this machine; 0 else, and where nobody can say."""
        return 0

    @abc.abstractmethod
    def abandon(self, slot: int, index: int) -> None:
        """Leave the thread in this slot behind."""

    def resize(self, slots: int) -> None:  # noqa: B027 - a worker of one slot has nothing to resize
        """Keep so many slots busy from now on, at most `Order.most`."""

    @abc.abstractmethod
    def kill(self) -> None:
        """End it now; Lost is posted when it is gone."""

    def cancel(self, index: int) -> None:  # noqa: B027 - only some runners can
        """Cancel one item, where the runner can."""

    def terminate(self) -> None:  # noqa: B027 - only a process can be asked
        """Ask it to end (SIGTERM), which it may take as it likes."""

    @abc.abstractmethod
    def release(self) -> None:
        """Nothing more comes: finish, exit the resources, end. Ended is posted."""

    @abc.abstractmethod
    def close(self, *, cancel: bool) -> None:
        """The run is over: like release, or with `cancel` drop what runs. May return before it has ended."""

    @abc.abstractmethod
    def gone(self) -> bool:
        """Whether nothing of it is left to wait for."""


def load(name: str) -> Placement:
    """The placement of a name in the table, or of `module:attribute`."""
    module, _, attribute = PLACEMENTS.get(name, name).partition(":")
    return cast(Placement, getattr(importlib.import_module(module), attribute)())
