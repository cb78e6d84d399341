"""`Executor.map` is what Python 3.14 documents, in every model and on every Python."""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from executor_cases import BESIDE, EVERY_MODEL, FAR, HERE, LONG, fails, fit, gone, hold, make, new_thing, same

from atonce import Executor
from atonce.testing.contract import Log

pytestmark = pytest.mark.timeout(40, method="signal")

every = pytest.mark.parametrize("model", EVERY_MODEL)


@every
@pytest.mark.parametrize("options", [{}, {"chunksize": 3}, {"buffersize": 2}, {"chunksize": 3, "buffersize": 2}], ids=str)
def test_it_is_the_builtin(model: str, options: dict[str, int]) -> None:
    with make(model, 2) as pool:
        power = fit(model, pow)
        assert list(pool.map(power, range(10), range(10), **options)) == [k**k for k in range(10)]
        assert list(pool.map(power, range(10), [2] * 4, **options)) == [0, 1, 4, 9]
        assert list(pool.map(power, [], [1], **options)) == []
        assert list(pool.map(power, **options)) == []


@every
@pytest.mark.parametrize("chunksize", [1, 2])
def test_it_raises_where_a_call_has_failed(model: str, chunksize: int) -> None:
    with make(model, 2) as pool:
        results = pool.map(fit(model, divmod), [1, 1, 1, 1], [2, 3, 0, 5], chunksize=chunksize)
        assert [next(results), next(results)] == [(0, 1), (0, 1)]
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []


@every
def test_it_submits_everything_before_it_is_iterated(model: str) -> None:
    numbers = iter(range(10))
    with make(model, 2) as pool:
        results = pool.map(fit(model, same), numbers)
        assert list(numbers) == []
    assert list(results) == list(range(10))


@every
@pytest.mark.parametrize("buffersize", [1, 4])
def test_with_a_buffer_it_submits_that_many(model: str, buffersize: int) -> None:
    numbers = itertools.count()
    with make(model, 2) as pool:
        results = pool.map(fit(model, same), numbers, buffersize=buffersize)
        for taken in range(6):
            # as many as are not taken yet, and no more: the one that has just been given counts until the next is asked for
            assert next(results) == taken
        results.close()  # type: ignore[attr-defined]
        assert next(numbers) == 5 + buffersize


def test_a_full_buffer_waits_for_the_reader() -> None:
    numbers = itertools.count()
    with make("threads", 2) as pool:
        pool.map(same, numbers, buffersize=4)
    assert next(numbers) == 4


@pytest.mark.parametrize("model", FAR)
def test_with_chunks_the_buffer_counts_chunks(model: str) -> None:
    numbers = itertools.count()
    with make(model, 2) as pool:
        results = pool.map(same, numbers, chunksize=5, buffersize=2)
        assert next(results) == 0
        assert next(numbers) == 10
        results.close()  # type: ignore[attr-defined]


def test_chunks_are_submitted_as_one() -> None:
    with make("processes", 1) as pool:
        submitted: list[Any] = []
        submit = pool.submit
        pool.submit = lambda *args: submitted.append(args) or submit(*args)  # type: ignore[assignment, func-returns-value]
        assert list(pool.map(same, range(10), chunksize=4)) == list(range(10))
        assert len(submitted) == 3


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ValueError, {"chunksize": 0}),
        (ValueError, {"chunksize": -1}),
        (ValueError, {"buffersize": 0}),
        (ValueError, {"buffersize": -1}),
        (TypeError, {"buffersize": 1.5}),
    ],
    ids=str,
)
def test_it_refuses_what_the_standard_refuses(error: type[Exception], options: dict[str, Any]) -> None:
    with make("threads", 1) as pool, pytest.raises(error, match=next(iter(options))):
        pool.map(same, [1], **options)


@pytest.mark.parametrize("model", BESIDE)
def test_its_timeout_is_counted_from_the_call_and_cancels_the_rest(model: str, tmp_path: Path) -> None:
    """CPython's test_executor_map_current_future_cancel: also the call that was waited for is cancelled."""
    log = Log(tmp_path / "log")
    options = {"concurrency": 1} if model == "hybrid" else {}
    with make(model, 1, **options) as pool:
        first = pool.submit(fit(model, hold), log, 2, "first")
        log.wait_for(1)
        with contextlib.closing(pool.map(fit(model, hold), [log] * 2, [1] * 2, ["second", "third"], timeout=0)) as results:  # type: ignore[type-var]
            with pytest.raises(TimeoutError):
                next(results)
        log.write("go")
        assert first.result(LONG) == "first"
        assert pool.submit(fit(model, same), 1).result(LONG) == 1
    assert [line[-1] for line in log.lines()] == ["first", "go"]


def test_closing_it_cancels_the_rest() -> None:
    gate, ran = threading.Event(), []

    def call(item: int) -> int:
        ran.append(item)
        if item:
            gate.wait(LONG)
        return item

    with make("threads", 1) as pool:
        results = pool.map(call, range(20))
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
        gate.set()
        assert pool.submit(same, "last").result(LONG) == "last"
    assert ran in ([0], [0, 1]), "at most the one that had begun"


def test_a_failure_cancels_the_rest() -> None:
    gate, ran = threading.Event(), []

    def call(item: int) -> int:
        ran.append(item)
        if item == 0:
            fails(item)
        gate.wait(LONG)
        return item

    with make("threads", 1) as pool:
        results = pool.map(call, range(20))
        with pytest.raises(LookupError):
            next(results)
        gate.set()
        assert pool.submit(same, "last").result(LONG) == "last"
    assert ran in ([0], [0, 1])
    assert list(results) == []


@pytest.mark.parametrize("model", HERE)
def test_it_keeps_no_result_that_it_has_given(model: str) -> None:
    """CPython's test_free_reference, with and without a buffer."""
    with make(model, 2) as pool:
        for options in ({}, {"buffersize": 2}):
            for thing in pool.map(new_thing, range(10), **options):
                ref = weakref.ref(thing)
                del thing
                assert gone(ref)


@pytest.mark.parametrize("model", FAR)
def test_it_keeps_no_result_that_came_from_afar(model: str) -> None:
    with make(model, 2) as pool:
        for chunksize in (1, 3):
            for thing in pool.map(new_thing, range(9), chunksize=chunksize):
                ref = weakref.ref(thing)
                del thing
                assert gone(ref)


def test_it_does_not_keep_its_executor() -> None:
    pool = Executor("threads", 1)
    ref = weakref.ref(pool)
    results = pool.map(same, itertools.count(), buffersize=3)
    assert next(results) == 0
    del pool
    assert ref() is None
    assert list(results) == [1, 2], "what was submitted is given, nothing is submitted any more"
