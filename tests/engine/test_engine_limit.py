"""The in-flight limit against servers whose optimum is known: it finds it, keeps it, follows it, and hammers nobody."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limit_scenarios import SCENARIOS, SEEDS, Scenario, geomean, measure, seconds_of
from limit_servers import (
    Bucket,
    Connections,
    Delay,
    Draw,
    Flaky,
    Queue,
    Server,
    Sharing,
    bandwidth,
    bimodal,
    lognormal,
    thrash,
)
from limit_simulator import Fixed, Result, Simulation, settled, simulate

from atonce.engine.kinds import Kind
from atonce.engine.limit import AdaptiveLimit

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


class Watched(AdaptiveLimit):
    """Asserts what holds at all times: whatever is sent was allowed to be."""

    def __init__(self, start: int, ceiling: int) -> None:
        super().__init__(start, ceiling)
        self.ceiling = ceiling
        self.in_flight = 0

    def gate(self, now: float) -> float:
        gate = super().gate(now)
        assert now <= gate < math.inf
        assert super().gate(now + 0.001) >= gate or gate < now + 0.001, "waiting must not put it off"
        return gate

    def sent(self, now: float) -> None:
        assert super().gate(now) == now
        super().sent(now)
        self.in_flight += 1
        assert self.in_flight <= self.limit

    def finished(self, now: float, latency: float, in_flight: int, kind: Kind, retry_after: float | None = None) -> None:
        assert in_flight == self.in_flight
        super().finished(now, latency, in_flight, kind, retry_after)
        self.in_flight -= 1
        self.hold()

    def hold(self) -> None:
        assert 1 <= self.limit <= max(1, self.ceiling)
        assert "\n" not in self.why
        assert self.why.startswith(f"{self.limit}: ")
        assert len(self.why) < 100


servers = st.one_of(
    st.builds(Delay, st.floats(0.001, 2)),
    st.builds(lambda mean: Delay(lognormal(mean)), st.floats(0.001, 2)),
    st.builds(lambda quick: Delay(bimodal(quick, 20 * quick, 0.1)), st.floats(0.001, 0.1)),
    st.builds(Flaky, st.floats(0.001, 1), st.floats(0, 0.5)),
    st.builds(
        lambda many, mean, network: Queue(many, lambda rng, now: rng.expovariate(1 / mean), network),
        st.integers(1, 50),
        st.floats(0.001, 0.2),
        st.floats(0, 0.2),
    ),
    st.builds(Bucket, st.floats(1, 500), st.floats(0.001, 1), st.floats(1, 20), st.floats(0.1, 1), st.none() | st.floats(0, 2)),
    st.builds(Connections, st.integers(1, 100), st.floats(0.001, 1)),
    st.builds(lambda many: Sharing(bandwidth(many), 0.05), st.integers(1, 50)),
    st.builds(lambda peak: Sharing(thrash(peak), 0.05), st.integers(2, 50)),
)


@given(servers, st.integers(1, 64), st.integers(1, 300), st.integers(1, 300), st.integers(0, 5))
def test_the_limit_is_kept_and_nothing_is_lost_or_doubled(
    server: Server, start: int, ceiling: int, items: int, seed: int
) -> None:
    result = simulate(Watched(start, ceiling), server, items, seed)
    assert result.ok == len(result.finished_items)
    if result.ok == items:  # else the server is so slow that an hour was not enough
        assert sorted(result.finished_items) == list(range(items))
    assert result.high_water <= max(1, ceiling)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.floats(0, 100),
            st.sampled_from(["ok", "error", "overload", "timeout"]),
            st.none() | st.floats(allow_nan=True) | st.floats(0, 10),
            st.sampled_from([None, None, "none", "hold", "cut", "stop"]),
        ),
        max_size=200,
    ),
    st.integers(1, 64),
    st.integers(-1, 200),
)
def test_whatever_it_is_told_it_stays_within_its_bounds(events: list[tuple], start: int, ceiling: int) -> None:
    limit, now = AdaptiveLimit(start, ceiling), 100.0
    for pause, latency, kind, retry_after, pressure in events:
        now += pause
        assert limit.gate(now) >= now
        limit.sent(now)
        limit.finished(now, latency, limit.limit, kind, retry_after)
        if pressure is not None:
            limit.press(now, pressure, "memory is 90 % full")
        assert 1 <= limit.limit <= max(1, ceiling)
        assert "\n" not in limit.why
        assert limit.why.startswith(f"{limit.limit}: ")


# What is sent beyond one start an item: refused ones in the search for the limit, of which a run has a few dozen at most.
BURST = 100


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_it_hammers_nobody(scenario: Scenario) -> None:
    result = seconds_of(AdaptiveLimit, scenario, 11)
    assert result.ok == scenario.items
    assert result.sends <= 1.25 * scenario.items + BURST
    assert result.rejections <= 0.1 * result.ok + BURST / 4


def test_a_fixed_limit_hammers_where_it_paces() -> None:
    """The control of the test above: with one in flight, the least a limit can be, 5/s refuses 9 of 10."""
    scenario = BY_NAME["5/s, 20 ms"]
    assert seconds_of(lambda: Fixed(1), scenario, 11).rejections > 5 * scenario.items


@pytest.mark.slow
def test_it_is_nearly_as_quick_as_the_best_fixed_limit() -> None:
    """That limit is another one for each server, and nobody knows it beforehand."""
    core = [scenario for scenario in SCENARIOS if scenario.core]
    rows = {scenario.name: measure(AdaptiveLimit, scenario, SEEDS) for scenario in core}
    assert geomean([row.ratio for row in rows.values()]) <= 1.25, rows
    assert max(row.worst for row in rows.values()) <= 2.005, rows
    assert max(row.rejections for row in rows.values()) <= 0.1, rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "items", "low", "high", "away"),
    [
        ("4 servers of 20 ms + 80 ms of network (M/D)", 20_000, 16, 40, 0.05),
        ("16 connections, 100 ms", 10_000, 16, 17, 0.01),
        ("thrash, peak near 25", 20_000, 10, 32, 0.15),
        # what 20 servers of exponential times let through varies by a fifth from second to second
        ("20 servers of 50 ms (M/M)", 30_000, 15, 60, 0.3),
    ],
)
def test_once_settled_it_stays(name: str, items: int, low: int, high: int, away: float) -> None:
    runs = [settled(seconds_of(AdaptiveLimit, dataclasses.replace(BY_NAME[name], items=items), seed)) for seed in SEEDS]
    assert all(low <= median <= high for median, _ in runs), runs
    assert sum(share for _, share in runs) / len(runs) <= away


def test_a_limit_on_connections_is_hit_exactly() -> None:
    limit = AdaptiveLimit()
    simulate(limit, Connections(16, 0.1), 500)
    assert limit.limit in (16, 17)


@pytest.mark.parametrize("start", [1, 4])
def test_a_limit_that_has_fallen_goes_up_again(start: int) -> None:
    """A server that is cold at first shows nothing of what it can do: halved to one, the limit stayed there for ever."""
    medians = [settled(seconds_of(lambda: AdaptiveLimit(start), BY_NAME["a cold server"], seed))[0] for seed in range(1, 9)]
    assert min(medians) >= 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_follows_a_server_that_grows(seed: int) -> None:
    """20 servers, then 5, then 40: sixty latencies later, mostly much sooner, four fifths of what 40 can do comes through."""
    done = seconds_of(AdaptiveLimit, BY_NAME["capacity 20 → 5 → 40"], seed).done
    latency, step = 0.1, 45.0
    soon = [when for when in done if step + 60 * latency <= when < step + 90 * latency]
    assert len(soon) / (30 * latency) >= 0.8 * 40 / latency


def test_an_unlimited_server_gets_the_ceiling() -> None:
    limit = AdaptiveLimit(16, 256)
    result = simulate(limit, Delay(0.05), 4000)
    assert limit.limit == 256
    assert "the most there may be" in limit.why
    assert result.high_water == 256


def test_a_rate_is_paced_and_found_again_after_it_rose() -> None:
    limit = AdaptiveLimit()
    server = Bucket(20, 0.05, burst=2)
    simulation = Simulation(limit, server, 4000, seed=1)
    simulation.after(30, setattr, server, "rate", 200)
    result = simulation.run()
    in_the_old_days = sum(when < 30 for when in result.done)
    assert 0.85 * 600 <= in_the_old_days <= 602
    assert "a second" in limit.why
    assert result.seconds <= 75  # at 20 a second it would take 200


def test_retry_after_stops_everything() -> None:
    limit = AdaptiveLimit(4)
    for _ in range(4):
        limit.sent(0.0)
    limit.finished(0.1, 0.1, 4, "overload", 30.0)
    assert 30.1 <= limit.gate(0.1) <= 33.2
    assert limit.gate(40.0) == 40.0


def test_while_nothing_comes_back_it_begins_with_a_few_more_at_a_time() -> None:
    limit = AdaptiveLimit(10)
    for _ in range(10):
        assert limit.gate(5.0) == 5.0
        limit.sent(5.0)
    assert limit.gate(5.0) == pytest.approx(5.01)
    for _ in range(10):
        limit.sent(5.1)
    assert limit.gate(5.1) == pytest.approx(5.11)
    assert limit.limit == 40
    limit.finished(5.2, 0.2, 20, "ok")
    assert limit.limit < 40
    assert limit.gate(5.2) == 5.2


def _generation(limit: AdaptiveLimit, sent: int, now: float, latency: float) -> int:
    """All that was `sent` comes back together, and as many start as there may be: how many."""
    for _ in range(sent):
        limit.finished(now, latency, sent, "ok")
    for _ in range(limit.limit):
        limit.sent(now)
    return limit.limit


def test_while_latency_is_flat_more_start_each_time_than_three_times_as_many() -> None:
    limit, now = AdaptiveLimit(4), 0.0
    for _ in range(4):
        limit.sent(now)
    sent = [4]
    while sent[-1] < 1000:
        now += 0.05
        sent.append(_generation(limit, sent[-1], now, 0.05))
    assert len(sent) <= 6, sent
    assert sent[1] <= 16, "four answers are no great evidence"


def test_where_latency_rises_it_grows_no_more_than_three_times() -> None:
    limit, now, sent = AdaptiveLimit(4), 0.0, 4
    for _ in range(4):
        limit.sent(now)
    for latency in (0.05, 0.05, 0.06, 0.07):
        now += latency
        before, sent = sent, _generation(limit, sent, now, latency)
    assert before < sent <= 3 * before


def test_what_comes_back_in_two_halves_makes_as_much_room_as_in_one() -> None:
    """The second half was sent when fewer could be: that more may start since the first half came says nothing about it."""
    limit = AdaptiveLimit(4)
    for _ in range(4):
        limit.sent(0.0)
    sent = _generation(limit, 4, 0.05, 0.05)
    for _ in range(sent // 2):
        limit.finished(0.1, 0.05, sent, "ok")
    for _ in range(sent // 2):
        limit.sent(0.1)  # as many as came back: something else, such as the opening of connections, held the rest
    before = limit.limit
    for _ in range(sent // 2):
        limit.finished(0.102, 0.052, sent, "ok")
    assert limit.limit >= before + 2 * (sent // 2)


def test_errors_by_chance_do_not_lower_it() -> None:
    limit = AdaptiveLimit()
    simulate(limit, Flaky(0.05, 0.3), 4000)
    assert limit.limit == 1000


@pytest.mark.parametrize(
    "latency", [0.05, lognormal(0.05), lambda rng: rng.uniform(0.01, 0.1)], ids=["constant", "lognormal", "even"]
)
@pytest.mark.parametrize(
    ("errors", "refused", "given_up", "late"),
    [
        (0.04, 0.0, 0.0, None),  # a ValueError
        (0.0, 0.0, 0.01, None),  # a TimeoutError
        (0.03, 0.0, 0.01, None),
        (0.03, 0.0, 0.01, 1.0),  # one that took a second
        (0.0, 0.0, 0.10, 1.0),
        (0.0, 0.01, 0.0, None),  # a 503, however few there are
        (0.03, 0.02, 0.01, 1.0),
    ],
)
def test_what_fails_whatever_the_load_does_not_keep_it_down(
    latency: float | Draw, errors: float, refused: float, given_up: float, late: float | None
) -> None:
    server = Flaky(latency, errors, refused=refused, given_up=given_up, late=late)
    limit = AdaptiveLimit(32, 256)
    result = simulate(limit, server, 40_000, 1)
    assert settled(result)[0] == 256, limit
    assert result.seconds <= 2 * simulate(Fixed(256), server, 40_000, 1).seconds


def test_refused_by_chance_is_no_reason_to_hammer_a_server_that_refuses_more_later() -> None:
    limit = AdaptiveLimit(32, 256)
    server = Flaky(0.05, 0.0, refused=0.01)
    simulation = Simulation(limit, server, 60_000, seed=1)
    simulation.after(6, setattr, server, "weights", (0.0, 0.4, 0.0))
    simulation.after(16, setattr, server, "weights", (0.0, 0.0, 0.0))
    result = simulation.run()
    trace = [(when, most) for when, most in result.trace if when < 16]
    assert max(most for when, most in trace if when < 6) == 256
    assert max(most for when, most in trace if when > 8) <= 64
    assert limit.limit > 64  # and it is found out again


def test_a_timeout_is_an_overload_only_where_many_are_and_took_twice_as_long() -> None:
    for latency, many, falls in ((0.15, 100, False), (1.0, 1, False), (1.0, 3, False), (1.0, 100, True)):
        limit = AdaptiveLimit(32)
        simulate(limit, Delay(0.1), 500)
        before = limit.limit
        for _ in range(many):
            limit.finished(10.0, latency, 20, "timeout")
        assert (limit.limit < before) == falls, (latency, many)
        if falls:
            assert limit.limit >= before // 2, "one cut a latency"
            assert "take too long" in limit.why


def test_pressure_here_holds_cuts_and_stops() -> None:
    limit = AdaptiveLimit(32, 64)
    simulate(limit, Delay(0.1), 500)
    assert limit.limit == 64
    limit.press(100.0, "cut", "memory is 87 % full")
    assert limit.limit == 44
    assert limit.why == "44: memory is 87 % full"
    limit.press(100.5, "cut", "memory is 87 % full")
    assert limit.limit == 44, "once a second"
    limit.press(101.0, "cut", "memory is 87 % full")
    assert limit.limit == 31
    limit.press(102.0, "stop", "memory is 93 % full")
    assert limit.gate(102.0) == 103.0
    limit.press(103.0, "none")
    assert limit.gate(103.0) == 103.0


@pytest.mark.parametrize("seconds", [0.05, 0.5])
@pytest.mark.parametrize("cuts", [1, 4])
def test_it_is_back_within_ten_latencies_when_the_pressure_is_gone(seconds: float, cuts: int) -> None:
    limit = AdaptiveLimit(32, 300)
    begun = simulate(limit, Delay(seconds), 6000)
    before, now = limit.limit, 1000.0
    assert begun.high_water == before == 300
    for _ in range(cuts):
        limit.press(now, "cut", "memory is 87 % full")
        limit.took_effect(now)
        now += 1.0
    assert limit.limit == pytest.approx(300 * 0.7**cuts, abs=2)
    limit.press(now, "none")
    assert "memory" not in limit.why
    ends = [now + seconds] * limit.limit  # a closed loop
    while limit.limit < before:
        now = ends.pop(0)
        limit.finished(now, seconds, len(ends) + 1, "ok")
        ends += [now + seconds] * (limit.limit - len(ends))
        assert now <= 1000.0 + cuts + 10 * seconds, limit.why


def test_it_does_not_grow_under_pressure() -> None:
    limit = AdaptiveLimit(16)
    limit.press(0.0, "hold", "CPU is 97 % busy")
    result: Result = simulate(limit, Delay(0.05), 2000)
    assert result.high_water <= 24  # 16, with half as many before the first came back


@given(st.integers(0, 1000))
def test_the_same_events_give_the_same_limits(seed: int) -> None:
    first, second = (
        simulate(AdaptiveLimit(rng=random.Random(seed)), Bucket(30, 0.1, retry_after=0.5), 100, seed) for _ in "ab"
    )
    assert first.trace == second.trace
    assert first.done == second.done


@pytest.mark.parametrize(
    ("rate", "burst", "after", "items", "least"),
    [
        pytest.param(20, 20, 1.0, 1000, 0.9, id="it saves up what a pause leaves out"),
        pytest.param(20, 1, 1.0, 1000, 0.7, id="it counts singly"),
        pytest.param(10, 10, 5.0, 1000, 0.65, id="a refusal costs five seconds"),
        pytest.param(1, 1, 1.0, 100, 0.8, id="one a second"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_rate_is_found_although_each_refusal_costs_a_pause(
    rate: int, burst: int, after: float, items: int, least: float, seed: int
) -> None:
    """Of the server's rate, so much at least, and few refusals: a pause shows no rate, and a raise that fails costs one."""
    server = Bucket(rate, 0.05, burst=burst, retry_after=after)
    result = simulate(AdaptiveLimit(4, 1000, rng=random.Random(seed)), server, items, seed)
    assert (items - burst) / rate / result.seconds >= least
    assert result.rejections <= 50
