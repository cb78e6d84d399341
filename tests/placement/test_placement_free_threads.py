"""Free-threaded builds: there is none here, so what such a Python says is faked, and the rest runs as it would there."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from pathlib import Path

import pytest

import atonce
from atonce import errors
from atonce.options import Options
from atonce.plan import advice
from atonce.plan.function import look_at
from atonce.plan.machine import Machine, look_around
from atonce.plan.sample import Sample
from atonce.testing import contract

pytestmark = pytest.mark.timeout(40, method="signal")

TWICE = {"model": "hybrid", "parallelism": 2, "concurrency": 2}
SHAPES = [
    contract.Shape("threads", TWICE, at_once=4, threads_at_once=4),
    contract.Shape("coroutines", TWICE, awaits=True, at_once=4, threads_at_once=2),
]


@pytest.fixture
def no_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)


@pytest.mark.usefixtures("no_gil")
@pytest.mark.parametrize("check", contract.CHECKS, ids=contract.name_of)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_contract(shape: contract.Shape, check: contract.Check, tmp_path: Path) -> None:
    check(shape, tmp_path)


@pytest.mark.usefixtures("no_gil")
def test_the_workers_of_hybrid_are_threads_of_this_process() -> None:
    run = atonce.run(_where, range(20), **TWICE)
    assert {pid for pid, _ in run.values} == {os.getpid()}
    assert run.plan.placement == "thread"
    assert run.plan.headline == "hybrid: 2 threads × 2 coroutines in flight"
    assert "no GIL" in str(run.plan)


async def _where(item: int) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


@pytest.mark.usefixtures("no_gil")
def test_workers_that_are_to_be_replaced_are_processes_all_the_same() -> None:
    run = atonce.run(_where, range(20), **TWICE, max_tasks_per_worker=5)
    assert os.getpid() not in {pid for pid, _ in run.values}


def test_with_the_gil_they_are_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a free-threaded build, where an import may have switched it on again: it is asked when a plan is made."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert look_around().gil
    assert atonce.run(_where, range(5), **TWICE).plan.placement == "process"


@pytest.mark.usefixtures("no_gil")
def test_what_computes_in_an_event_loop_is_given_several() -> None:
    """A loop is a thread, and a thread one core; many must wait at once, more than threads would be. For plain functions
    `threads` is the same already."""
    machine = Machine(cpus=4, gil=False)
    assert look_around().gil is False
    mixed = Sample(wall=1.0, cpu=0.02, items=4)
    plan = advice.advise(look_at(_where), Options(), machine, mixed, 10_000)
    assert (plan.model, plan.placement, plan.parallelism) == ("hybrid", "thread", 4)
    plan = advice.advise(look_at(os.path.exists), Options(), machine, dataclasses.replace(mixed, gain=1.9), 10_000)
    assert plan.model == "threads"


@pytest.mark.usefixtures("no_gil")
def test_what_brings_down_the_process_is_told() -> None:
    plan = atonce.run(_where, range(5), **TWICE).plan
    assert "only processes survive that" in str(plan)
    with pytest.raises(errors.PlanError):
        atonce.run(_where, range(5), model="threads", parallelism=2)
