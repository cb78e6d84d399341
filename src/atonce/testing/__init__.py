"""For tests of what is built on atonce: time that only moves when told, workers that obey, and the contract.

    from atonce.testing import Dies, Hangs, simulate

    run = simulate(fn, range(1000), rate="5/s", seconds=2.0)   # 200 seconds of a run, in a moment
    assert run.stats.seconds < 202

- `simulate`: the real engine on fake workers in fake time; what would wait for ever raises `Stuck`.
- `FakeClock`, `FakeHub`, `FakePlacement`: the parts of it.
- `Dies`, `Hangs`: what a simulated function raises to end its worker, or to never come back.
- `contract`: the promises as checks that any model can be held to; its module docstring says how.
"""

from __future__ import annotations

from .clock import FakeClock, FakeHub, Stuck
from .placement import Dies, FakePlacement, FakeWorker, Hangs
from .simulation import simulate

__all__ = ["Dies", "FakeClock", "FakeHub", "FakePlacement", "FakeWorker", "Hangs", "Stuck", "simulate"]
