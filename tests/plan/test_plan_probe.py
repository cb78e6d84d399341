"""What is measured next follows from what is known: readings that nobody took, steps that nobody runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.plan.probe import LEAST_GAIN, MOST_ITEMS, Carry, Enough, Pair, Probe, Run, Step, gain_of_two, in_turns, no_more_than
from atonce.plan.sample import Beats, Carriage, Reading, Span, Together


def items(count: int, wall: float, cpu: float, queued: float = 0.0) -> list[Span]:
    return [Span(n * wall, (n + 1) * wall, cpu, queued) for n in range(count)]


def beaten(held: float, cpu: float, wall: float) -> Beats:
    """A heartbeat that has seen all of it."""
    return Beats(max(1, int(wall / 0.0055)), held, wall, cpu, cpu, held)


def follow(
    probe: Probe, wall: float, cpu: float, *, held: float = 1.0, gain: float = 1.0, late: float = 0.0, most: int = 20
) -> list[Step]:
    """The steps it asks for, when every item is alike."""
    steps: list[Step] = []
    spent = 0.0
    while len(steps) < most:
        step = probe.next()
        steps.append(step)
        match step:
            case Enough():
                return steps
            case Run(count, beat):
                spent += wall * count
                beats = beaten(held * cpu * count, cpu * count, wall * count) if beat else None
                probe.ran(Reading(items(count, wall, cpu), cpu * count, beats=beats, late=late * wall * count), spent)
            case Pair(count):
                took = 2 * count * wall / gain
                spent += took
                both = Together(count, took, cpu * count)
                probe.paired(Reading(process_cpu=2 * cpu * count), both, both, spent)
            case Carry():
                probe.carried(Carriage(100, 1e-5), spent)
    raise AssertionError(f"it never ends: {steps}")


def kinds(steps: list[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


@pytest.mark.parametrize(
    ("wall", "cpu", "left", "expected"),
    [
        (1.0, 0.001, 100, ["Run", "Enough"]),  # waits, and long
        (0.01, 0.0001, 10, ["Run", "Enough"]),  # too little to matter
        (0.01, 0.0001, 1000, ["Run", "Run", "Enough"]),
        (1e-6, 1e-6, 1000, ["Run", "Enough"]),
        (0.09, 0.09, 2, ["Run", "Enough"]),
        (0.09, 0.09, 100, ["Run", "Run", "Pair", "Carry", "Enough"]),
        (0.09, 0.09, None, ["Run", "Run", "Pair", "Carry", "Enough"]),
        (0.14, 0.14, 100, ["Run", "Run", "Carry", "Enough"]),  # a pair would take longer than probing may
        (0.2, 0.2, 100, ["Run", "Carry", "Enough"]),
        (0.005, 0.005, 1000, ["Run", "Run", "Pair", "Carry", "Enough"]),
        (20e-6, 20e-6, 10**5, ["Run", "Run", "Pair", "Carry", "Enough"]),
        (10.0, 10.0, 100, ["Run", "Carry", "Enough"]),  # each is dear: as few as will do
        (0.04, 0.01, 1000, ["Run", "Run", "Carry", "Enough"]),
    ],
)
def test_no_more_is_measured_than_is_needed(wall: float, cpu: float, left: int | None, expected: list[str]) -> None:
    assert kinds(follow(Probe(left=left, cpus=4), wall, cpu)) == expected


def test_what_fills_the_cores_on_threads_is_not_weighed_for_processes() -> None:
    assert kinds(follow(Probe(left=1000, cpus=2), 0.005, 0.005, held=0.0, gain=2.0)) == ["Run", "Run", "Pair", "Enough"]
    steps = follow(Probe(left=1000, cpus=2, thorough=True), 0.005, 0.005, held=0.0, gain=2.0)
    assert kinds(steps)[-2:] == ["Carry", "Enough"]  # explain shows what processes would do


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        (items(4, 0.002, 0.0), True),
        (items(3, 0.002, 0.0), False),  # might be by chance
        ([Span(0.0, 0.002 * n, 0.0) for n in range(1, 5)], False),  # they wait, one for the other
        ([*items(4, 0.002, 0.0), Span(0.003, 0.01, 0.0)], False),
        ([], False),
    ],
)
def test_items_of_one_loop_that_ran_in_turns(spans: list[Span], expected: bool) -> None:
    assert in_turns(spans) is expected


@pytest.mark.parametrize(("alone", "beside", "expected"), [(0, 2, 2), (1, 2, 0), (0, 0, 0)])
def test_items_that_fail_only_beside_others_are_counted(alone: int, beside: int, expected: int) -> None:
    probe = Probe(left=100, cpus=2)
    probe.ran(Reading(items(2, 0.01, 0.01), 0.02, failed=alone))
    probe.paired(Reading(failed=beside), Together(1, 0.02, 0.01), Together(1, 0.02, 0.01))
    assert (probe.sample().failed_together, probe.sample().failed) == (expected, alone + beside)


def test_on_one_core_nothing_is_asked_that_is_of_no_use_there() -> None:
    steps = follow(Probe(left=1000, cpus=1), 0.1, 0.1)
    assert kinds(steps) == ["Run", "Run", "Enough"]
    assert not any(step.beat for step in steps if isinstance(step, Run))


def test_without_a_gil_there_is_no_heartbeat_and_nothing_is_held() -> None:
    probe = Probe(left=1000, cpus=4, gil=False)
    steps = follow(probe, 0.1, 0.1, gain=2.0)
    assert not any(step.beat for step in steps if isinstance(step, Run))
    assert Pair() in steps
    assert probe.sample().held == 0.0


def test_explain_measures_even_if_it_matters_little() -> None:
    assert kinds(follow(Probe(left=10, cpus=4, thorough=True), 0.01, 0.01)) == ["Run", "Run", "Run", "Pair", "Carry", "Enough"]


@pytest.mark.parametrize(
    ("wall", "late", "expected"),
    [
        (0.02, 0.0, [Run(1), Run(4), Enough("enough is known")]),
        (0.02, 0.9, [Run(1), Run(1), Carry(), Enough("enough is known")]),  # they go by one after another
        (0.003, 0.9, [Run(1), Run(4), Carry(), Enough("enough is known")]),
        (0.003, 0.1, [Run(1), Run(4), Run(8), Run(16), Enough("enough is known")]),
        (1e-5, 0.9, [Run(1), Run(64), Enough("enough is known")]),
        (0.3, 0.0, [Run(1), Enough("it waits, and long: better to wait for many at once")]),
    ],
)
def test_in_a_loop_a_few_at_once_then_more(wall: float, late: float, expected: list[Step]) -> None:
    probe = Probe(left=10**4, cpus=4, in_loop=True)
    assert follow(probe, wall, 0.0001 * wall, late=late) == expected
    assert probe.sample().blocked == pytest.approx(late)


@given(
    st.floats(1e-7, 100),
    st.floats(0, 1),
    st.none() | st.integers(0, 10**7),
    st.integers(1, 64),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_it_always_ends_and_takes_a_small_part_of_the_run(
    wall: float, share: float, left: int | None, cpus: int, gil: bool, in_loop: bool, thorough: bool
) -> None:
    probe = Probe(left=left, cpus=cpus, gil=gil, in_loop=in_loop, thorough=thorough)
    steps = follow(probe, wall, share * wall)
    counts = [step.count for step in steps if isinstance(step, Run)] + [2 * s.count for s in steps if isinstance(s, Pair)]
    assert max(counts) <= 2 * MOST_ITEMS
    if left is not None and not in_loop:
        # a step is at most 5 % of the items, or one
        assert all(count <= 2 * (0.05 * left + 1) for count in counts)
        assert left * wall >= LEAST_GAIN or thorough or sum(counts) == 1


def test_an_item_that_still_waits_is_known_to_wait() -> None:
    probe = Probe(left=10, cpus=4)
    assert probe.so_far(0.02, 0.0) is None  # too early
    assert probe.so_far(0.05, 0.04) is None  # it computes
    assert Probe(left=10, cpus=4, thorough=True).so_far(0.05, 0.001) is None  # it may compute after that
    assert Probe(left=10, cpus=4, thorough=True).so_far(0.4, 0.001) is not None
    found = probe.so_far(0.05, 0.001)
    assert found is not None
    assert found.unfinished
    assert found.wall == 0.05
    assert Probe(left=10, cpus=4, in_loop=True).so_far(0.05, 0.0, late=0.04) is None  # its loop is blocked


@pytest.mark.parametrize(
    ("elapsed", "cpu", "held", "expected"),
    [
        (0.4, 0.4, 0.02, True),  # native code that lets the GIL go, a child that computes: others could run beside it
        (0.4, 0.4, 0.38, False),  # they could not, or only in processes
        (0.2, 0.2, 0.0, False),  # it may end within what probing may cost
        (0.4, 0.2, 0.02, True),
    ],
)
def test_an_item_that_still_computes_is_known_when_others_could_run_beside_it(
    elapsed: float, cpu: float, held: float, expected: bool
) -> None:
    beats = beaten(held, cpu, elapsed)
    found = Probe(left=10, cpus=2).so_far(elapsed, cpu, beats=beats)
    assert (found is not None) is expected
    assert found is None or (found.unfinished and found.held == pytest.approx(held))
    assert Probe(left=10, cpus=2).so_far(elapsed, cpu) is None  # nobody has listened
    assert Probe(left=10, cpus=1).so_far(elapsed, cpu, beats=beats) is None
    assert Probe(left=10, cpus=2, in_loop=True).so_far(elapsed, cpu, beats=beats) is None


def test_one_of_several_that_waits_has_to_wait_for_longer() -> None:
    """The one that was measured alone did not; and what is used may be that of the others."""
    probe = Probe(left=10, cpus=2)
    assert probe.so_far(0.25, 0.001, alone=False) is None
    found = probe.so_far(0.35, 0.03, alone=False)
    assert found is not None
    assert found.unfinished
    assert probe.so_far(0.4, 0.1, alone=False) is None  # they have computed
    assert probe.so_far(0.9, 0.9, beats=beaten(0.02, 0.9, 0.9), alone=False) is None
    assert Probe(left=10, cpus=2, gil=False).so_far(0.9, 0.9, alone=False) is None


def test_time_without_a_core_is_not_what_an_item_waits_for() -> None:
    found = Probe(left=10, cpus=2).so_far(0.9, 0.3, beats=beaten(0.0, 0.3, 0.9), queued=0.65)
    assert found is not None
    assert found.wall == pytest.approx(0.3)
    assert found.share == pytest.approx(1.0)
    assert Probe(left=10, cpus=2).so_far(0.2, 0.01, queued=0.19) is None  # it had hardly run
    assert Probe(left=10, cpus=2).so_far(0.2, 0.01, queued=0.12) is None
    assert Probe(left=10, cpus=2).so_far(0.2, 0.01, queued=0.02) is not None


def test_without_a_gil_nobody_need_listen() -> None:
    found = Probe(left=10, cpus=2, gil=False).so_far(0.4, 0.4)
    assert found is not None
    assert found.held == 0.0


@given(st.floats(1e-7, 3), st.floats(0.3, 1), st.integers(1, 10**6), st.integers(2, 64))
def test_no_step_but_the_first_goes_beyond_what_probing_may_cost(wall: float, share: float, left: int, cpus: int) -> None:
    """Nor by more than an item that takes longer than it looked."""
    probe, spent = Probe(left=left, cpus=cpus), wall
    probe.ran(Reading(items(1, wall, share * wall)), spent)
    while not isinstance(step := probe.next(), Enough):
        if isinstance(step, Carry):
            probe.carried(Carriage(100, 1e-5), spent)
            continue
        took = step.count * wall
        spent += took
        assert spent <= max(0.3, 0.03 * left * wall / cpus) + 1e-9
        both = Together(step.count, took, share * took)
        beats = beaten(share * took, share * took, took)
        if isinstance(step, Pair):
            probe.paired(Reading(), both, both, spent)
        else:
            probe.ran(Reading(items(step.count, wall, share * wall), beats=beats), spent)


def test_only_failures_are_measured_too() -> None:
    probe = Probe(left=10, cpus=4)
    probe.ran(Reading(items(1, 0.01, 0.01), failed=1, error="ValueError"))
    assert (probe.sample().items, probe.sample().failed, probe.sample().error) == (1, 1, "ValueError")


def test_who_holds_the_gil_is_asked_of_waits_too_where_their_computing_adds_up() -> None:
    """2.4 ms of hashing and 10 ms of waiting, 400 times: a second of computing, for threads or for processes."""
    assert any(step.beat for step in follow(Probe(left=400, cpus=2), 0.0124, 0.0024, held=0.0) if isinstance(step, Run))
    assert not any(step.beat for step in follow(Probe(left=60, cpus=2), 0.0124, 0.0024, held=0.0) if isinstance(step, Run))


def test_what_only_the_first_call_does_is_no_cost_of_probing() -> None:
    probe = Probe(left=20_000, cpus=2)
    probe.ran(Reading(items(1, 0.4, 0.4), 0.4), 0.4)  # an import
    probe.ran(Reading(items(1, 1e-4, 1e-4), 1e-4), 0.4001)
    assert isinstance(probe.next(), Run)


def test_what_failed_says_little_of_the_others() -> None:
    probe = Probe(left=100, cpus=2)
    probe.ran(Reading([span._replace(ok=False) for span in items(1, 1e-6, 1e-6)], failed=1))
    assert probe.next() == Run(5)  # nothing is known but failures
    failed = [span._replace(ok=False) for span in items(3, 1e-6, 1e-6)]
    probe.ran(Reading([*failed, *items(2, 0.02, 0.0002)], failed=3))
    found = probe.sample()
    assert (found.items, found.failed, found.wall) == (6, 4, pytest.approx(0.02))
    assert found.share == pytest.approx(0.01)


def test_items_have_not_used_more_than_the_whole_process() -> None:
    """Of items too short to look at one by one it is assumed that they compute, and then come some that wait."""
    spans = [*items(3, 1e-6, 1e-6), Span(0.0, 0.02, 0.02), Span(0.02, 0.04, 0.02)]
    assert sum(span.cpu for span in no_more_than(0.001, spans)) == pytest.approx(0.001)
    assert no_more_than(1.0, spans) == spans


def test_of_a_few_microseconds_nobody_can_say_that_the_machine_is_busy() -> None:
    probe = Probe(left=100, cpus=2)
    probe.ran(Reading(items(1, 1e-5, 5e-6, queued=5e-6)))
    assert probe.sample().busy < 0.01


def test_the_first_call_is_apart() -> None:
    probe = Probe(left=10, cpus=4)
    probe.ran(Reading([Span(0.0, 2.0, 1.5)]))
    probe.ran(Reading(items(4, 0.1, 0.1)))
    found = probe.sample()
    assert found.cold == 2.0
    assert found.wall == pytest.approx(0.1)


def test_what_only_the_first_call_does_says_nothing_of_the_others() -> None:
    """numpy's import holds the GIL, and its threads spin for a while before they sleep; to sort does neither."""
    probe = Probe(left=400, cpus=2)
    probe.ran(Reading(items(1, 0.16, 0.08), 0.13, 0.02, beats=beaten(0.05, 0.08, 0.16)))
    assert (probe.sample().held, probe.sample().elsewhere) == (pytest.approx(0.05), pytest.approx(0.07))
    probe.ran(Reading(items(6, 0.005, 0.005), 0.031, beats=beaten(0.0, 0.03, 0.03)))
    found = probe.sample()
    assert (found.held, found.elsewhere, found.cold) == (0.0, 0.0, 0.16)


def test_time_without_a_core_is_taken_off() -> None:
    probe = Probe(left=10, cpus=4)
    probe.ran(Reading(items(1, 0.3, 0.1, queued=0.2)))
    found = probe.sample()
    assert found.wall == pytest.approx(0.1)
    assert found.busy == pytest.approx(2 / 3)


@pytest.mark.parametrize(("queued", "expected"), [(0.0, 4e-6), (1e-3, 1e-6)])
def test_a_short_item_that_lost_its_core_says_nothing_of_the_others(queued: float, expected: float) -> None:
    probe = Probe(left=400, cpus=2)
    probe.ran(Reading(items(1, 1e-6, 1e-6)))
    spans = [*items(99, 1e-6, 1e-6), Span(1e-3, 1.301e-3, 301e-6)]
    probe.ran(Reading([span._replace(queued=queued / 100) for span in spans]))
    found = probe.sample()
    assert (found.cpu, found.wall) == (pytest.approx(expected), pytest.approx(expected))


@pytest.mark.parametrize(
    ("process", "children", "elsewhere"), [(0.1, 0.0, 0.0), (0.11, 0.0, 0.0), (0.4, 0.0, 0.3), (0.1, 0.25, 0.25)]
)
def test_cpu_elsewhere(process: float, children: float, elsewhere: float) -> None:
    probe = Probe(left=10, cpus=4)
    probe.ran(Reading(items(1, 0.1, 0.1), process, children))
    assert probe.sample().elsewhere == pytest.approx(elsewhere)


@pytest.mark.parametrize(("beside", "elsewhere"), [(0.0, 0.0), (0.02, 0.02), (0.08, 0.05)])
def test_a_pool_works_for_two_at_once_as_well(beside: float, elsewhere: float) -> None:
    """What used the cores beside one item and does not beside two is no pool of theirs."""
    probe = Probe(left=100, cpus=2)
    probe.ran(Reading(items(4, 0.1, 0.1), 0.6))
    both = Together(1, 0.1, 0.1)
    probe.paired(Reading(process_cpu=0.2 + 2 * beside), both, both)
    assert probe.sample().elsewhere == pytest.approx(elsewhere)


# ── two at once ──────────────────────────────────────────────────────────────────────────────────────────────────────

ALONE = Span(0.0, 0.1, 0.1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Together(1, 0.1, 0.1), Together(1, 0.1, 0.1), 2.0),  # side by side
        (Together(1, 0.2, 0.1), Together(1, 0.2, 0.1), 1.0),  # by turns of 5 ms
        (Together(1, 0.1, 0.1), Together(1, 0.2, 0.1), 1.0),  # one after the other, in native code
        (Together(1, 0.1, 0.1), Together(1, 0.15, 0.1), 1.5),  # half of it
        (Together(1, 0.2, 0.1, queued=0.1), Together(1, 0.2, 0.1, queued=0.1), 2.0),  # others had the cores
        (Together(1, 0.01, 0.01), Together(1, 0.1, 0.1), 2.0),  # unequal, side by side
        (Together(1, 0.002, 0.002), Together(1, 0.1, 0.1), None),  # too short for the GIL to change hands
        (Together(1, 0.02, 0.01), Together(1, 0.11, 0.1), 1.0),  # unequal, by turns
        (Together(0, 0.0, 0.0), Together(1, 0.1, 0.1), None),  # one had nothing to do
    ],
)
def test_the_gain_of_two_threads(one: Together, other: Together, expected: float | None) -> None:
    assert gain_of_two(ALONE, one, other)[0] == (expected if expected is None else pytest.approx(expected, abs=0.02))


def test_what_they_wait_for_alone_is_not_each_others_doing() -> None:
    alone = Span(0.0, 0.1, 0.02)
    assert gain_of_two(alone, Together(1, 0.1, 0.02), Together(1, 0.1, 0.02))[0] == 2.0


def test_cpu_that_grows_when_two_run_is_contention() -> None:
    gain, inflation = gain_of_two(ALONE, Together(2, 0.4, 0.4), Together(2, 0.4, 0.4))
    assert inflation == pytest.approx(2.0)
    assert gain == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("held", "gain", "busy", "expected"),
    [
        (1.0, 1.0, 0.0, 1.0),
        (0.0, 2.0, 0.0, 0.0),
        (0.5, 2.0, 0.0, 0.5),
        (1.0, 2.0, 0.0, 0.5),  # two that run side by side hold it for half of the time at most …
        (1.0, 2.0, 0.5, 1.0),  # … but on a busy machine that cannot be told
        (0.0, 1.0, 0.0, 0.0),  # they have a lock of their own
        (0.0, 1.0, 0.5, 0.0),
        (None, 1.0, 0.0, 1.0),  # the heartbeat has not seen enough
        (None, 1.25, 0.0, 0.8),
        (None, 2.0, 0.0, 0.5),
        (None, None, 0.0, None),
    ],
)
def test_how_much_of_it_holds_the_gil(held: float | None, gain: float | None, busy: float, expected: float | None) -> None:
    probe = Probe(left=100, cpus=4)
    queued = busy / (1 - busy)
    spans = [Span(n * (1 + queued), (n + 1) * (1 + queued), 1.0, queued) for n in range(2)]
    probe.ran(Reading(spans, 2.0, beats=None if held is None else beaten(held * 2, 2.0, 2.0)))
    probe.gain = gain
    assert probe.sample().held == (expected if expected is None else pytest.approx(expected))


def released() -> Probe:
    """Of items that compute without the GIL, as the heartbeat has seen."""
    probe = Probe(left=1000, cpus=2)
    probe.ran(Reading(items(1, 0.01, 0.01), 0.01))
    probe.ran(Reading(items(2, 0.01, 0.01), 0.02, beats=beaten(0.0, 0.02, 0.02)))
    return probe


def test_two_threads_that_were_slow_where_nobody_held_the_gil_run_once_more() -> None:
    """Whatever else the machine did, it made them slower: the better one of two counts."""
    probe = released()
    assert probe.next() == Pair(1)
    probe.paired(Reading(), Together(1, 0.018, 0.01), Together(1, 0.018, 0.01))
    assert probe.next() == Pair(1)
    probe.paired(Reading(), Together(1, 0.01, 0.01), Together(1, 0.01, 0.01))
    assert not isinstance(probe.next(), Pair)
    assert probe.sample().gain == pytest.approx(2.0, abs=0.02)

    locked = released()
    for _ in range(2):
        assert locked.next() == Pair(1)
        locked.paired(Reading(), Together(1, 0.01, 0.01), Together(1, 0.02, 0.01))
    assert not isinstance(locked.next(), Pair)
    assert locked.sample().gain == pytest.approx(1.0, abs=0.03)
    assert locked.sample().held == 0.0


def test_explain_has_more_pairs_run_before_it_believes_that_they_are_in_each_others_way() -> None:
    probe = Probe(left=1000, cpus=2, thorough=True)
    steps = follow(probe, 0.01, 0.01, held=0.0, gain=1.2)
    assert kinds(steps).count("Pair") == 4
    assert kinds(follow(Probe(left=1000, cpus=2), 0.01, 0.01, held=0.0, gain=1.2)).count("Pair") == 2
    assert kinds(follow(Probe(left=1000, cpus=2, thorough=True), 0.01, 0.01, held=0.0, gain=2.0)).count("Pair") == 1


def test_two_threads_that_had_no_core_say_nothing_against_the_heartbeat() -> None:
    probe = released()
    probe.paired(Reading(), Together(1, 0.05, 0.01, queued=0.03), Together(1, 0.05, 0.01, queued=0.03))
    assert probe.sample().gain is None


@pytest.mark.parametrize(("again", "inflation"), [(0.02, 2.0), (0.008, 1.0)])
def test_two_items_that_were_dear_beside_each_other_are_not_enough(again: float, inflation: float) -> None:
    """They may have been dear in themselves: four tell."""
    probe = released()
    both = Together(1, 0.02, 0.02)
    probe.paired(Reading(), both, both)
    assert probe.sample().gain is None
    assert probe.next() == Pair(2)
    probe.paired(Reading(), Together(2, 2 * again, 2 * again), Together(2, 2 * again, 2 * again))
    found = probe.sample()
    assert found.inflation == pytest.approx(inflation)
    assert found.gain == pytest.approx(2.0 / inflation, abs=0.05)
    assert found.items == 9
    assert not isinstance(probe.next(), Pair)


def test_of_what_waits_one_more_is_enough() -> None:
    assert follow(Probe(left=400, cpus=2), 0.005, 0.0001) == [Run(1), Run(1), Enough("it waits")]
    computes = follow(Probe(left=400, cpus=2), 0.03, 0.0025)  # a second of it in all
    assert any(step.beat for step in computes if isinstance(step, Run))


def test_a_loop_that_was_a_little_late_is_not_blocked() -> None:
    probe = Probe(left=5000, cpus=2, in_loop=True)
    probe.ran(Reading(items(1, 0.0496, 0.0001), late=0.0003), 0.05)
    assert isinstance(probe.next(), Enough)
