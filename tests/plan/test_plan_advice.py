"""Advice is a pure function: a table of what is known and what is chosen, and plans that never contradict themselves."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Options
from atonce.errors import PlanError
from atonce.plan.advice import advise
from atonce.plan.calibration import Calibration
from atonce.plan.costs import KINDS_OF_WORK, LEAST_SHARE, kind_of_work, pick, predict
from atonce.plan.first import first_plan, probing_plan
from atonce.plan.function import Facts
from atonce.plan.machine import Machine
from atonce.plan.models import COROUTINES, MOST_DEPTH, THREADS, plan_for
from atonce.plan.plan import Plan, in_bytes, in_time, where_time_goes
from atonce.plan.probe import LEAST_GAIN
from atonce.plan.sample import Carriage, Sample

DEF = Facts("f", "sync")
ASYNC = Facts("f", "async")
UNSURE = Facts("<lambda>", "unsure")
OWN = Facts("fetch", "own", "somewhere:Runner")


def point(plan: Plan) -> tuple[str, str, str, int, int]:
    return plan.model, plan.placement, plan.runner, plan.parallelism, plan.concurrency


@pytest.mark.parametrize(
    ("model", "facts", "options", "expected"),
    [
        ("sync", DEF, {}, ("sync", "here", "call", 1, 1)),
        ("sync", ASYNC, {}, ("sync", "here", "call", 1, 1)),
        ("sync", DEF, {"parallelism": 1, "concurrency": 1}, ("sync", "here", "call", 1, 1)),
        ("threads", DEF, {}, ("threads", "here", "thread", 1, THREADS)),
        ("threads", ASYNC, {"concurrency": 5}, ("threads", "here", "thread", 1, 5)),
        ("coroutines", ASYNC, {}, ("coroutines", "here", "coroutine", 1, COROUTINES)),
        ("coroutines", UNSURE, {"concurrency": 7}, ("coroutines", "here", "coroutine", 1, 7)),
        ("coroutines", OWN, {}, ("coroutines", "here", "somewhere:Runner", 1, COROUTINES)),
        ("processes", DEF, {}, ("processes", "process", "call", 4, 1)),
        ("processes", ASYNC, {"parallelism": 9}, ("processes", "process", "call", 9, 1)),
        ("hybrid", DEF, {}, ("hybrid", "process", "thread", 4, THREADS)),
        ("hybrid", ASYNC, {}, ("hybrid", "process", "coroutine", 4, COROUTINES)),
        ("hybrid", OWN, {"parallelism": 2, "concurrency": 3}, ("hybrid", "process", "somewhere:Runner", 2, 3)),
    ],
)
def test_a_named_model_is_a_point_on_the_two_axes(
    model: str, facts: Facts, options: dict[str, Any], expected: tuple[object, ...]
) -> None:
    assert point(plan_for(model, facts, Options(**options), 4)) == expected


@pytest.mark.parametrize(
    ("model", "facts", "options", "named"),
    [
        ("sync", DEF, {"concurrency": 2}, "concurrency=2"),
        ("sync", DEF, {"parallelism": 2}, "parallelism=2"),
        ("sync", DEF, {"timeout": 1.0}, "timeout"),
        ("sync", OWN, {}, "fetch"),
        ("threads", DEF, {"parallelism": 2}, "parallelism=2"),
        ("threads", OWN, {}, "fetch"),
        ("coroutines", DEF, {}, "plain def"),
        ("coroutines", ASYNC, {"parallelism": 2}, "parallelism=2"),
        ("processes", DEF, {"concurrency": 2}, "concurrency=2"),
        ("processes", OWN, {}, "fetch"),
        ("sync", DEF, {"max_tasks_per_worker": 5}, "max_tasks_per_worker"),
        ("threads", DEF, {"max_tasks_per_worker": 5}, "max_tasks_per_worker"),
        ("coroutines", ASYNC, {"max_worker_memory": 5}, "max_worker_memory"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(model: str, facts: Facts, options: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError) as raised:
        plan_for(model, facts, Options(**options), 4)
    assert named in str(raised.value)
    assert raised.value.hint is not None
    assert "model=" in raised.value.hint


@pytest.mark.parametrize(
    ("facts", "options", "model", "probing"),
    [
        (ASYNC, {}, "coroutines", True),
        (OWN, {}, "coroutines", False),
        (DEF, {}, "auto", True),
        (UNSURE, {}, "auto", True),
        (DEF, {"concurrency": 5}, "auto", True),
        (DEF, {"parallelism": 2}, "processes", False),
        (DEF, {"parallelism": 2, "concurrency": 1}, "processes", False),
        (DEF, {"parallelism": 2, "concurrency": 3}, "hybrid", False),
        (DEF, {"model": "threads"}, "threads", False),
        (DEF, {"max_tasks_per_worker": 5}, "processes", False),
        (DEF, {"max_worker_memory": 5, "concurrency": 3}, "hybrid", False),
        (ASYNC, {"max_worker_memory": 5}, "hybrid", False),
        (OWN, {"max_tasks_per_worker": 5}, "hybrid", False),
    ],
)
def test_auto_measures_only_what_it_cannot_know(facts: Facts, options: dict[str, Any], model: str, probing: bool) -> None:
    plan = first_plan(facts, Options(**options), 4)
    assert (plan.model, plan.probing) == (model, probing)
    if probing:
        assert "measuring" in plan.headline


@pytest.mark.parametrize("options", [{}, {"model": "threads"}, {"parallelism": 3}, {"model": "sync"}, {"timeout": 1.0}])
def test_explain_measures_whatever_is_asked_for(options: dict[str, Any]) -> None:
    assert probing_plan(DEF, Options(**options), 4).probing
    assert probing_plan(ASYNC, Options(**options), 4).runner == "coroutine"


# ── the cost model ───────────────────────────────────────────────────────────────────────────────────────────────────

M1, M2, M4 = (Machine(cpus=cpus, memory=8 << 30, descriptors=1024) for cpus in (1, 2, 4))
FREE = dataclasses.replace(M4, gil=False)
SEEN = Calibration(assumed=False)
NO_WEIGHT = Carriage(100, 1e-6)


def sample(wall: float, cpu: float, **more: Any) -> Sample:
    return Sample(wall, cpu, **{"carry": NO_WEIGHT, **more})


WAITS = sample(0.1, 0.001)
SHORT_WAITS = sample(0.01, 0.0001)
HOLDS = sample(0.1, 0.099, held=0.099)
RELEASES = sample(0.1, 0.099, held=0.001)
UNMEASURED = sample(0.1, 0.099)
MIXED = sample(0.04, 0.01, held=0.01)
TINY = sample(1e-6, 1e-6)
TOOL = sample(0.3, 0.002, elsewhere=0.28)
BLAS = sample(0.1, 0.1, held=0.0, elsewhere=0.3)
HEAVY = sample(0.01, 0.0099, held=0.0099, carry=Carriage(20 << 20, 0.02))
STUCK = sample(0.1, 0.099, held=0.099, stuck="the function cannot be pickled (TypeError: a lock)")
A_WAITS = sample(0.1, 0.001, blocked=0.0)
A_BLOCKS = sample(0.02, 0.0001, blocked=0.95)
A_PARSES = sample(0.04, 0.01, blocked=0.25)
A_COMPUTES = sample(0.05, 0.05, blocked=1.0)


@pytest.mark.parametrize(
    ("facts", "measured", "machine", "expected"),
    [
        (DEF, WAITS, M4, "waits"),
        (DEF, HOLDS, M4, "holds the GIL"),
        (DEF, HOLDS, FREE, "releases the GIL"),
        (DEF, UNMEASURED, M4, "holds the GIL"),
        (DEF, RELEASES, M4, "releases the GIL"),
        (DEF, TOOL, M4, "releases the GIL"),
        (DEF, MIXED, M4, "mixed"),
        (DEF, TINY, M4, "too small"),
        (DEF, sample(6.4e-6, 6.4e-6), M4, "too small"),  # it includes the loop around it
        (DEF, sample(6.6e-6, 6.6e-6), M4, "holds the GIL"),
        (ASYNC, A_WAITS, M4, "waits"),
        (ASYNC, A_BLOCKS, M4, "blocks its loop"),
        (ASYNC, A_COMPUTES, M4, "blocks its loop"),
        (ASYNC, A_PARSES, M4, "mixed"),
        (ASYNC, sample(1e-6, 1e-6, blocked=1.0), M4, "too small"),
    ],
)
def test_kinds_of_work(facts: Facts, measured: Sample, machine: Machine, expected: str) -> None:
    assert kind_of_work(facts, machine, measured, SEEN) == expected
    assert expected in KINDS_OF_WORK


@pytest.mark.parametrize(
    ("facts", "measured", "left", "machine", "options", "model", "p", "c"),
    [
        # waits: as many as a guess allows, as many as there are
        (DEF, WAITS, 100, M4, {}, "threads", 1, 100),  # all of them: the cores could do more
        (DEF, WAITS, None, M1, {}, "threads", 1, 100),  # of 1 ms each one core does 100 in 100 ms
        (DEF, sample(0.1, 0.0001), 10**4, M4, {}, "threads", 1, 4 * THREADS),
        (DEF, WAITS, 10**4, M4, {"key": len}, "threads", 1, THREADS),  # there is a server behind it
        (DEF, sample(0.1, 0.003), 10**4, M4, {}, "threads", 1, THREADS),  # it does something else, too
        (DEF, WAITS, 5, M4, {}, "threads", 1, 5),
        (DEF, WAITS, 2, M4, {}, "threads", 1, 2),
        (DEF, WAITS, 1, M4, {}, "sync", 1, 1),
        (DEF, WAITS, 0, M4, {}, "sync", 1, 1),
        (DEF, dataclasses.replace(WAITS, unfinished=True), 1, M4, {}, "threads", 1, 2),
        (DEF, SHORT_WAITS, 10, M4, {}, "sync", 1, 1),  # 0.1 s in all: nothing is worth it
        (DEF, SHORT_WAITS, 20, M4, {}, "threads", 1, 20),
        (DEF, SHORT_WAITS, 100, M4, {}, "threads", 1, 100),
        # computes
        (DEF, HOLDS, 100, M4, {}, "processes", 4, 1),
        (DEF, HOLDS, None, M2, {}, "processes", 2, 1),
        (DEF, HOLDS, 100, M1, {}, "sync", 1, 1),
        (DEF, HOLDS, 3, M4, {}, "sync", 1, 1),
        (DEF, HOLDS, 100, FREE, {}, "threads", 1, 4),
        (DEF, UNMEASURED, 100, M4, {}, "processes", 4, 1),
        (DEF, RELEASES, 100, M4, {}, "threads", 1, 4),
        (DEF, RELEASES, 100, M1, {}, "sync", 1, 1),
        (DEF, STUCK, 100, M4, {}, "sync", 1, 1),
        (DEF, HEAVY, 100, M4, {}, "sync", 1, 1),
        (DEF, TOOL, 20, M2, {}, "threads", 1, 3),
        (DEF, BLAS, 100, M4, {}, "sync", 1, 1),  # it uses all cores by itself
        # both
        (DEF, MIXED, 1000, M4, {}, "hybrid", 4, 6),
        (DEF, MIXED, 30, M4, {}, "threads", 1, 6),
        # a hundred thousand that are small
        (DEF, TINY, 10**5, M4, {}, "sync", 1, 1),
        (DEF, sample(20e-6, 20e-6, held=20e-6), 10**5, M2, {}, "processes", 2, 1),
        # an item that still waits: what it computes is not known
        (DEF, sample(0.05, 0.004, held=0.004, unfinished=True), 1000, M4, {}, "threads", 1, 19),
        (ASYNC, sample(0.05, 0.004, unfinished=True), 1000, M4, {}, "coroutines", 1, COROUTINES),
        # coroutines
        (ASYNC, A_WAITS, 1000, M4, {}, "coroutines", 1, 100),
        (ASYNC, A_WAITS, None, M4, {}, "coroutines", 1, 100),
        (ASYNC, A_BLOCKS, 1000, M4, {}, "threads", 1, 4 * THREADS),
        (ASYNC, A_COMPUTES, 1000, M4, {}, "processes", 4, 1),
        (ASYNC, A_PARSES, 1000, M4, {}, "hybrid", 4, 6),
        (ASYNC, sample(2e-6, 2e-6), 10**5, M4, {}, "coroutines", 1, COROUTINES),
        # a timeout has to be kept, which the plain loop cannot
        (DEF, HOLDS, 100, M1, {"timeout": 5.0}, "threads", 1, 1),
        (DEF, HOLDS, 1, M4, {"timeout": 5.0}, "threads", 1, 1),
        (DEF, HOLDS, 0, M4, {"timeout": 5.0}, "threads", 1, 1),
        (DEF, TINY, 1000, M4, {"timeout": 5.0}, "threads", 1, 1),
        (DEF, HOLDS, 100, M4, {"timeout": 5.0}, "processes", 4, 1),
        # she has said
        (DEF, HOLDS, 100, M4, {"concurrency": 8}, "threads", 1, 8),
        (DEF, TINY, 100, M4, {"concurrency": 8}, "threads", 1, 8),
        (ASYNC, A_BLOCKS, 100, M4, {"concurrency": 8}, "coroutines", 1, 8),
        (DEF, WAITS, 100, M4, {"model": "sync"}, "sync", 1, 1),
        (DEF, WAITS, 100, M4, {"model": "processes"}, "processes", 4, 1),
        (DEF, WAITS, 100, M4, {"parallelism": 3}, "processes", 3, 1),
        # what bounds the slots
        (DEF, WAITS, 100, dataclasses.replace(M4, descriptors=20), {}, "threads", 1, 10),
        (DEF, sample(0.1, 0.001, growth=1 << 30), 100, M4, {}, "threads", 1, 6),
    ],
)
def test_what_is_chosen(
    facts: Facts, measured: Sample, left: int | None, machine: Machine, options: dict[str, Any], model: str, p: int, c: int
) -> None:
    plan = advise(facts, Options(**options), machine, measured, left, SEEN)
    assert (plan.model, plan.parallelism, plan.concurrency) == (model, p, c), str(plan)
    assert not plan.probing
    assert "the first item" in plan.reasons[0]
    assert len(plan.reasons) >= 2


@pytest.mark.parametrize(
    ("depth", "parallelism", "expected", "notes"),
    [(0, 9, 9, 0), (1, 9, 4, 1), (1, 4, 4, 0), (1, "auto", 4, 0), (MOST_DEPTH, 1, None, 0), (MOST_DEPTH + 5, "auto", None, 0)],
)
@pytest.mark.parametrize("model", ["processes", "hybrid"])
def test_inside_a_worker_processes_get_its_share_and_end_somewhere(
    model: str, depth: int, parallelism: Any, expected: int | None, notes: int
) -> None:
    if expected is None:
        with pytest.raises(PlanError, match=f"depth {depth + 1}"):
            plan_for(model, DEF, Options(parallelism=parallelism), 4, depth=depth)
        assert plan_for("threads", DEF, Options(), 4, depth=depth).model == "threads"
    else:
        plan = plan_for(model, DEF, Options(parallelism=parallelism), 4, depth=depth)
        assert (plan.parallelism, len(plan.warnings)) == (expected, notes)


@pytest.mark.parametrize("depth", [1, MOST_DEPTH])
def test_inside_a_worker_auto_starts_no_processes(depth: int) -> None:
    inside = dataclasses.replace(M4, depth=depth)
    assert first_plan(DEF, Options(), 4, depth=depth).probing
    assert advise(DEF, Options(), inside, HOLDS, 1000, SEEN).model == "sync"
    assert advise(DEF, Options(timeout=1.0), inside, HOLDS, 1000, SEEN).model == "threads"
    assert advise(DEF, Options(), inside, WAITS, 1000, SEEN).model == "threads"


def test_only_what_a_function_is_made_for_is_chosen() -> None:
    """On a busy machine aiohttp's small pages looked like an async def that blocks its loop, and got a thread each, with a loop
    and connections of its own: more descriptors than `ulimit -n 30` has, and a model that it refuses when it is asked for."""
    made_for_loops = dataclasses.replace(ASYNC, runners=("coroutine",))
    assert advise(ASYNC, Options(), M4, A_BLOCKS, 1000, SEEN).runner != "coroutine"
    plan = advise(made_for_loops, Options(), M4, A_BLOCKS, 1000, SEEN)
    assert plan.runner == "coroutine"
    assert {each.model for each in plan.ranked} <= {"coroutines", "hybrid"}


@pytest.mark.parametrize(("descriptors", "parallelism"), [(30, 1), (71, 1), (72, 4), (None, 4)])
def test_few_descriptors_are_left_to_the_items(descriptors: int | None, parallelism: int) -> None:
    """A fetch with two processes under `ulimit -n 30` has 29 open."""
    few = dataclasses.replace(M4, descriptors=descriptors)
    plan = advise(DEF, Options(), few, HOLDS, 1000, SEEN)
    assert plan.parallelism == parallelism
    assert ("too few for processes of their own" in str(plan)) == (parallelism == 1)
    assert advise(DEF, Options(model="processes"), few, HOLDS, 1000, SEEN).parallelism == 4  # as asked for


def seconds(candidates: Any, model: str) -> float:
    return next(each.seconds for each in candidates if each.model == model)


def test_the_formulas() -> None:
    """By hand, for 1000 items on 4 cores: w 40 ms, c 10 ms all with the GIL, start-up 0.195 s, in which 5 items run here; 3 µs
    to carry an item; the last round of 1000 in 6 slots lacks a third, of 995 in 4 a quarter, in 24 it is 13 slots."""
    found = predict(DEF, Options(), M4, MIXED, 1000, dataclasses.replace(SEEN, call=0.0, thread=0.0))
    carried = 1.5e-6 + 1e-6
    assert seconds(found, "sync") == pytest.approx(40.0)
    assert seconds(found, "threads") == pytest.approx(10.0 + 0.04 * 2 / 6)  # N·h
    assert seconds(found, "processes") == pytest.approx(0.195 + 995 * 0.04 / 4 + 0.04 / 4)
    assert seconds(found, "hybrid") == pytest.approx(0.195 + 995 * (0.01 + 2 * carried) / 4 + 0.04 * 13 / 24)
    assert [each.model for each in found] == ["sync", "threads", "processes", "hybrid"]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (1, 0.5),  # it is run here while they start
        (3, 0.165 + 0.5),  # one here, one in each of two processes
        (5, 0.165 + 1.0),
    ],
)
def test_few_long_items(left: int, expected: float) -> None:
    long = sample(0.5, 0.5, held=0.5)
    free = dataclasses.replace(SEEN, call=0.0, thread=0.0, near=0.0, far=0.0)
    found = predict(DEF, Options(), M2, dataclasses.replace(long, carry=None), left, free)
    assert seconds(found, "processes") == pytest.approx(max(expected, left * 0.25))
    assert advise(DEF, Options(), M2, long, left, SEEN).model == ("sync" if left == 1 else "processes")


def test_items_that_differ_leave_workers_idle_at_the_end() -> None:
    even, uneven = (predict(DEF, Options(), M4, dataclasses.replace(HOLDS, spread=spread), 100, SEEN) for spread in (0.0, 0.5))
    assert seconds(uneven, "processes") - seconds(even, "processes") == pytest.approx(0.1 * 0.5 * 3 / 4)


@pytest.mark.parametrize("left", [2, 100])
def test_an_item_that_still_runs_is_no_reason_for_processes(left: int) -> None:
    plan = advise(DEF, Options(), M4, sample(3.0, 3.0, held=3.0, unfinished=True), left, SEEN)
    assert plan.parallelism == 1
    beside = advise(DEF, Options(), M4, sample(3.0, 3.0, held=0.1, unfinished=True), left, SEEN)
    assert (beside.model, beside.concurrency) == ("threads", min(4, left + 1))


def test_a_first_item_that_still_waits_may_have_computed_a_little() -> None:
    """It imports and connects: as many begin as when it had not."""
    waits = sample(0.045, 0.0014, blocked=0.0, unfinished=True)
    assert advise(ASYNC, Options(), M2, waits, 5000, SEEN).concurrency > COROUTINES
    known = advise(ASYNC, Options(), M2, dataclasses.replace(waits, unfinished=False), 5000, SEEN)
    assert known.parallelism * known.concurrency == COROUTINES


def test_an_event_loop_does_one_thing_at_a_time_also_without_the_gil() -> None:
    computes = sample(0.04, 0.01, blocked=0.25)
    for machine in (M4, FREE):
        found = predict(ASYNC, Options(), machine, computes, 1000, SEEN)
        assert seconds(found, "hybrid") < 0.4 * seconds(found, "coroutines")


def test_what_two_threads_cost_each_other_it_does_not_cost_two_processes() -> None:
    slow = dataclasses.replace(RELEASES, gain=1.0, inflation=2.0, items=5)
    found = predict(DEF, Options(), M2, slow, 100, SEEN)
    assert seconds(found, "threads") == pytest.approx(10.0, rel=0.05)
    assert seconds(found, "processes") == pytest.approx(5.0, rel=0.1)


@pytest.mark.parametrize(("pool", "busy", "chosen"), [(0.012, 0.17, "sync"), (0.012, 0.0, "threads"), (0.0, 0.17, "threads")])
def test_a_pool_of_threads_that_lacked_cores_is_no_reason_for_more_threads(pool: float, busy: float, chosen: str) -> None:
    """numpy's a @ b beside a program that has one of two cores: 1.5 s one after another, 4.2 s two at once."""
    measured = sample(0.0194, 0.007, elsewhere=0.0124, pool=pool, held=0.0, busy=busy, items=14, cold=0.7)
    assert advise(DEF, Options(), M2, measured, 106, SEEN).model == chosen


@pytest.mark.parametrize(("busy", "threads"), [(0.0, 10.0), (0.5, 5.0)])
def test_two_threads_in_each_others_way_are_no_faster_whoever_holds_the_gil(busy: float, threads: float) -> None:
    """A lock around native code; on a busy machine it may have been the others."""
    locked = dataclasses.replace(RELEASES, gain=1.0, busy=busy, items=5)
    found = predict(DEF, Options(), M2, locked, 100, SEEN)
    assert seconds(found, "threads") == pytest.approx(threads, rel=0.05)
    assert pick(found, locked).model == ("threads" if busy else "processes")


def test_what_a_fresh_worker_pays_again_is_start_up() -> None:
    cold = dataclasses.replace(HOLDS, items=5, cold=2.1)
    late, early = (predict(DEF, Options(), M4, each, 100, SEEN) for each in (cold, HOLDS))
    assert seconds(late, "processes") - seconds(early, "processes") == pytest.approx(2.1 - 0.2)


@pytest.mark.parametrize(
    ("measured", "left", "reason"),
    [
        (HOLDS, 100, "with fewer than about"),
        (HOLDS, 4, "from about"),
        (HOLDS, 4, "is not worth it (over 15 % and 0.2 s would be)"),
        (HOLDS, 100, "100 more items would take 2.6"),
        (HOLDS, None, "is not known: taken as many"),
        (STUCK, 100, "cannot run in another process"),
        (dataclasses.replace(HOLDS, items=4, failed=4, error="ValueError"), 100, "4 of them failed (ValueError)"),
        (dataclasses.replace(HOLDS, busy=0.5), 100, "the machine is busy: 50 %"),
        (dataclasses.replace(HOLDS, gain=1.02), 100, "two threads at once got 1.02 ×"),
        (dataclasses.replace(RELEASES, gain=1.05), 100, "two threads were in each other's way all the same"),
        (dataclasses.replace(WAITS, unfinished=True), 100, "has taken 100 ms so far"),
        (TOOL, 100, "280 ms of it in children"),
        (WAITS, 1000, "with which it begins; there will be up to 512"),
    ],
)
def test_the_reasons_have_the_numbers(measured: Sample, left: int | None, reason: str) -> None:
    assert reason in str(advise(DEF, Options(), M4, measured, left, SEEN))


def test_a_limit_is_said_to_grow_only_where_slots_are_scarce() -> None:
    for measured, left in ((WAITS, 10), (RELEASES, 1000)):
        assert "with which it begins" not in str(advise(DEF, Options(), M4, measured, left, SEEN))


def test_what_is_assumed_is_said() -> None:
    assert "assumed" in str(advise(DEF, Options(), M4, HOLDS, 100))
    assert "assumed" not in str(advise(DEF, Options(), M4, HOLDS, 100, SEEN))


def test_the_number_that_would_flip_the_choice_does() -> None:
    plan = advise(DEF, Options(), M4, HOLDS, 100, SEEN)
    (flip,) = (reason for reason in plan.reasons if reason.startswith("with fewer than about"))
    number = int(flip.split()[4])
    assert advise(DEF, Options(), M4, HOLDS, number + 1, SEEN).model == "processes"
    assert advise(DEF, Options(), M4, HOLDS, number - 1, SEEN).model == "sync"


def test_nothing_measured_is_a_plan_too() -> None:
    plan = advise(DEF, Options(), M4, Sample(0.0, 0.0, items=0), 0, SEEN)
    assert plan.model == "sync"
    assert "no items" in plan.reasons[0]


samples = st.builds(
    Sample,
    wall=st.floats(0, 1e4),
    cpu=st.floats(0, 1e4),
    stuck=st.none() | st.just("it cannot be pickled"),
    elsewhere=st.floats(0, 1e4),
    held=st.none() | st.floats(0, 1e4),
    gain=st.none() | st.floats(0.1, 2),
    blocked=st.none() | st.floats(0, 1),
    cold=st.none() | st.floats(0, 1e4),
    growth=st.integers(0, 1 << 40),
    carry=st.none() | st.builds(Carriage, st.integers(0, 1 << 30), st.floats(0, 100)),
    unfinished=st.booleans(),
)
told = st.fixed_dictionaries(
    {}, optional={"timeout": st.floats(0.001, 100), "concurrency": st.integers(1, 100), "ordered": st.booleans()}
)
machines = st.builds(Machine, cpus=st.integers(1, 256), memory=st.none() | st.integers(0, 1 << 45), gil=st.booleans())


@given(st.sampled_from([DEF, ASYNC, UNSURE]), samples, st.none() | st.integers(0, 10**7), machines, told)
def test_whatever_is_measured_there_is_a_plan_that_keeps_what_was_asked(
    facts: Facts, measured: Sample, left: int | None, machine: Machine, options: dict[str, Any]
) -> None:
    plan = advise(facts, Options(**options), machine, measured, left)
    if "timeout" in options:
        assert plan.model != "sync"
    if "concurrency" in options and plan.model != "sync" and left != 0:
        assert plan.concurrency == options["concurrency"]
    if measured.stuck:
        assert plan.placement == "here"
    assert 1 <= plan.parallelism <= max(1, machine.cpus)
    assert str(plan).count("because") >= len(plan.reasons)
    json.dumps(plan.as_json(), allow_nan=False)


@given(samples, st.integers(1, 10**6), machines)
def test_the_simpler_model_is_kept_unless_the_gain_is_large(measured: Sample, left: int, machine: Machine) -> None:
    plan = advise(DEF, Options(), machine, measured, left)
    by_model = {each.model: each.seconds for each in plan.ranked}
    chosen, sync = by_model[plan.model], by_model["sync"]
    if plan.model != "sync":
        assert sync - chosen > min(LEAST_GAIN, LEAST_SHARE * sync)
    for each in plan.ranked:
        assert each.seconds >= 0


@given(st.floats(1e-5, 10), st.integers(1, 10**6))
def test_more_work_never_makes_processes_less_worth_while(wall: float, left: int) -> None:
    measured = sample(wall, wall, held=wall)
    if advise(DEF, Options(), M4, measured, left, SEEN).model == "processes":
        assert advise(DEF, Options(), M4, measured, left * 2, SEEN).model == "processes"
        assert wall * left >= LEAST_GAIN


# ── a plan is printable data ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("plan", "headline"),
    [
        (Plan("sync", "here", "call", 1, 1), "sync: this process × 1 call in flight"),
        (Plan("threads", "here", "thread", 1, 32), "threads: this process × 32 threads in flight"),
        (Plan("coroutines", "here", "coroutine", 1, 64), "coroutines: this process × 64 coroutines in flight"),
        (Plan("processes", "process", "call", 2, 1), "processes: 2 processes × 1 call in flight"),
        (Plan("processes", "process", "call", 1, 1), "processes: 1 process × 1 call in flight"),
        (Plan("hybrid", "process", "coroutine", 2, 3), "hybrid: 2 processes × 3 coroutines in flight"),
        (Plan("hybrid", "process", "own:Runner", 2, 3), "hybrid: 2 processes × 3 transfers in flight"),
    ],
)
def test_headlines(plan: Plan, headline: str) -> None:
    assert plan.headline == headline


def test_a_plan_prints_its_reasons_and_warnings() -> None:
    plan = Plan("sync", "here", "call", 1, 1, ("it was asked for",), ("it is slow",))
    assert str(plan) == "sync: this process × 1 call in flight\n  because it was asked for\n  note: it is slow"


def test_an_explained_plan_prints_where_time_goes_and_every_model() -> None:
    plan = dataclasses.replace(advise(DEF, Options(), M4, STUCK, 100, SEEN), ran=3)
    text = str(plan)
    assert "ran items 0 to 2, and no other" in text
    assert "100%  computing with the GIL held" in text or "99%  computing with the GIL held" in text
    assert "sync         1 × 1             10 s  ← chosen" in text
    assert "processes    4 × 1             cannot be: the function cannot be pickled" in text
    assert plan.as_json()["ranked"][-1]["seconds"] is None


def test_what_blocks_its_loop_is_drawn_apart_from_what_waits() -> None:
    def shares(blocked: float) -> dict[str, float]:
        return {what: round(share, 6) for what, share, _ in where_time_goes(Sample(wall=0.1, cpu=0.02, blocked=blocked))}

    computing, blocking = "computing with the GIL held", "blocking its event loop, computing nothing"
    assert shares(1.0) == {computing: 0.2, blocking: 0.8}
    assert shares(0.5) == {computing: 0.2, blocking: 0.3, "waiting": 0.5}
    assert shares(0.1) == {computing: 0.2, "waiting": 0.8}


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        plan_for("sync", DEF, Options(), 1).model = "threads"  # type: ignore[misc]


@pytest.mark.parametrize("model", ["sync", "threads", "coroutines"])
def test_a_plan_in_this_process_says_what_it_cannot_survive(model: str) -> None:
    (warning,) = plan_for(model, UNSURE, Options(), 2).warnings
    assert "os._exit" in warning


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 µs"), (3.41e-6, "3.41 µs"), (0.012, "12 ms"), (1.0, "1 s"), (0.9999, "1 s"), (1234.5, "1234 s")],
)
def test_in_time(value: float, text: str) -> None:
    assert in_time(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0 B"), (812, "812 B"), (3400, "3.4 kB"), (2e6, "2 MB"), (5e9, "5 GB")])
def test_in_bytes(value: float, text: str) -> None:
    assert in_bytes(value) == text


@given(samples)
def test_the_bars_are_of_one_length_and_fill_it(measured: Sample) -> None:
    bars = where_time_goes(measured)
    assert all(len(bar) == 24 and math.isfinite(share) for _, share, bar in bars)
    assert sum(bar.count("█") for _, _, bar in bars) <= 24 + len(bars)
