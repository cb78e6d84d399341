"""What this machine has to say about how many may be in flight: `Gauge` reads it once a second, `pressure` judges.

It is asked only where the limit is to be found. What it reads is this run's own doing as far as that can be told: other
programs' use of the cores is no reason to have fewer waits in flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ..plan.machine import Machine, look_around, open_descriptors
from .limit import Pressure

__all__ = ["EVERY", "Gauge", "Readings", "pressure"]

# Seconds between two looks.
EVERY = 1.0
# Of the cores, so much used by this run means that more in flight brings nothing.
CORES = 0.95
# Seconds that what came back had waited to be heard, by which the event loop, or whoever holds the GIL, is overdone.
LAG = 0.05
# Of what there was to take: no more in flight, fewer, none. Of the last tenth nobody knows who else wants it.
HOLD, FEWER, NONE = 0.80, 0.85, 0.92


class Readings(NamedTuple):
    """Shares: `cpu` of the cores, by this run; `memory` of what was free when it began; `descriptors` of those it may open.
    `lag`: seconds, 95 of 100 reports were heard within."""

    cpu: float = 0.0
    memory: float = 0.0
    descriptors: float = 0.0
    lag: float = 0.0


def pressure(found: Readings) -> tuple[Pressure, str]:
    """What to do, and why in a line. What runs out comes first: it ends runs, while the others only make no sense."""
    share, what = max(
        (found.memory, "of the memory that was free is taken"), (found.descriptors, "of the descriptors are open")
    )
    if share > HOLD:
        level: Pressure = "stop" if share > NONE else "cut" if share > FEWER else "hold"
        return level, f"{100 * share:.0f} % {what}"
    if found.cpu > CORES:
        return "hold", f"{100 * found.cpu:.0f} % of the cores are in use"
    if found.lag > LAG:
        return "hold", f"what comes back is heard {1000 * found.lag:.0f} ms late"
    return "none", ""


class Gauge:
    """One run's. `around` reads the machine, `opened` counts descriptors, `used` is this process's CPU seconds."""

    def __init__(
        self,
        now: float,
        *,
        around: Callable[[], Machine] = look_around,
        opened: Callable[[], int] | None = None,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._around, self._opened, self._used = around, opened or open_descriptors, used
        self._free = around().memory or 0
        self._then, self._cpu, self._items_cpu = now, used(), 0.0
        self._lags: list[float] = []

    def heard(self, ended: float, now: float) -> None:
        """A report is here whose last item ended then."""
        self._lags.append(now - ended)

    def read(self, now: float, items_cpu: float) -> Readings:
        """Since the last time. `items_cpu`: CPU seconds of all items so far, wherever they ran."""
        machine, cpu = self._around(), self._used()
        elapsed = max(now - self._then, 1e-6) * machine.cpus
        share = max(cpu - self._cpu, items_cpu - self._items_cpu) / elapsed
        lags = sorted(self._lags)
        self._then, self._cpu, self._items_cpu, self._lags = now, cpu, items_cpu, []
        return Readings(
            share,
            1 - machine.memory / self._free if self._free and machine.memory is not None else 0.0,
            self._opened() / machine.descriptors if machine.descriptors else 0.0,
            lags[int(0.95 * len(lags))] if lags else 0.0,
        )
