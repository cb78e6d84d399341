"""Each item ends in exactly one outcome, in order when asked, and an outcome tells all there is to tell."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import atonce

from ...errors import NotCarried, RemoteTraceback
from .shape import Shape, check
from .tools import Log, Odd, double, odd_fail, same, seven_fails

__all__: list[str] = []  # they are `contract.CHECKS`


@check
def nothing_comes_of_nothing(shape: Shape, folder: Path) -> None:
    fn = shape.of(double)
    assert list(atonce.map(fn, [], **shape.options)) == []
    assert list(atonce.stream(fn, iter(()), **shape.options)) == []
    run = atonce.run(fn, [], **shape.options)
    assert (run.outcomes, run.values, run.failures) == ((), [], [])


@check
def each_item_ends_in_exactly_one_outcome(shape: Shape, folder: Path) -> None:
    outcomes = list(atonce.stream(shape.of(odd_fail), range(500), **shape.options))
    assert Counter(outcome.index for outcome in outcomes) == Counter(range(500))
    for outcome in outcomes:
        assert outcome.item == outcome.index
        assert outcome.attempts == 1
        assert outcome.ok is (outcome.item % 2 == 0)
        if outcome.ok:
            assert outcome.value == outcome.unwrap() == outcome.item
            assert outcome.error is None
        else:
            assert outcome.value is None
            assert isinstance(outcome.error, Odd)
            assert outcome.error.args == (outcome.item,)


@check
def each_item_runs_once(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    atonce.run(shape.of(log.write), range(200), **shape.options)
    assert Counter(log.lines()) == Counter((str(item),) for item in range(200))


@check
def map_is_in_order(shape: Shape, folder: Path) -> None:
    assert list(atonce.map(shape.of(double), range(300), **shape.options)) == [2 * item for item in range(300)]


@check
def map_out_of_order_loses_nothing(shape: Shape, folder: Path) -> None:
    values = atonce.map(shape.of(double), range(300), ordered=False, **shape.options)
    assert sorted(values) == [2 * item for item in range(300)]


@check
def stream_is_in_order_when_asked(shape: Shape, folder: Path) -> None:
    outcomes = atonce.stream(shape.of(odd_fail), range(300), ordered=True, **shape.options)
    assert [outcome.index for outcome in outcomes] == list(range(300))


@check
def map_raises_when_the_failed_items_turn_comes(shape: Shape, folder: Path) -> None:
    values = atonce.map(shape.of(seven_fails), range(50), **shape.options)
    assert list(itertools.islice(values, 7)) == list(range(7))
    try:
        next(values)
    except Odd as error:
        assert error.args == (7,)  # noqa: PT017
    else:
        raise AssertionError("map did not raise")
    assert list(values) == []  # the run has ended


@check
def map_returns_or_skips_errors_when_asked(shape: Shape, folder: Path) -> None:
    fn = shape.of(odd_fail)
    returned = list(atonce.map(fn, range(20), errors="return", **shape.options))
    assert [value if isinstance(value, int) else value.args[0] for value in returned] == list(range(20))
    assert all(isinstance(value, Odd) for value in returned[1::2])
    assert list(atonce.map(fn, range(20), errors="skip", **shape.options)) == list(range(0, 20, 2))


@check
def run_has_outcomes_values_failures_plan_and_stats(shape: Shape, folder: Path) -> None:
    run = atonce.run(shape.of(odd_fail), range(20), **shape.options)
    assert [outcome.index for outcome in run.outcomes] == list(range(20))
    assert run.values == list(range(0, 20, 2))
    assert [outcome.index for outcome in run.failures] == list(range(1, 20, 2))
    assert (run.stats.items, run.stats.ok, run.stats.failed, run.stats.attempts) == (20, 10, 10, 20)
    assert (run.stats.workers_lost, run.stats.threads_left) == (0, 0)
    assert run.stats.seconds > 0
    assert run.plan.headline in str(run.plan)
    assert run.plan.reasons
    assert "20 items: 10 ok, 10 failed" in repr(run)


@check
def an_outcome_says_when_and_where(shape: Shape, folder: Path) -> None:
    before = time.monotonic()
    run = atonce.run(shape.of(_where), range(20), **shape.options)
    after = time.monotonic()
    for outcome in run.outcomes:
        assert before <= outcome.started <= outcome.ended <= after
        assert outcome.waited >= 0
        assert outcome.cpu >= 0
        assert outcome.worker is not None
        assert outcome.value == outcome.worker[:2]
        if shape.options["model"] != "auto":
            assert (outcome.worker.pid == os.getpid()) is (shape.here or not shape.own_process)


def _where(item: int) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


@check
def an_exception_brings_its_traceback(shape: Shape, folder: Path) -> None:
    (failure,) = atonce.run(shape.of(seven_fails), [7], **shape.options).failures
    assert failure.error is not None
    if shape.here:
        assert _ends_in(failure.error) == "seven_fails"
        assert not isinstance(failure.error.__cause__, RemoteTraceback)
    else:
        assert isinstance(failure.error.__cause__, RemoteTraceback)
        assert "in seven_fails" in str(failure.error.__cause__)


def _ends_in(error: BaseException) -> str:
    traceback = error.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_name


@check
def an_exception_that_does_not_travel_is_still_told(shape: Shape, folder: Path) -> None:
    (failure,) = atonce.run(shape.of(_raise_untransportable), [1], **shape.options).failures
    assert failure.error is not None
    assert "cannot travel" in str(failure.error)
    assert "_raise_untransportable" in (str(failure.error.__cause__) if not shape.here else _ends_in(failure.error))


class _Untransportable(Exception):
    """Its constructor wants more than `args` has, as that of many libraries' exceptions."""

    def __init__(self, what: str, lock: object) -> None:
        super().__init__(what)
        self.lock = lock


def _raise_untransportable(item: int) -> None:
    raise _Untransportable("cannot travel", threading.Lock())


@check
def an_exit_or_interrupt_raised_by_the_function_is_its_items_failure(shape: Shape, folder: Path) -> None:
    run = atonce.run(shape.of(_exits), range(4), **shape.options)
    assert [type(outcome.error) for outcome in run.outcomes] == [type(None), SystemExit, type(None), GeneratorExit]
    if shape.options["model"] not in ("sync", "auto"):  # there it is raised in the caller's own thread: it is Ctrl-C
        (failure,) = atonce.run(shape.of(_interrupts), [0], **shape.options).failures
        assert isinstance(failure.error, KeyboardInterrupt)


def _exits(item: int) -> int:
    if item == 1:
        raise SystemExit(3)
    if item == 3:
        raise GeneratorExit
    return item


def _interrupts(item: int) -> None:
    raise KeyboardInterrupt


@check
def any_value_travels(shape: Shape, folder: Path) -> None:
    items = [None, 0, "", b"\0" * 3_000_000, [1, [2, {3}]], float("inf"), (), {"a": None}, Exception("a value"), int, len]
    values = list(atonce.map(shape.of(same), items, **shape.options))
    assert [repr(value) for value in values] == [repr(item) for item in items]


@check
def what_cannot_be_pickled_costs_its_item_alone(shape: Shape, folder: Path) -> None:
    items = [1, threading.Lock(), 2, 3]
    run = atonce.run(shape.of(same), items, **shape.options)
    if shape.here:
        assert run.values == items
        return
    assert run.values == [1, 2, 3]
    assert isinstance(run.failures[0].error, NotCarried)
    run = atonce.run(shape.of(_lock_for_odd), range(6), **shape.options)
    assert run.values == [0, 2, 4]
    assert all(isinstance(outcome.error, NotCarried) for outcome in run.failures)


def _lock_for_odd(item: int) -> Any:
    return threading.Lock() if item % 2 else item
