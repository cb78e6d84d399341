"""What a run is doing now, for whoever shows it: `Status`, and `status_of`, which any thread may call."""

from __future__ import annotations

import operator
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import said
from ..plain import label

if TYPE_CHECKING:
    from .conductor import Conductor

__all__ = ["Doing", "Status", "Waiting", "status_of"]

Phase = Literal["starting", "measuring", "warming up", "running", "ending"]

_ATTEMPTS = 5


class Waiting(NamedTuple):
    """A key of which nothing may start for so many seconds, since it `asked` for that (Retry-After) or does not answer (`why`:
    what its last failure is called); and how many of its items wait for it."""

    key: str
    seconds: float
    items: int
    asked: bool
    why: str = ""


class Doing(NamedTuple):
    """A worker: how many of its `slots` are `busy`, how many items it has been `given`, and the one that runs longest."""

    number: int
    state: Literal["starts", "idle", "works", "ends"]
    slots: int
    busy: int
    given: int
    item: str = ""
    seconds: float = 0.0


class Status(NamedTuple):
    """`done` items are final, `failed` of them failed. `limit` and `why`: how many may be in flight, None where that is fixed.

    `phase`: "measuring" the first items; "starting" while no worker is ready; "warming up": processes are being started and
    the worker that measured goes on meanwhile; "ending": all has been read. `retrying` items wait for another try, the
    first for `retry_in` seconds; `parked` are keys, the first to go on first, `unheard` so many that are asked and of which
    nothing has come back yet. `memory`: bytes of this process and its
    workers at the last look.
    """

    phase: Phase = "starting"
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    slots: int = 0
    limit: int | None = None
    why: str = ""
    retrying: int = 0
    retry_in: float = 0.0
    parked: tuple[Waiting, ...] = ()
    workers: tuple[Doing, ...] = ()
    lost: int = 0
    memory: int = 0
    unheard: int = 0


def status_of(conductor: Conductor, *, workers: bool = False) -> Status:
    """As it is now; `workers` too, if asked. What changes meanwhile, in the driver's thread, is looked at again."""
    for _ in range(_ATTEMPTS):
        try:
            return _status(conductor, workers)
        except (RuntimeError, KeyError, ValueError, IndexError):  # it changed size, or ended, while it was read
            continue
    return Status()


def _status(conductor: Conductor, workers: bool) -> Status:
    machine, now = conductor.machine, time.monotonic()
    seats = [(number, seat, len(seat.assigned)) for number, seat in list(machine.seats.items())]
    waits = [
        Waiting(str(key), until - now, items, asked, "" if asked or last is None else said(last)[0])
        for key, until, items, asked, last in machine.parked(now)
    ]
    limit, why = machine.limit
    if machine.steering is not None and not machine.steering.awake:
        limit, why = None, ""
    retries = machine.retries
    phase: Phase = "running"
    if conductor.probing:
        phase = "measuring"
    elif not any(seat.ready for _, seat, _ in seats):
        phase = "starting"
    elif conductor.warming:
        phase = "warming up"
    elif machine.source_ended and not machine.queued:
        phase = "ending"
    return Status(
        phase=phase,
        done=machine.emitted,
        failed=machine.failed,
        in_flight=sum(min(given, seat.slots) for _, seat, given in seats),
        slots=sum(seat.slots for _, seat, _ in seats),
        limit=limit,
        why=why,
        retrying=len(retries),
        retry_in=max(0.0, min(retries) - now) if retries else 0.0,
        parked=tuple(sorted(waits, key=operator.attrgetter("seconds"))),
        unheard=machine.unheard,
        workers=tuple(_doing(conductor, number, seat, given, now) for number, seat, given in seats) if workers else (),
        lost=machine.workers_lost,
        memory=conductor.history.bytes,
    )


def _doing(conductor: Conductor, number: int, seat: Any, given: int, now: float) -> Doing:
    busy = min(given, seat.slots)
    if not (seat.ready or seat.released):
        return Doing(number, "starts", seat.slots, busy, given)
    if not given:
        return Doing(number, "ends" if seat.released else "idle", seat.slots, 0, 0)
    index, since = conductor.longest(number)
    item = "" if index is None else label(seat.assigned.get(index))
    return Doing(number, "ends" if seat.released else "works", seat.slots, busy, given, item, max(0.0, now - since))
