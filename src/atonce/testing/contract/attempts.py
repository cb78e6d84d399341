"""Retries, timeouts, rates and deaths: what one attempt costs, and whom."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import atonce

from ...errors import ItemTimeout, PlanError, WorkerDied
from .shape import Shape, check
from .tools import Hanging, Log, Odd, double

__all__: list[str] = []  # they are `contract.CHECKS`


class _FailsFirst:
    """Fails `times` times an item, whoever calls it."""

    def __init__(self, log: Log, times: int) -> None:
        self.log = log
        self.times = times

    def __call__(self, item: int) -> int:
        self.log.write(item)
        if sum(line == (str(item),) for line in self.log.lines()) <= self.times:
            raise Odd(item)
        return item


@check
def a_failure_is_tried_again_as_told(shape: Shape, folder: Path) -> None:
    quick = atonce.Retry(attempts=3, base=0.001, on=Odd)
    run = atonce.run(shape.of(_FailsFirst(Log(folder / "one"), 1)), range(2), retry=quick, **shape.options)
    assert run.values == [0, 1]
    assert [outcome.attempts for outcome in run.outcomes] == [2, 2]
    assert run.stats.attempts == 4


@check
def a_failure_that_stays_is_reported_with_its_attempts(shape: Shape, folder: Path) -> None:
    quick = atonce.Retry(attempts=2, base=0.001)
    log = Log(folder / "log")
    run = atonce.run(shape.of(_FailsFirst(log, 99)), range(2), retry=quick, **shape.options)
    assert [outcome.attempts for outcome in run.failures] == [2, 2]
    assert len(log.lines()) == 4


@check
def what_a_retry_does_not_cover_is_not_tried_again(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    retry = atonce.Retry(attempts=5, base=0.001, on=LookupError)
    run = atonce.run(shape.of(_FailsFirst(log, 99)), [1], retry=retry, **shape.options)
    assert run.failures[0].attempts == 1
    assert log.lines() == [("1",)]


@check
def a_stuck_item_costs_its_timeout_and_nobody_else(shape: Shape, folder: Path) -> None:
    with Hanging(3) as hang:
        if not shape.keeps_timeout:
            try:
                atonce.map(hang, range(10), timeout=0.2, **shape.options)
            except PlanError as error:
                assert "timeout" in str(error)  # noqa: PT017
                return
            raise AssertionError("a timeout that cannot be kept was taken")
        run = atonce.run(hang.for_(shape), range(10), timeout=0.2, **shape.options)
    assert [outcome.index for outcome in run.failures] == [3]
    assert isinstance(run.failures[0].error, ItemTimeout)
    assert run.values == [item for item in range(10) if item != 3]


@check
def a_stuck_first_item_costs_its_timeout_and_nobody_else(shape: Shape, folder: Path) -> None:
    """The first one is special: `auto` measures it."""
    if not shape.keeps_timeout:
        return
    with Hanging(0) as hang:
        run = atonce.run(hang.for_(shape), range(5), timeout=0.2, **shape.options)
    assert [outcome.index for outcome in run.failures] == [0]
    assert isinstance(run.failures[0].error, ItemTimeout)


@check
def a_stuck_item_may_be_tried_again(shape: Shape, folder: Path) -> None:
    if not shape.keeps_timeout:
        return
    log = Log(folder / "log")
    with _HangsOnce(log) as hang:
        run = atonce.run(hang.for_(shape), range(4), timeout=0.3, retry=2, **shape.options)
    assert run.values == [0, 1, 2, 3]
    assert run.outcomes[1].attempts == 2


class _HangsOnce(Hanging):
    def __init__(self, log: Log) -> None:
        super().__init__(1)
        self.once = log

    def _first(self, item: int) -> bool:
        if item == 1:
            self.once.write(item)
        return item == 1 and len(self.once.lines()) == 1

    def __call__(self, item: Any) -> Any:
        return super().__call__(item) if self._first(item) else item

    async def awaited(self, item: Any) -> Any:
        return await super().awaited(item) if self._first(item) else item


@check
def a_timeout_that_is_not_reached_costs_nothing(shape: Shape, folder: Path) -> None:
    if shape.keeps_timeout:
        run = atonce.run(shape.of(double), range(100), timeout=60, **shape.options)
        assert run.values == [2 * item for item in range(100)]


@check
def a_rate_spaces_the_starts(shape: Shape, folder: Path) -> None:
    began = time.monotonic()
    run = atonce.run(shape.of(double), range(8), rate=100, **shape.options)
    starts = sorted(outcome.started for outcome in run.outcomes)
    # an item starts when it is given out, or later: none comes before the rate lets it, whatever the machine does meanwhile
    for number, start in enumerate(starts):
        assert start - began >= number / 100 - 0.005


@check
def a_death_costs_one_item(shape: Shape, folder: Path) -> None:
    if not shape.kills:
        return
    run = atonce.run(shape.of(_ends_the_process), range(20), **shape.options)
    (failure,) = run.failures
    assert failure.index == 11
    assert isinstance(failure.error, WorkerDied)
    assert failure.error.exit_code_of_worker == 3
    assert "exit code 3" in str(failure.error)
    assert "11" in str(failure.error)
    assert failure.attempts >= 2
    assert run.values == [item for item in range(20) if item != 11]


def _ends_the_process(item: int) -> int:
    if item == 11:
        os._exit(3)
    return item
