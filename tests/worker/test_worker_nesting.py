"""Runs inside items: they share what the outer run has given their worker, and go so deep and no deeper."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import psutil
import pytest

import atonce
from atonce.errors import PlanError
from atonce.plan.machine import usable_cpus
from atonce.plan.models import MOST_DEPTH
from atonce.worker.nesting import CORES, DEPTH, depth

# more workers than cores: each has a share of one
MANY = 2 * usable_cpus()

pytestmark = pytest.mark.timeout(60, method="signal")


def one(fn: Any, item: Any = None, parallelism: int = 1) -> Any:
    (value,) = atonce.map(fn, [item], model="processes", parallelism=parallelism)
    return value


def _looks(_: Any) -> tuple[int, int]:
    return depth(), usable_cpus()


@pytest.mark.parametrize("parallelism", [1, 2, MANY])
def test_a_worker_knows_how_deep_it_is_and_what_it_has(parallelism: int) -> None:
    assert depth() == 0
    assert one(_looks, parallelism=parallelism) == (1, max(1, usable_cpus() // parallelism))


def _script(_: Any) -> str:
    code = "from atonce.worker.nesting import depth; from atonce.plan.machine import usable_cpus; print(depth(), usable_cpus())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout


def test_a_program_that_an_item_starts_knows_it_too() -> None:
    assert one(_script, parallelism=MANY) == "1 1\n"


def _asks_for_many(_: Any) -> tuple[int, int, str]:
    run = atonce.run(_looks, range(8), model="processes", parallelism=8)
    pids = {outcome.worker.pid for outcome in run.outcomes if outcome.worker is not None}
    return run.plan.parallelism, len(pids), str(run.plan)


def test_processes_inside_a_worker_share_its_cores() -> None:
    parallelism, seen, plan = one(_asks_for_many, parallelism=MANY)
    assert (parallelism, seen) == (1, 1)
    assert "parallelism=8 inside a worker of another run, whose share is 1 core: it gets 1" in plan


def _nested(levels: int) -> Any:
    return depth() if levels == 0 else [one(_nested, levels - 1)]


def test_so_deep_and_no_deeper() -> None:
    value: Any = MOST_DEPTH
    for _ in range(MOST_DEPTH - 1):
        value = [value]
    assert one(_nested, MOST_DEPTH - 1) == value
    with pytest.raises(PlanError, match="worker of a worker") as raised:
        one(_nested, MOST_DEPTH)
    assert "auto" in (raised.value.hint or "")


def _bomb(_: Any) -> Any:
    """A function that calls itself by way of atonce, with all it can get."""
    return list(atonce.map(_bomb, range(3), model="processes", errors="return", parallelism=3))


def test_a_function_that_calls_itself_does_not_fill_the_machine() -> None:
    me = psutil.Process()
    most = 0
    for _ in atonce.stream(_bomb, range(4), model="processes", parallelism=2):
        most = max(most, len(me.children(recursive=True)))
    # a template and two workers, in each of these a template and its share of the cores; those of the run before, which have
    # been killed, may still be listed. Without a bound there would be three times as many at each depth.
    assert most <= 1 + 2 + 2 * (1 + 2 * max(1, usable_cpus() // 2))


def _computes(_: Any) -> int:
    until = os.times().user + 0.03
    while os.times().user < until:
        pass
    return os.getpid()


def _auto(_: Any) -> tuple[str, bool]:
    run = atonce.run(_computes, range(20))
    return str(run.plan), {outcome.value for outcome in run.outcomes} == {os.getpid()}


def test_auto_starts_no_processes_in_a_worker() -> None:
    plan, here = one(_auto)
    assert here
    assert "processes" not in plan.split("\n")[0]


def test_the_environment_of_the_caller_is_left_alone() -> None:
    one(_looks)
    assert DEPTH not in os.environ
    assert CORES not in os.environ
