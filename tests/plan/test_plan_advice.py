"""Advice is a pure function: a table of what is known and what is chosen, and plans that never contradict themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Options
from atonce.errors import PlanError
from atonce.plan.advice import (
    COROUTINES,
    MOST_DEPTH,
    THREADS,
    WORTH_THREADS,
    WORTH_WORKERS,
    Sample,
    after_first_item,
    first_plan,
    plan_for,
)
from atonce.plan.function import Facts
from atonce.plan.plan import Plan

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
        (ASYNC, {}, "coroutines", False),
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
        assert point(plan)[1:] == ("here", "thread", 1, 1)
        assert "measuring" in plan.headline


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
    assert first_plan(DEF, Options(), 4, depth=depth).probing
    assert after_first_item(DEF, Options(), 4, COMPUTES, 1000, depth=depth).model == "sync"
    assert after_first_item(DEF, Options(timeout=1.0), 4, COMPUTES, 1000, depth=depth).model == "threads"
    assert after_first_item(DEF, Options(), 4, WAITS, 1000, depth=depth).model == "threads"


WAITS = Sample(wall=0.1, cpu=0.001)
COMPUTES = Sample(wall=0.1, cpu=0.099)
TINY = Sample(wall=WORTH_THREADS / 10, cpu=WORTH_THREADS / 10)


@pytest.mark.parametrize(
    ("sample", "left", "cpus", "options", "model"),
    [
        (WAITS, 100, 4, {}, "threads"),
        (WAITS, 1, 4, {}, "threads"),
        (WAITS, None, 1, {}, "threads"),
        (WAITS, 0, 4, {}, "sync"),
        (COMPUTES, 100, 4, {}, "processes"),
        (COMPUTES, None, 4, {}, "processes"),
        (COMPUTES, 100, 1, {}, "sync"),
        (COMPUTES, 1, 4, {}, "sync"),
        (TINY, 10**9, 4, {}, "sync"),
        (TINY, None, 4, {}, "sync"),
        (Sample(0.1, 0.099, stuck="it cannot be pickled"), 100, 4, {}, "sync"),
        # a timeout has to be kept, which the plain loop cannot
        (COMPUTES, 100, 1, {"timeout": 5.0}, "threads"),
        (COMPUTES, 1, 4, {"timeout": 5.0}, "threads"),
        (COMPUTES, 0, 4, {"timeout": 5.0}, "threads"),
        (WAITS, 0, 4, {"timeout": 5.0}, "threads"),
        (TINY, 1000, 4, {"timeout": 5.0}, "threads"),
        (COMPUTES, 100, 4, {"timeout": 5.0}, "processes"),
        # she has said how many
        (COMPUTES, 100, 4, {"concurrency": 8}, "threads"),
        (TINY, 100, 4, {"concurrency": 8}, "threads"),
    ],
)
def test_what_the_first_item_says(sample: Sample, left: int | None, cpus: int, options: dict[str, Any], model: str) -> None:
    plan = after_first_item(DEF, Options(**options), cpus, sample, left)
    assert plan.model == model
    assert not plan.probing
    assert "the first item took" in plan.reasons[0]
    assert len(plan.reasons) >= 2


samples = st.builds(Sample, wall=st.floats(0, 1e4), cpu=st.floats(0, 1e4), stuck=st.none() | st.just("it cannot be pickled"))
told = st.fixed_dictionaries(
    {}, optional={"timeout": st.floats(0.001, 100), "concurrency": st.integers(1, 100), "ordered": st.booleans()}
)


@given(samples, st.none() | st.integers(0, 10**7), st.integers(1, 256), told)
def test_whatever_is_measured_there_is_a_plan_that_keeps_what_was_asked(
    sample: Sample, left: int | None, cpus: int, options: dict[str, Any]
) -> None:
    plan = after_first_item(DEF, Options(**options), cpus, sample, left)
    assert plan.model in ("sync", "threads", "processes")
    assert 1 <= plan.parallelism <= cpus
    if "concurrency" in options and left != 0:
        assert plan.parallelism * plan.concurrency == options["concurrency"]
    if "timeout" in options:
        assert plan.model != "sync"
    if sample.stuck:
        assert plan.placement == "here"
    assert str(plan).count("because") == len(plan.reasons)


@given(samples, st.integers(0, 10**7))
def test_more_work_never_makes_processes_less_worth_while(sample: Sample, left: int) -> None:
    if after_first_item(DEF, Options(), 4, sample, left).model == "processes":
        assert after_first_item(DEF, Options(), 4, sample, left * 2).model == "processes"
        assert sample.wall * left >= WORTH_WORKERS


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


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        plan_for("sync", DEF, Options(), 1).model = "threads"  # type: ignore[misc]


@pytest.mark.parametrize("model", ["sync", "threads", "coroutines"])
def test_a_plan_in_this_process_says_what_it_cannot_survive(model: str) -> None:
    (warning,) = plan_for(model, UNSURE, Options(), 2).warnings
    assert "os._exit" in warning
