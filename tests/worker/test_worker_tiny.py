"""Items too short to be looked at one by one: what is told of them stays right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.outcome import WorkerId
from atonce.worker.job import IDLE, Cells, Job
from atonce.worker.outbox import Outbox, Report
from atonce.worker.runners.call import SLAB, TINY, Measure, Place, run_items

WHO = WorkerId(1, 2, 0)


class Bench:
    """`run_items` of tiny items, and what it reported."""

    def __init__(self, mean: float = TINY / 10) -> None:
        self.reports: list[Report] = []
        self.outbox = Outbox(self.reports.append, lambda error: None)
        self.outbox.pace = 1e9
        self.cells = Cells(1)
        self.measure = Measure()
        self.measure.mean = mean

    def run(self, fn: Callable[[Any], Any], items: Any, *, timeout: float | None = None, left: Any = ()) -> None:
        job = Job(fn, None, timeout)
        run_items(iter(items), Place(fn, job, self.outbox, self.cells, WHO, left=left, measure=self.measure))
        self.outbox.flush()

    @property
    def values(self) -> dict[int, Any]:
        pairs = [pair for report in self.reports for pair in zip(report.indices, report.values, strict=True)]
        assert len(dict(pairs)) == len(pairs), "an item was reported twice"
        return dict(pairs)

    @property
    def errors(self) -> dict[int, BaseException]:
        return {failure.index: failure.error for report in self.reports for failure in report.failures}


def is_now(view: Any, at: int) -> Callable[[int], bool]:
    return lambda index: view[at] == index


@given(st.lists(st.sampled_from(["ok", "raise", "stop", "exit"]), max_size=4 * SLAB))
def test_every_item_is_reported_once_as_what_it_was(kinds: list[str]) -> None:
    bench = Bench()
    named = is_now(bench.cells.view, bench.cells.at(0))

    def fn(item: tuple[int, str]) -> tuple[int, bool]:
        index, kind = item
        if kind == "raise":
            raise ValueError(index)
        if kind == "stop":
            raise StopIteration(index)
        if kind == "exit":
            raise SystemExit(index)
        return index, named(index)

    bench.run(fn, enumerate(enumerate(kinds)))
    assert bench.values == {k: (k, True) for k, kind in enumerate(kinds) if kind == "ok"}
    expected = {"raise": ValueError, "stop": StopIteration, "exit": SystemExit}
    assert {k: type(error) for k, error in bench.errors.items()} == {
        k: expected[kind] for k, kind in enumerate(kinds) if kind != "ok"
    }
    assert bench.cells.view[bench.cells.at(0)] == IDLE
    times = sorted(t for r in bench.reports for t in [*zip(r.started, r.ended, strict=True)])
    times += [(failure.started, failure.ended) for r in bench.reports for failure in r.failures]
    assert all(started <= ended for started, ended in times)


def test_what_is_finished_does_not_wait_for_an_item_that_has_become_long() -> None:
    bench = Bench()
    entered, gate = threading.Event(), threading.Event()

    def fn(item: int) -> int:
        if item == 5:
            entered.set()
            assert gate.wait(20)
        return item

    thread = threading.Thread(target=bench.run, args=(fn, [(n, n) for n in range(20)]))
    thread.start()
    try:
        assert entered.wait(20)
        bench.outbox.flush()  # as the attendant does
        assert bench.values == {n: n for n in range(5)}
        assert max(bench.reports[0].ended) <= time.monotonic()
    finally:
        gate.set()
        thread.join()
    assert bench.values == {n: n for n in range(20)}


def test_an_item_is_taken_when_it_is_its_turn() -> None:
    """Another thread may have those behind it."""
    bench, taken = Bench(), []

    def items() -> Any:
        for n in range(2 * SLAB):
            taken.append(n)
            yield n, n

    bench.run(lambda item: len(taken), items())
    assert bench.values == {n: n + 1 for n in range(2 * SLAB)}


def test_who_is_left_behind_takes_no_other_item() -> None:
    bench, left = Bench(), []
    bench.run(lambda item: left.append(True) if item == 3 else item, [(n, n) for n in range(10)], left=left)
    assert sorted(bench.values) == [0, 1, 2, 3]


def test_those_that_have_become_long_are_looked_at_one_by_one() -> None:
    bench = Bench()
    bench.run(lambda item: time.sleep(2 * TINY), [(n, n) for n in range(3 * SLAB)])
    assert bench.measure.mean > TINY
    assert len(bench.values) == 3 * SLAB


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_a_timeout_wants_to_know_when_each_began(timeout: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, slabs = Bench(), []
    monkeypatch.setattr(bench.outbox, "open", lambda slab: slabs.append(slab) or bench.outbox.slabs.append(slab))
    bench.run(lambda item: item, [(0, 0)], timeout=timeout)
    assert bool(slabs) == (timeout is None)
