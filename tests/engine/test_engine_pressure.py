"""What this machine has to say: the judgement, the gauge with injected readings, and runs that obey."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.engine.pressure import Gauge, Readings, pressure
from atonce.plan.machine import Machine, open_descriptors
from atonce.testing import FakeClock, FakePlacement, simulate

SEVERITY = ["none", "hold", "cut", "stop"]


@pytest.mark.parametrize(
    ("found", "level", "why"),
    [
        (Readings(), "none", ""),
        (Readings(cpu=0.95, memory=0.8, descriptors=0.8, lag=0.05), "none", ""),
        (Readings(cpu=0.97), "hold", "97 % of the cores are in use"),
        (Readings(lag=0.08), "hold", "what comes back is heard 80 ms late"),
        (Readings(memory=0.81), "hold", "81 % of the memory that was free is taken"),
        (Readings(memory=0.87), "cut", "87 % of the memory that was free is taken"),
        (Readings(memory=0.93), "stop", "93 % of the memory that was free is taken"),
        (Readings(descriptors=0.9), "cut", "90 % of the descriptors are open"),
        (Readings(cpu=1.0, memory=0.95, lag=3), "stop", "95 % of the memory that was free is taken"),
    ],
)
def test_the_judgement(found: Readings, level: str, why: str) -> None:
    assert pressure(found) == (level, why)


shares = st.floats(0, 2)


@given(st.builds(Readings, shares, shares, shares, shares), st.sampled_from(Readings._fields), shares)
def test_worse_readings_never_ease_it(found: Readings, field: str, more: float) -> None:
    worse = found._replace(**{field: getattr(found, field) + more})
    assert SEVERITY.index(pressure(worse)[0]) >= SEVERITY.index(pressure(found)[0])


def test_the_gauge_reads_shares_since_the_last_time() -> None:
    free, used, opened = [1000], [5.0], [10]
    gauge = Gauge(
        100.0, around=lambda: Machine(4, free[0], 100), opened=lambda: opened[0], used=lambda: used[0]
    )  # fmt: skip
    free[0], used[0], opened[0] = 250, 7.0, 90
    for late in range(100):
        gauge.heard(101.0, 101.0 + late / 1000)
    assert gauge.read(101.0, 0.5) == pytest.approx((2.0 / 4, 0.75, 0.9, 0.095))
    assert gauge.read(103.0, 8.5) == pytest.approx((8.0 / 8, 0.75, 0.9, 0.0)), "items in processes use the cores, too"


def test_a_machine_that_says_nothing_presses_nothing() -> None:
    gauge = Gauge(0.0, around=lambda: Machine(1), opened=lambda: 0, used=lambda: 0.0)
    assert gauge.read(1.0, 0.0) == Readings()


def test_the_real_one_reads_something_sane() -> None:
    found = Gauge(0.0).read(1e6, 0.0)
    assert 0 <= found.cpu < 1
    assert found.memory < 1
    assert 0 < found.descriptors < 1
    assert open_descriptors() > 2


def run_on(machine: Callable[[float], float], monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[float, int]], str]:
    """The high-water mark of each second of a run of items of 0.1 s on a machine of which `machine(seconds)` of the memory is
    free, and why the limit was what it was in the end."""
    clock = FakeClock(0.0)
    monkeypatch.setattr(
        "atonce.testing.simulation._calm",
        lambda now: Gauge(
            now, around=lambda: Machine(1, int(1000 * machine(clock()))), opened=lambda: 0, used=lambda: 0.0
        ),
    )  # fmt: skip
    run = simulate(lambda item: item, range(8000), placement=FakePlacement(0.1), clock=clock, concurrency=32, most=100)
    assert run.stats.ok == 8000
    steps = sorted(step for outcome in run.outcomes for step in ((outcome.started, 1), (outcome.ended, -1)))
    levels = zip((at for at, _ in steps), itertools.accumulate(step for _, step in steps), strict=True)
    seconds: dict[int, int] = {}
    for at, level in levels:
        seconds[int(at)] = max(seconds.get(int(at), 0), level)
    return sorted(seconds.items()), run.stats.why


def test_a_run_that_takes_all_memory_has_fewer_in_flight_and_goes_back_up(monkeypatch: pytest.MonkeyPatch) -> None:
    marks, _ = run_on(lambda now: 0.13 if 3.5 < now < 7.5 else 1.0, monkeypatch)
    levels = dict(marks)
    assert levels[2] == 100
    assert levels[6] <= 100 * 0.7**2 + 1
    assert levels[7] < levels[5] < levels[4]
    assert levels[9] == 100  # looked at in the eighth second, and ten latencies are one


def test_a_run_without_memory_stops_starting_and_is_never_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    marks, why = run_on(lambda now: 1.0 if now < 2.5 else 0.01, monkeypatch)
    assert marks[-1][0] > 30  # slow, and at its end
    assert max(level for at, level in marks if at > 20) <= 2
    assert "of the memory" in why
