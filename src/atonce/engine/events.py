"""What the machine is told and what it answers: the whole vocabulary between decisions and I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..outcome import Outcome
from ..worker.outbox import Report
from .finished import Batch

__all__ = [
    "Abandon",
    "Broken",
    "Cancel",
    "Command",
    "Done",
    "Emit",
    "Ended",
    "Event",
    "Feed",
    "Kill",
    "Lost",
    "Ready",
    "Release",
    "Resize",
    "Room",
    "Said",
    "Spawn",
    "Stop",
    "Succeed",
    "Uncarried",
    "Unreadable",
    "Weighed",
    "Withdraw",
]

# ── events: something happened ───────────────────────────────────────────────────────────────────────────────────────


class Ready(NamedTuple):
    """A worker can be fed."""

    worker: int


class Done(NamedTuple):
    """A worker finished items."""

    worker: int
    report: Report


class Uncarried(NamedTuple):
    """These items of a batch could not be pickled, so they never left."""

    worker: int
    errors: Sequence[tuple[int, BaseException]]


class Unreadable(NamedTuple):
    """A batch that the worker could not unpickle."""

    worker: int
    indices: Sequence[int]
    error: BaseException


class Broken(NamedTuple):
    """A worker says that nothing can run in it: `setup` raised, or the function cannot be loaded."""

    worker: int
    error: BaseException


class Lost(NamedTuple):
    """A worker is gone, unasked or killed. `running` are the items that its cells name; none, when it was not running
    items but carrying them (unpickling a batch, pickling results): then nobody can say which one it was. `cells` are all
    that they said, for who looks on: (slot, index, since) of process `pid`."""

    worker: int
    status: int | None
    running: Sequence[int]
    booted: bool
    cells: Sequence[tuple[int, int, float]] = ()
    pid: int | None = None


class Ended(NamedTuple):
    """A worker ended because it was released."""

    worker: int


class Cancel(NamedTuple):
    """Somebody wants this item ended, wherever it is: it fails with `error`. One that is finished stays so."""

    index: int  # type: ignore[assignment]  # hides tuple.index, on purpose
    error: BaseException


class Said(NamedTuple):
    """A worker has log records and warnings to show: the conductor has them said, the machine is not told."""

    worker: int
    say: Callable[[], None]


class Room(NamedTuple):
    """The place has room for so many workers now: for the conductor, where the plan leaves their number to the place."""

    workers: int


class Weighed(NamedTuple):
    """A worker holds so many bytes of memory."""

    worker: int
    nbytes: int


Event = Ready | Done | Uncarried | Unreadable | Broken | Lost | Ended | Cancel | Said | Room | Weighed

# ── commands: do this ────────────────────────────────────────────────────────────────────────────────────────────────


class Spawn(NamedTuple):
    """Start one more worker like the lost one."""

    lost: int


class Succeed(NamedTuple):
    """Start one more worker like this one, which takes over when this one is through."""

    worker: int


class Feed(NamedTuple):
    """Give these items to a worker: `items[k]` is number `indices[k]`."""

    worker: int
    indices: Sequence[int]
    items: Sequence[Any]


class Abandon(NamedTuple):
    """Leave the thread in this slot behind."""

    worker: int
    slot: int
    index: int  # type: ignore[assignment]  # hides tuple.index, on purpose


class Kill(NamedTuple):
    """End this worker now; a Lost follows."""

    worker: int


class Withdraw(NamedTuple):
    """Cancel this item where it runs; its failure follows."""

    worker: int
    index: int  # type: ignore[assignment]  # hides tuple.index, on purpose


class Release(NamedTuple):
    """This worker gets nothing more: let it finish and end."""

    worker: int


class Resize(NamedTuple):
    """Let this worker keep so many slots busy from now on. What runs goes on."""

    worker: int
    slots: int


class Emit(NamedTuple):
    """These outcomes are final."""

    outcomes: Batch


class Keep(NamedTuple):
    """These outcomes are final: record them, then say so to `Machine.kept`, which lets them go. Only with a journal."""

    outcomes: Sequence[Outcome[Any]]


class Stop(NamedTuple):
    """The run cannot go on."""

    error: BaseException


Command = Spawn | Succeed | Feed | Abandon | Kill | Withdraw | Release | Resize | Emit | Keep | Stop
