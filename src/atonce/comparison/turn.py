"""One turn: a model runs all items, in a fresh interpreter where they can be pickled, and what it used is measured."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..outcome import Run
from ..plan.machine import cpu_used
from .result import Turn

__all__ = ["in_fresh", "in_this", "packed"]


def packed(start: Callable[[str], Run[Any]]) -> bytes | None:
    """What a fresh interpreter needs for its turn, None where it cannot be pickled."""
    from ..worker import wire

    try:
        return wire.dumps((list(sys.path), wire.dumps(start)))
    except Exception:
        return None


def in_fresh(payload: bytes, model: str, number: int) -> Turn:
    """One turn in an interpreter of its own. What the function prints goes to stderr."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import _child; _child()"
    with tempfile.TemporaryDirectory(prefix="atonce-") as folder:
        result = os.path.join(folder, "turn.json")
        command = [sys.executable, "-c", code, model, str(number), result]
        done = subprocess.run(command, input=payload, stdout=sys.__stderr__ or subprocess.DEVNULL, check=False)
        try:
            with open(result, encoding="utf-8") as file:
                return Turn(**json.load(file))
        except (OSError, ValueError):
            return Turn(model, number, error=f"its interpreter ended with exit code {done.returncode}")


def _child() -> None:
    """The far side of `_in_fresh`."""
    from ..worker import wire

    model, number, result = sys.argv[1:]
    sys.argv[1:] = []
    path, start = wire.loads(sys.stdin.buffer.read())
    sys.path[:] = path
    turn = in_this(wire.loads(start), model, int(number))
    with open(result, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(turn), file)


def in_this(start: Callable[[str], Run[Any]], model: str, number: int) -> Turn:
    """One turn in this interpreter."""
    gc.collect()
    cpu, used, begun, zero = _cpu(), cpu_used(), time.perf_counter(), time.monotonic()
    try:
        with _peak() as peak:
            run = start(model)
            seconds = time.perf_counter() - begun
    except Exception as error:
        return Turn(model, number, error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    if process := sys.modules.get("atonce.placement.process"):
        process.shut_down()  # its CPU and its workers' count as soon as it has ended; the next turn starts its own
    cpu = _cpu() - cpu
    others = (cpu_used() or 0.0) - used - cpu if used is not None else 0.0
    workers = {outcome.worker[:2] for outcome in run.outcomes if outcome.worker is not None}
    failed = sum(not (outcome.ok and getattr(outcome.value, "ok", True) is not False) for outcome in run.outcomes)
    return Turn(
        model,
        number,
        seconds=seconds,
        cpu=cpu,
        peak=peak[0],
        ok=len(run.outcomes) - failed,
        failed=failed,
        pids=len({pid for pid, _ in workers}),
        threads=len(workers),
        chose=run.plan.model,
        plan=run.plan.headline,
        others=max(0.0, others / (time.perf_counter() - begun)),
        **_drawn(run, zero),
    )


# Attempts that are drawn, and rows of them: the picture is small.
_ATTEMPTS, _LANES = 1500, 64


def _drawn(run: Run[Any], zero: float) -> dict[str, Any]:
    """The picture of a turn that began at `zero`."""
    ran = sorted((outcome for outcome in run.outcomes if outcome.worker is not None), key=lambda each: each.started)
    pids: dict[int, int] = {}
    lanes: dict[Any, tuple[int, int, int]] = {}
    picture = []
    for outcome in ran[:_ATTEMPTS]:
        assert outcome.worker is not None
        pid, _, slot = outcome.worker
        if outcome.worker not in lanes and len(lanes) >= _LANES:
            continue
        lanes.setdefault(outcome.worker, (pids.setdefault(pid, len(pids)), slot, pid))
        start, length, cpu = (round(1e6 * s) for s in (outcome.started - zero, outcome.ended - outcome.started, outcome.cpu))
        picture.append((outcome.worker, start, length, cpu, int(not outcome.ok)))
    order = sorted(lanes, key=lambda worker: lanes[worker])
    rank = {worker: number for number, worker in enumerate(order)}
    return {
        "in_each": _in_each(ran),
        "lanes": tuple(lanes[worker] for worker in order),
        "picture": tuple((rank[worker], *rest) for worker, *rest in picture),
    }


def _in_each(ran: Sequence[Any]) -> int:
    """The most that were under way at once in one process."""
    changes: dict[int, list[tuple[float, int]]] = {}
    for outcome in ran:
        changes.setdefault(outcome.worker.pid, []).extend(((outcome.started, 1), (outcome.ended, -1)))
    # what ends when another starts does not overlap it: -1 sorts before 1
    return max((max(itertools.accumulate(by for _, by in sorted(each))) for each in changes.values()), default=0)


def _cpu() -> float:
    """Of this process, to the microsecond, and of children that have ended, in ticks of ten milliseconds."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


# Seconds between two looks at the memory: each costs about a millisecond with a few workers.
_LOOK = 0.05


@contextlib.contextmanager
def _peak() -> Iterator[list[int]]:
    """The most memory this process and its children held together while it was open; shared pages count in each."""
    import psutil

    me, most, over = psutil.Process(), [0], threading.Event()

    def look() -> None:
        total = 0
        with contextlib.suppress(psutil.Error):
            for process in (me, *me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        most[0] = max(most[0], total)

    def watch() -> None:
        while not over.wait(_LOOK):
            look()

    watcher = threading.Thread(target=watch, name="atonce-memory", daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        look()
        over.set()
        watcher.join()
