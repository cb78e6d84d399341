"""The outbox: what is put in leaves, in whole reports, once, and never waits for the item behind it."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest

from atonce.outcome import WorkerId
from atonce.worker.outbox import FLUSH, Attendant, Failure, Outbox, Report

HERE = WorkerId(1, 2, 0)
# Seconds for what must happen; only a failing test takes them.
LONG = 20.0


class Sent:
    """Collects reports; `gate` holds the sender."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.came = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, report: Report) -> None:
        self.gate.wait(LONG)
        self.reports.append(report)
        self.came.set()

    @property
    def indices(self) -> list[int]:
        return [index for report in self.reports for index in report.indices]


def outbox() -> tuple[Outbox, Sent]:
    sent = Sent()
    return Outbox(sent, broken=lambda error: None), sent


def row(index: int) -> tuple[int, Any, float, float, float, WorkerId]:
    return (index, index, 0.0, 0.0, 0.0, HERE)


def test_nothing_is_not_sent() -> None:
    box, sent = outbox()
    box.flush()
    assert sent.reports == []


def test_rows_and_failures_leave_together_once() -> None:
    box, sent = outbox()
    box.rows += [row(0), row(2)]
    box.failures.append(Failure(1, ValueError(), 0.0, 0.0, 0.0, HERE))
    box.flush()
    box.flush()
    (report,) = sent.reports
    assert list(report.indices) == [0, 2]
    assert [failure.index for failure in report.failures] == [1]
    assert box.rows == []
    assert box.failures == []


def test_due_sends_when_it_is_time_and_arms_when_it_is_not() -> None:
    box, sent = outbox()
    armed: list[bool] = []
    box.arm = lambda: armed.append(True)
    box.rows.append(row(0))
    box.due(box.flushed + FLUSH / 2)
    assert (sent.reports, armed) == ([], [True])
    box.due(box.flushed + FLUSH)
    assert sent.indices == [0]


def test_a_meter_shares_its_seconds_over_the_report() -> None:
    box, sent = outbox()
    box.meter = lambda: 3.0
    box.rows += [row(0), row(1), row(2)]
    box.flush()
    assert list(sent.reports[0].cpu) == [1.0, 1.0, 1.0]


def test_many_threads_append_and_flush_and_nothing_is_lost_or_doubled() -> None:
    box, sent = outbox()
    numbers = itertools.count()
    each, threads = 500, 6

    def work() -> None:
        for _ in range(each):
            box.rows.append(row(next(numbers)))
            box.due(box.flushed + FLUSH)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    box.flush()
    assert sorted(sent.indices) == list(range(each * threads))


def test_the_attendant_sends_while_the_runner_is_inside_a_long_item() -> None:
    box, sent = outbox()
    attendant = Attendant(box)
    try:
        box.rows.append(row(0))
        box.due(box.flushed)  # it is not time yet, and the runner goes on to an item that takes for ever
        assert sent.came.wait(LONG)
        assert sent.indices == [0]
    finally:
        attendant.stop()


def test_the_attendant_can_be_armed_again_and_again() -> None:
    box, sent = outbox()
    attendant = Attendant(box)
    try:
        for number in range(5):
            sent.came.clear()
            box.rows.append(row(number))
            box.due(box.flushed)
            assert sent.came.wait(LONG)
        assert sent.indices == list(range(5))
    finally:
        attendant.stop()


@pytest.mark.parametrize("armed", [False, True])
def test_an_attendant_that_is_stopped_ends(armed: bool) -> None:
    box, _ = outbox()
    attendant = Attendant(box)
    if armed:
        attendant.arm()
    attendant.stop()
    assert not attendant._thread.is_alive()


def test_an_attendant_does_its_other_duty_too() -> None:
    box, _ = outbox()
    done = threading.Event()
    attendant = Attendant(box, also=done.set)
    attendant.arm()
    assert done.wait(LONG)
    attendant.stop()


def test_an_attendant_leaves_alone_what_the_runner_sends_itself() -> None:
    box, sent = outbox()
    looked = threading.Event()
    attendant = Attendant(box, also=looked.set)
    try:
        box.rows.append(row(0))
        box.flushed = time.monotonic() + LONG  # as if the runner had sent something since
        attendant.arm()
        assert looked.wait(LONG)
        assert sent.reports == []
    finally:
        attendant.stop()
