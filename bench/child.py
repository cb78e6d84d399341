"""One contender in a process of its own: `python -m bench.child CASE CONTENDER N` measures once for each line of stdin.

Nobody's imports, garbage or event loop disturb the others this way, and each can be asked in turn while all stay warm.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from .case import Once
from .cases import find

__all__ = ["main"]


def main(argv: list[str]) -> None:
    name, who, n = argv[0], argv[1], int(argv[2])
    asked, answers = _private_streams()
    try:
        case = find(name)
        gauge = grown if case.unit == "MB" else seconds
        with contextlib.contextmanager(case.contender(who))(n) as once:
            print("{}", file=answers, flush=True)
            for _ in asked:
                print(json.dumps({"measured": gauge(once, n)}), file=answers, flush=True)
    except BaseException as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
        raise


def seconds(once: Once, n: int) -> float:
    """Wall seconds of doing it once, beginning with no garbage."""
    gc.collect()
    start = time.perf_counter()
    done = once()
    took = time.perf_counter() - start
    _check(done if isinstance(done, int) else done(), n)
    return took


def grown(once: Once, n: int) -> float:
    """Bytes by which this process's peak, while doing it, is above where it began."""
    gc.collect()
    before = _memory("VmRSS")
    done = once()
    _check(done if isinstance(done, int) else done(), n)
    return max(0.0, _memory("VmHWM") - before)


def _check(done: int, n: int) -> None:
    if done != n:
        raise RuntimeError(f"{done} results of {n} items")


def _memory(what: str) -> float:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux: the peak so far stands for both, which is right in a fresh process
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
    line = next(line for line in status.splitlines() if line.startswith(f"{what}:"))
    return float(line.split()[1]) * 1024


def _private_streams() -> tuple[TextIO, TextIO]:
    """stdin and stdout under other numbers: what a contender or its workers read and print stays out of them."""
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return asked, answers


if __name__ == "__main__":
    main(sys.argv[1:])
