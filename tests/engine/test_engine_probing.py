"""A tenth of the way: whether it goes as predicted, from numbers that nobody measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from atonce.engine.probing import Review
from atonce.plan.calibration import ASSUMED
from atonce.plan.machine import Machine
from atonce.plan.plan import Plan
from atonce.plan.sample import Carriage, Sample

MACHINE = Machine(cpus=2)
# 100 items of 10 ms, side by side on two threads
PLAN = Plan("threads", "here", "thread", 1, 2, seconds=0.5)
SAMPLE = Sample(wall=0.01, cpu=0.01, held=0.0, gain=2.0)


def engine(emitted: int, cpu: float, mean: float = 0.01) -> Any:
    return SimpleNamespace(emitted=emitted, cpu=cpu, seats={0: SimpleNamespace(mean=mean)})


def review(**options: Any) -> Review:
    found = Review(PLAN, SAMPLE, 100, MACHINE, ASSUMED, **options)
    found.begin(0.0, engine(5, 0.05))
    assert found.at == 15
    return found


def test_what_goes_as_predicted_is_left_alone() -> None:
    assert review().disagrees(0.05, engine(15, 0.15)) is None


@pytest.mark.parametrize("took", [0.12, 0.2])
def test_what_takes_turns_after_all_holds_the_gil(took: float) -> None:
    found = review().disagrees(took, engine(15, 0.05 + took, mean=took / 5))
    assert found is not None
    assert found.cpu == pytest.approx(took / 10)
    assert found.held == pytest.approx(found.cpu)


def test_what_an_item_weighs_is_asked_once_processes_come_into_question() -> None:
    asked: list[int] = []

    def weigh() -> Carriage:
        asked.append(1)
        return Carriage(0, 0.0, "its result cannot be pickled")

    late = review(weigh=weigh)
    assert late.weighed(SAMPLE).stuck == "its result cannot be pickled"
    known = Sample(wall=0.01, cpu=0.01, carry=Carriage(1, 1e-6))
    assert late.weighed(known) is known
    assert asked == [1]
