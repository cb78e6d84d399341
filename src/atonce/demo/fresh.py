"""Programs of their own: what must start clean (memory) or must end badly (a crash) runs in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

__all__ = ["crash", "hold", "program", "startable"]

_LONGEST = 20.0


def program(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a function of this module, by name, in a fresh interpreter that finds packages where this one does."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import {name}; {name}(*{args!r})"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=_LONGEST, stdin=subprocess.DEVNULL
    )


def hold(model: str, units: int, nap: float) -> None:
    """Hold `units` naps in flight at once; print what each cost, as the fields of `Held`, in JSON."""
    import psutil

    from ..lab import work
    from .bench import peak, timed

    fn = work.anap if model == "coroutines" else work.nap
    timed(fn, [0.001] * 2, model=model, concurrency=2)  # imports and first allocations are not a unit's cost
    process = psutil.Process()
    before = most = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu = time.process_time()
    seconds, run = timed(fn, [nap] * units, model=model, concurrency=units)
    cpu = time.process_time() - cpu
    over.set()
    watcher.join()
    held: dict[str, Any] = {
        "kilobytes": (most - before) / units / 1000,
        "cpu_us": 1e6 * cpu / units,
        "seconds": seconds,
        "at_once": peak(run.outcomes),
    }
    print(json.dumps(held))


def startable(most: int) -> None:
    """Print how many threads can be started, up to `most`: a container may allow fewer."""
    over = threading.Event()
    started = 0
    try:
        for started in range(most + 1):  # noqa: B007
            threading.Thread(target=over.wait).start()
    except RuntimeError:
        pass
    over.set()
    print(started)


def crash(items: int, bad: int, slots: int) -> None:
    """Run items on threads, one of which ends the process; print a line for every outcome that arrives."""
    import atonce

    from .workload import exit_at

    for outcome in atonce.stream(partial(exit_at, bad), range(items), model="threads", concurrency=slots):
        print(outcome.index, flush=True)
