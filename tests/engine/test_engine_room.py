"""How many in flight the cores have room for."""

from __future__ import annotations

import math

import pytest

from atonce.engine.room import LOOK, Room
from atonce.engine.steering import Steering
from atonce.outcome import WorkerId
from atonce.worker.outbox import Report

WHERE = WorkerId(1, 1, 0)


def report(count: int, started: float, ended: float, cpu: float) -> Report:
    return Report(range(count), range(count), [started] * count, [ended] * count, [cpu] * count, [WHERE] * count)


@pytest.mark.parametrize(
    ("cores", "cpu", "most"),
    [
        pytest.param(2, 0.0, math.inf, id="they wait"),
        pytest.param(2, 0.01, 100.0, id="a tenth of the cores: ten times as many"),
        pytest.param(2, 0.1, 10.0, id="all of the cores"),
        pytest.param(2, 0.5, 10.0, id="what a long one has computed was partly before"),
        pytest.param(1, 0.1, 10.0, id="one core"),
        pytest.param(0, 0.1, math.inf, id="nobody knows the cores"),
    ],
)
def test_room_by_what_ten_that_took_half_a_second_have_computed(cores: int, cpu: float, most: float) -> None:
    room = Room(cores)
    room.told(report(10, 1.0, 1.5, cpu), 10, 1.5)
    assert room.most == pytest.approx(most)


def test_it_is_looked_at_when_as_many_have_come_back_as_were_in_flight() -> None:
    room = Room(1)
    for now in (1.0, 2.0):
        room.told(report(LOOK, 0.0, now, 0.05), 3 * LOOK, now)
        assert math.isinf(room.most)
    room.told(report(LOOK, 0.0, 3.0, 0.05), 3 * LOOK, 3.0)
    assert room.most == pytest.approx(3 * LOOK / (3 * LOOK * 0.05 / 3.0))
    room.told(report(3 * LOOK, 3.0, 4.0, 0.0), 3 * LOOK, 4.0)  # they wait now
    assert math.isinf(room.most)


@pytest.mark.parametrize(("cpu", "grows"), [(0.0, True), (0.002, True), (0.025, False)])
def test_a_limit_grows_only_where_the_cores_have_room(cpu: float, grows: bool) -> None:
    """Eight of 100 ms: what has the whole of the two cores gets no more of them by being more."""
    steering, now, running = Steering(8, 1000, cores=2), 0.0, 8
    for _ in range(4):
        now += 0.1
        steering.told(report(running, now - 0.1, now, cpu), running, now)
        running = steering.slots
    assert (steering.slots > 50) == grows
    if not grows:
        assert steering.slots <= 24
        assert "of what the cores can" in steering.why


def test_what_was_given_ahead_is_not_in_flight() -> None:
    """Short items are given to a worker by the hundred. When one turns out to be long, as many run as there are slots."""
    steering = Steering(8, 1000)
    steering.told(report(1, 0.0, 0.1, 0.0), 400, 0.1)
    assert steering.slots <= 16


def test_the_machine_has_the_last_word() -> None:
    steering = Steering(8, 1000, cores=2)
    steering.told(report(8, 0.0, 0.1, 0.025), 8, 0.1)
    steering.press(1.0, "cut", "memory")
    assert "memory" in steering.why
    steering.press(2.0, "none", "")
    assert "memory" not in steering.why
