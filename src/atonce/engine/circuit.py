"""Whether a key that keeps failing is tried at all: open after failures in a row, one probe after each pause, then given up
(`Circuit`); and one that answers with refusals alone, after minutes of that (`Refusing`).

closed ──10 in a row──► open ──pause──► one probe ──it came back──► closed
                         ▲                  │ it failed: twice the pause
                         └──────────────────┘ 5 of these: given up, all that wait fail, a probe each minute
"""

from __future__ import annotations

import math

__all__ = ["Circuit", "Refusing"]

# Failures in a row, not one answer between them. A guess: a host that answers nine of ten never has as many by chance in a
# run of millions.
TRIP = 10
# Seconds of the first pause, doubled by each probe that fails, and of the longest: half a minute in all before it is given up.
PAUSE, LONGEST = 1.0, 60.0
PROBES = 5
# Refusals with nothing else between, and seconds that they have lasted, after which a key is given up: one that asks for a
# pause of minutes has not been asked as often by then, and one that counts by the minute has let some through.
REFUSALS, LASTING = 20, 300.0


class Circuit:
    """One key's. Pure: time is passed in. It counts what says that the whole key does not answer, nothing else."""

    __slots__ = ("_opened_at", "in_a_row", "probes", "until")

    def __init__(self) -> None:
        self.in_a_row = 0
        self.probes = 0  # that failed, since it opened
        self.until = -math.inf  # nothing may start before
        self._opened_at = -math.inf

    def __repr__(self) -> str:
        return f"<Circuit {'open' if self.open else 'closed'}, {self.in_a_row} in a row, {self.probes} probes failed>"

    @classmethod
    def giving_up(cls, times: int, now: float) -> Circuit:
        """Of a key that has failed so many times in a row, each in its way: it is given up now, and probed after a while."""
        circuit = cls()
        circuit.in_a_row, circuit.probes = max(times, TRIP), PROBES
        circuit._opened_at, circuit.until = now, now + LONGEST
        return circuit

    @property
    def open(self) -> bool:
        """Then one at a time may start, from `until` on."""
        return self.in_a_row >= TRIP

    @property
    def given_up(self) -> bool:
        """Then what cannot start before `until` fails."""
        return self.probes >= PROBES

    def answered(self) -> None:
        """Something came back, be it a refusal or an error: it lives."""
        self.in_a_row = self.probes = 0
        self.until = self._opened_at = -math.inf

    def failed(self, started: float, now: float) -> None:
        """No answer to what was `started` then; what was under way when the circuit opened is no news."""
        self.in_a_row += 1
        if not self.open or started < self._opened_at:
            return
        if self._opened_at > -math.inf:
            self.probes += 1
        self._opened_at = now
        self.until = now + min(LONGEST, PAUSE * 2.0**self.probes)


class Refusing:
    """Counts what one key has refused since it last did anything else."""

    __slots__ = ("_since", "times")

    def __init__(self) -> None:
        self.times = 0
        self._since = math.inf

    def refused(self, ended: float) -> bool:
        """Once more. Whether that is enough."""
        self._since = min(self._since, ended)
        self.times += 1
        return self.times >= REFUSALS and ended - self._since >= LASTING
