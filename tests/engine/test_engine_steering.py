"""Steering: what workers report becomes slots; and real runs that settle where the resource behind them ends."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import atonce
from atonce.engine.events import Done, Feed, Ready, Resize
from atonce.engine.kinds import kind_of
from atonce.engine.machine import Machine, Policy
from atonce.engine.seat import Seat
from atonce.engine.steering import Steering
from atonce.errors import ItemTimeout
from atonce.outcome import WorkerId
from atonce.worker.outbox import Failure, Report

WHERE = WorkerId(1, 1, 0)


class Full(Exception):
    overload = True


def rows(indices: list[int], started: float, ended: float) -> Report:
    n = len(indices)
    return Report(indices, indices, [started] * n, [ended] * n, [0.0] * n, [WHERE] * n)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Full(), ("overload", None)),
        (ConnectionRefusedError(), ("overload", None)),
        (TimeoutError(), ("timeout", None)),
        (ItemTimeout("late"), ("timeout", None)),
        (ValueError(), ("error", None)),
    ],
)
def test_what_a_failure_says_about_load(error: Exception, kind: tuple[str, None]) -> None:
    assert kind_of(error) == kind


@pytest.mark.parametrize(("after", "kind"), [(3, ("overload", 3.0)), (0, ("error", None)), ("soon", ("error", None))])
def test_retry_after_is_an_overload_if_it_is_a_number(after: object, kind: tuple[str, float | None]) -> None:
    error = ValueError()
    error.retry_after = after  # type: ignore[attr-defined]
    assert kind_of(error) == kind


@given(st.integers(1, 500), st.integers(1, 40))
def test_slots_are_shared_out_evenly_and_each_worker_has_one(slots: int, workers: int) -> None:
    steering = Steering(slots, 1000)
    shares = steering.share(workers)
    assert len(shares) == workers
    assert max(shares) - min(shares) <= 1
    assert min(shares) >= 1
    assert sum(shares) == max(slots, workers)


def machine_of(slots: int, most: int) -> Machine:
    machine = Machine(Policy())
    machine.steer(slots, most)
    machine.add(0, Seat(slots))
    machine.handle(Ready(0), 0.0)
    return machine


def test_long_items_that_come_back_make_room_and_short_ones_change_nothing() -> None:
    for seconds, grows in ((0.1, True), (0.001, False)):
        machine = machine_of(8, 64)
        (feed,) = machine.read(range(machine.want(0.0)), 0.0)
        assert isinstance(feed, Feed)
        now, resized = 0.0, []
        for _ in range(6):
            running, now = list(machine.seats[0].assigned), now + seconds
            commands = machine.handle(Done(0, rows(running, now - seconds, now)), now)
            resized += [command.slots for command in commands if isinstance(command, Resize)]
            machine.read(range(machine.want(now)), now)
            assert len(machine.seats[0].assigned) <= machine.seats[0].slots or not grows
        assert bool(resized) == grows
        assert machine.seats[0].slots > 24 if grows else machine.seats[0].slots == 8


def test_a_refusal_lowers_it_and_cancels_nothing() -> None:
    machine = machine_of(8, 64)
    machine.read(range(machine.want(0.0)), 0.0)
    failures = [Failure(index, Full(), 0.0, 0.1, 0.0, WHERE) for index in (6, 7)]
    commands = machine.handle(Done(0, Report(failures=failures)), 0.1)
    assert Resize(0, 6) in commands
    assert list(machine.seats[0].assigned) == [0, 1, 2, 3, 4, 5]
    assert machine.want(0.1) == 0


def test_while_nothing_comes_back_a_few_more_start() -> None:
    machine = machine_of(8, 64)
    machine.read(range(machine.want(0.0)), 0.0)
    seen = []
    for _ in range(5):
        now = machine.next_at()
        if now == float("inf"):
            break
        seen += [command.slots for command in machine.tick(now, {}) if isinstance(command, Resize)]
    assert seen == [16, 24, 32]


class Doors:
    """At most `most` inside at once, the others are refused."""

    def __init__(self, most: int) -> None:
        self.most, self.inside, self.high_water, self.refused = most, 0, 0, 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self.inside >= self.most:
                self.refused += 1
                raise Full
            self.inside += 1
            self.high_water = max(self.high_water, self.inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


@pytest.mark.slow  # it takes latencies to find a limit, and they are real ones
@pytest.mark.parametrize("model", ["coroutines", "threads"])
def test_a_real_run_settles_at_what_is_accepted(model: str) -> None:
    doors, pause = Doors(12), threading.Event()

    def wait(item: int) -> int:
        with doors:
            pause.wait(0.02)
        return item

    async def await_(item: int) -> int:
        with doors:
            await asyncio.sleep(0.02)
        return item

    run = atonce.run(
        await_ if model == "coroutines" else wait,
        range(1000),
        model=model,
        retry=atonce.Retry(attempts=20, base=0.01, budget=5),
    )
    assert run.values == list(range(1000))
    assert doors.high_water == 12
    assert run.stats.limit is not None
    assert run.stats.limit <= 24  # began with 64, or 32
    assert run.stats.why.startswith(f"{run.stats.limit}: ")
    assert doors.refused <= 300
    assert "adapting" in run.plan.headline


@pytest.mark.slow
def test_hybrid_shares_the_limit_out() -> None:
    run = atonce.run(_nap, range(1500), model="hybrid", parallelism=2)
    assert run.stats.ok == 1500
    assert run.stats.limit is not None
    assert run.stats.limit > 64  # 2 × 32 to begin with


def _nap(item: int) -> int:
    threading.Event().wait(0.02)
    return item


def test_a_number_stays_what_it_is() -> None:
    run = atonce.run(_nap, range(20), model="threads", concurrency=10)
    assert run.stats.limit is None
    assert "adapting" not in run.plan.headline
