"""The instruments that the first items are measured with, each against something that is known."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from atonce.plan.instruments import Instruments, Nap, Ticker, carry, children_at_work, weigh
from atonce.plan.sample import Beats
from atonce.worker.job import Job
from atonce.worker.runners.coroutine import new_loop

MS = 0.001


def naps(*rows: tuple[float, float, float]) -> list[Nap]:
    """Of milliseconds, one after the other: how long each took, for how long it had no core, what was computed meanwhile."""
    ends = itertools.accumulate(took for took, _, _ in rows)
    return [Nap(end * MS, took * MS, queued * MS, cpu * MS) for end, (took, queued, cpu) in zip(ends, rows, strict=True)]


IDLE = (0.6, 0.0, 0.0)


@pytest.mark.parametrize(
    ("rows", "seen", "share"),
    [
        pytest.param([IDLE] * 50, 0.0, 0.0, id="waits"),
        pytest.param([(5.6, 0.0, 5.6)] * 4, 22.4, 1.0, id="a loop"),
        pytest.param([(0.6, 0.0, 0.6)] * 40, 24.0, 0.0, id="native code that lets the GIL go"),
        pytest.param([(5.6, 0.0, 5.6), (4.7, 0.0, 4.4), *[IDLE] * 50], 10.0, 1.0, id="a loop, then a wait"),
        pytest.param([*[IDLE] * 50, (5.4, 0.0, 5.0), (5.4, 0.0, 5.0)], 10.0, 1.0, id="a wait, then a loop"),
        pytest.param([(0.6, 0.0, 0.6)] * 8 + [IDLE] * 20, 4.8, 0.0, id="hashing, then a wait"),
        pytest.param([(2.3, 0.0, 2.0), *[IDLE] * 10] * 3, 6.0, 1.0, id="short loops"),
        pytest.param([(0.6, 0.0, 0.2), *[IDLE] * 10] * 3, 0.0, 0.0, id="over before the nap is: not seen"),
        pytest.param([(5.6, 0.0, 5.6), *[(0.6, 0.0, 0.7)] * 8], 10.4, 5.6 / 10.4, id="half and half"),
        pytest.param([(4.7, 4.0, 4.7)] * 2, 1.4, 0.0, id="it had no core: little is seen"),
        pytest.param([(8.6, 3.0, 5.6)] * 2, 11.2, 1.0, id="it had no core when its turn came"),
        pytest.param([(30.6, 0.0, 10.6)], 10.6, 1.0, id="who holds the GIL has no core"),
        pytest.param([(0.6, 0.0, 2.4)] * 10, 6.0, 0.0, id="four threads of its own"),
    ],
)
def test_what_naps_say_of_who_holds_the_gil(rows: list[tuple[float, float, float]], seen: float, share: float) -> None:
    found = weigh(naps(*rows), 0.0, 1.0)
    assert found.count == len(rows)
    assert found.seen == pytest.approx(seen * MS)
    assert found.share == pytest.approx(share)
    assert found.held <= found.seen <= found.cpu + 1e-12 <= found.wall + 2e-12


def test_naps_count_only_where_they_are_asked_about() -> None:
    found = weigh(naps(*[(10.7, 0.0, 10.7)] * 5), 0.020, 0.040)
    assert found.count == 3  # of the second, what lies inside; of the fourth as well
    assert found.wall == pytest.approx(0.02)
    assert found.held == pytest.approx(0.02)
    assert weigh(naps(*[(10.7, 0.0, 10.7)] * 5), 1.0, 2.0) == Beats()


def test_the_ticker_sees_a_blocked_loop_while_it_is_blocked() -> None:
    loop = asyncio.new_event_loop()
    ready, go_on = threading.Event(), threading.Event()

    def block() -> None:
        ready.set()
        go_on.wait()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ticker = Ticker(loop)
    try:
        loop.call_soon_threadsafe(loop.call_later, 0.01, block)  # after it has begun to tick
        assert ready.wait(30)
        before = ticker.late
        while ticker.late < before + 0.03:  # however late its own thread gets a core
            time.sleep(0)
        ticker.stop()
    finally:
        go_on.set()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("make", [asyncio.new_event_loop, new_loop])
@pytest.mark.leaves("descriptor")  # libuv opens a pipe with its first loop and keeps it
def test_of_short_blocks_the_ticker_sees_most(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Blocks of 2 ms, half of the time: a timer that counts in milliseconds saw next to nothing of them."""
    loop = make()

    async def seen() -> float:
        """Of 0.1 s of blocks, the share that the ticker saw."""
        blocked, before = 0.0, ticker.late
        while blocked < 0.1:
            await asyncio.sleep(0.002)
            begun = time.monotonic()
            time.sleep(0.002)
            blocked += time.monotonic() - begun
        return (ticker.late - before) / blocked

    ticker = Ticker(loop)
    try:
        # its thread needs a core to see them, and others may have those
        assert sum(loop.run_until_complete(seen()) > 0.4 for _ in range(10)) >= 3
    finally:
        ticker.stop()
        loop.close()


def test_what_the_heartbeat_has_heard_is_told_while_it_goes_on() -> None:
    instruments = Instruments()
    instruments.start()
    assert instruments.heard(0.0) is None
    instruments.listen()
    since = time.monotonic()
    spent = time.thread_time()
    while (found := instruments.heard(since)) is None or found.seen < 0.01 or time.thread_time() - spent < 0.1:
        pass
    instruments.drop()
    assert found.share > 0.5  # this loop holds the GIL


def test_readings_are_taken_around_a_step() -> None:
    instruments = Instruments()
    instruments.start(beat=True)
    start = time.monotonic()
    spent = time.thread_time()
    while time.thread_time() - spent < 0.02:
        pass
    reading = instruments.stop(start, time.monotonic())
    assert reading.process_cpu >= 0.02
    assert reading.beats is not None
    assert instruments.queued(threading.get_ident()) >= 0.0
    assert instruments.queued(-1) == 0.0  # a thread that is gone
    assert children_at_work() >= 0.0


def test_what_the_heartbeat_takes_is_not_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dear:
        cpu = 1000.0

        def stop(self) -> None: ...

        def beats(self, start: float, end: float) -> Beats:
            return Beats()

    monkeypatch.setattr("atonce.plan.instruments.Heartbeat", Dear)
    instruments = Instruments()
    instruments.start(beat=True)
    assert instruments.stop(0.0, 1.0).process_cpu == 0.0


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


@pytest.mark.parametrize(
    ("example", "stuck"),
    [
        ((1, 2), None),
        ((Unpicklable(), 2), "the first item cannot be pickled (TypeError: not this one)"),
        ((1, Unpicklable()), "its result cannot be pickled (TypeError: not this one)"),
        ((), None),
    ],
)
def test_carry(example: tuple[Any, ...], stuck: str | None) -> None:
    assert carry(Job(len), example).stuck == stuck


def test_what_the_function_brings_along_goes_once_and_is_told_apart() -> None:
    data = "x" * 100_000
    found = carry(Job(lambda item: (data, item)), (1, 2))
    assert found.function > 100_000
    assert found.nbytes < 1000


def test_carry_says_when_the_function_is_what_cannot_travel() -> None:
    lock = threading.Lock()
    stuck = carry(Job(lambda item: lock), (1, 2)).stuck
    assert stuck is not None
    assert stuck.startswith("the function cannot be pickled")


def test_large_things_are_reckoned_not_pickled() -> None:
    class Large:
        nbytes = 1 << 30

        def __reduce__(self) -> Any:
            raise AssertionError("pickled")

    found = carry(Job(len), (Large(), 1))
    assert found.nbytes > 1 << 30
    assert found.seconds == pytest.approx(1.07, abs=0.1)


def test_an_iterator_is_not_consumed() -> None:
    some = iter([1, 2, 3])
    carry(Job(len), (some, 1))
    assert list(some) == [1, 2, 3]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lists the children of a process")
def test_what_children_used_before_is_not_the_items() -> None:
    """A program that has a server running beside it must not look busy for as long as that one has worked."""
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\nimport sys\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert children_at_work() >= 0.2
        instruments = Instruments()
        instruments.start()
        assert instruments.busy() < 0.1
        child.communicate()
