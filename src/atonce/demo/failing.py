"""C11: what a failure takes with it."""

from __future__ import annotations

from functools import partial

import atonce

from .bench import Bench
from .fresh import program
from .measured import Failing
from .workload import exit_at, raise_at

__all__ = ["failing"]

SLOTS = 4


def failing(bench: Bench) -> Failing:
    items = 20
    bad = items // 2
    bench.step("an exception in a thread")
    raised = atonce.run(partial(raise_at, bad), range(items), model="threads", concurrency=SLOTS, parallelism=1, timeout=None)
    bench.step("a crash in a thread of a throw-away program")
    ended = program("crash", items, bad, SLOTS)
    bench.step("a crash in a worker process")
    died = atonce.run(
        partial(exit_at, bad),
        range(items),
        model="processes",
        parallelism=bench.hands,
        concurrency=1,
        timeout=None,
    )
    return Failing(
        items=items,
        raised_ok=raised.stats.ok,
        raised_failed=raised.stats.failed,
        exit_code=ended.returncode,
        exit_told=len(ended.stdout.splitlines()),
        died_ok=died.stats.ok,
        died_error=type(died.failures[0].error).__name__ if died.failures else "",
        died_failed=died.stats.failed,
    )
