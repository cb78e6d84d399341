"""Whether one process is too little for an event loop that a function brings itself. Pure: what is read is passed in.

    a Reading each `EVERY` seconds ──► look: this process computes all the time, a core is idle ──► why: several are worth it

Nothing of such a function can be measured beforehand: one item alone tells nothing of a loop with many in flight. But once it
runs, the clocks tell.
"""

from __future__ import annotations

from typing import NamedTuple

from .calibration import Calibration
from .costs import LEAST_SHARE
from .plan import in_time
from .probe import LEAST_GAIN

__all__ = ["EVERY", "Outgrown", "Reading"]

# Seconds between two looks.
EVERY = 0.2
# Of a core: what this process uses when its loop does all that one can, what it uses at most (beyond that somebody else works
# here too, such as who writes the output, and would have to take in what others fetch), and what must be idle.
FULL, OVERFULL, IDLE = 0.9, 1.25, 0.5
# Seconds of CPU an item from which on several processes do more. Plain 16 KB from a server beside it take 60 us, and two
# processes that hand them over are slower than one (0.9 s for 10 000, instead of 0.65); 256 KB over TLS and decompressed take
# 1.3 ms, and two do 1.4 times as many.
LEAST_CPU = 0.0003


class Reading(NamedTuple):
    """CPU seconds so far, of this process (`own`) and of all programs (`used`, None where the system does not tell), and how
    many items are `done`."""

    now: float
    own: float
    used: float | None
    done: int


class Outgrown:
    """Of a run on `cpus` of the machine's `cores`."""

    def __init__(self, cpus: int, cores: int, first: Reading) -> None:
        self._cpus, self._cores = cpus, cores
        self._begun = first.now
        self._last = first
        self._times = 0  # looks in a row that found it full
        self._rate = self._own = self._taken = 0.0

    def look(self, reading: Reading) -> bool:
        """Whether this look and the one before found this process full and another core idle."""
        last, self._last = self._last, reading
        seconds, done = max(reading.now - last.now, 1e-6), reading.done - last.done
        own = (reading.own - last.own) / seconds
        taken = own if reading.used is None or last.used is None else (reading.used - last.used) / seconds
        full = FULL <= own <= OVERFULL and self._cores - taken >= IDLE and done > 0 and own * seconds / done >= LEAST_CPU
        self._times = self._times + 1 if full else 0
        self._rate, self._own, self._taken = done / seconds, own, max(own, taken)
        return self._times > 1

    def why(self, left: int | None, carried: float, calibration: Calibration) -> str | None:
        """Why several processes are worth it, in a sentence; None while they are not.

        `left`: items to come, None where nobody knows: then as many as there have been. `carried`: seconds an item takes to
        get to another process and back. What they would do is bounded by what the cores have left, since whatever else works
        for this run, such as who writes its output, would have as much more to do.
        """
        seconds = self._last.now - self._begun if left is None else left / self._rate
        crossing = calibration.near + calibration.far + carried
        each = max((self._own / self._rate + crossing) / self._cpus, crossing)
        times = min(self._cpus, self._cores / (self._taken + self._rate * crossing), 1 / (self._rate * each))
        # what the function imports is imported by each of them, which takes about as long as starting
        then = 2 * calibration.start + calibration.worker * (self._cpus - 2) + seconds / times
        gain = seconds - then
        if gain <= max(LEAST_SHARE * seconds, LEAST_GAIN):
            return None
        idle = self._cores - self._taken
        rest = "what is left" if left is not None else "as many more"
        return (
            f"its loop used {100 * self._own:.0f} % of a core while {idle:.1f} of {self._cores} were idle: {rest} would take "
            f"{in_time(seconds)} here, {in_time(then)} with {self._cpus} processes, of which this is one"
        )
