"""`explain` and the probing of a run: which items ran, that none ran twice, and what the plan then says."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import atonce
from atonce.lab.work import anap, nap, noop, spin


class Seen:
    """A function that notes its items, in this process."""

    def __init__(self, fn: Any = noop) -> None:
        self.items: list[Any] = []
        self._fn = fn

    def __call__(self, item: Any) -> Any:
        self.items.append(item)
        return self._fn(item)


def test_the_first_items_run_once_and_the_plan_says_how_many() -> None:
    seen = Seen()
    plan = atonce.explain(seen, range(100_000))
    assert sorted(seen.items) == list(range(plan.ran))  # two threads at once are measured, too
    assert 0 < plan.ran < 10_000
    assert not plan.probing
    assert f"items 0 to {plan.ran - 1}" in str(plan)


def test_a_generator_loses_only_what_was_run() -> None:
    numbers = itertools.count()
    plan = atonce.explain(noop, numbers)
    assert next(numbers) == plan.ran


@pytest.mark.parametrize("model", ["sync", "threads", "processes", "hybrid"])
def test_a_named_model_is_kept_and_the_others_are_shown(model: str) -> None:
    plan = atonce.explain(nap, [0.001] * 200, model=model)
    assert plan.model == model
    assert len(plan.ranked) >= 2
    assert f"model='{model}' was asked for" in str(plan)


def test_no_items() -> None:
    plan = atonce.explain(noop, [])
    assert plan.ran == 0
    assert "no items" in str(plan)


@pytest.mark.parametrize("many", [1, 2, 3])
def test_few_items_are_all_run(many: int) -> None:
    seen = Seen()
    assert atonce.explain(seen, range(many)).ran <= many
    assert sorted(seen.items) == seen.items


def test_one_that_always_fails_is_said_and_raises_nothing() -> None:
    def fails(item: int) -> None:
        raise KeyError(item)

    plan = atonce.explain(fails, range(1000))
    assert "failed (KeyError)" in str(plan)
    assert "items-fail" in [hint.name for hint in plan.hints]


def test_one_that_waits_long_is_known_before_it_ends() -> None:
    plan = atonce.explain(lambda item: threading.Event().wait(0.4), range(10))  # its wait is the work, and begins when it does
    assert plan.work == "waits"
    assert plan.model == "threads"
    assert plan.ran == 1


def test_a_transport_is_as_it_is() -> None:
    class Own:
        atonce_runner = "somewhere:Runner"

        def __call__(self, item: Any) -> Any:
            return item

    plan = atonce.explain(Own(), range(3))
    assert (plan.model, plan.runner, plan.ran) == ("coroutines", "somewhere:Runner", 0)


def test_wrong_usage_runs_nothing() -> None:
    seen = Seen()
    with pytest.raises(atonce.errors.UsageError):
        atonce.explain(seen, range(3), model="sync", timeout=1.0, concurrency=0)
    assert seen.items == []


# ── a run ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def work(item: int) -> int:
    spin(0.004)
    return item


def mixed(item: int) -> int:
    spin(0.002)
    time.sleep(0.004)
    return item


async def awaits(item: int) -> int:
    await asyncio.sleep(0.002)
    return item


async def blocks(item: int) -> int:
    time.sleep(0.01)
    return item


@pytest.mark.parametrize("fn", [noop, work, mixed, awaits, blocks], ids=lambda fn: fn.__name__)
@pytest.mark.parametrize("many", [1, 2, 7, 150])
@pytest.mark.parametrize("lazy", [False, True], ids=["a list", "a generator"])
def test_every_item_has_one_outcome_whatever_is_probed(fn: Any, many: int, lazy: bool) -> None:
    items: Any = (n for n in range(many)) if lazy else range(many)
    run = atonce.run(fn, items)
    assert [outcome.index for outcome in run.outcomes] == list(range(many))
    assert run.values == list(range(many))
    assert not run.plan.probing
    assert run.stats.attempts == many


@pytest.mark.parametrize("fn", [work, blocks], ids=lambda fn: fn.__name__)
def test_async_callers_too(fn: Any) -> None:
    run = asyncio.run(atonce.arun(fn, range(60)))
    assert run.values == list(range(60))


def test_items_of_the_probe_run_in_this_process_and_count() -> None:
    run = atonce.run(work, range(400))
    assert run.outcomes[0].worker is not None
    assert run.outcomes[0].worker.pid == os.getpid()
    assert run.plan.sample is not None
    assert run.plan.sample.items >= 1


def test_one_that_fails_at_first_goes_on() -> None:
    def fails(item: int) -> int:
        if item < 30:
            raise ValueError(item)
        return work(item)

    run = atonce.run(fails, range(300))
    assert len(run.failures) == 30
    assert len(run.values) == 270


def test_items_of_very_different_cost() -> None:
    def uneven(item: int) -> int:
        spin(0.05 if item % 50 == 10 else 0.0005)
        return item

    assert atonce.run(uneven, range(200)).values == list(range(200))


def test_a_slow_source_is_no_slow_function() -> None:
    gate = threading.Semaphore(0)

    def slowly() -> Iterator[int]:
        for n in range(4):
            gate.acquire(timeout=0.05)
            yield n

    assert atonce.run(noop, slowly()).values == [0, 1, 2, 3]


def test_what_depends_on_its_order_is_kept_by_sync() -> None:
    total = 0

    def add(item: int) -> int:
        nonlocal total
        total += item
        return total

    run = atonce.run(add, range(1000), model="sync")
    assert run.values == list(itertools.accumulate(range(1000)))
    assert run.plan.model == "sync"


def test_waits_go_on_at_once_and_the_first_one_is_not_run_again() -> None:
    """All wait for each other: the first one, which is measured, and the others, which only start if it is not waited for."""
    meet = threading.Barrier(4)
    seen: list[int] = []

    def wait(item: int) -> int:
        seen.append(item)
        meet.wait(30)
        return item

    assert atonce.run(wait, range(4)).values == [0, 1, 2, 3]
    assert sorted(seen) == [0, 1, 2, 3]


def test_async_waits_too() -> None:
    async def main() -> list[int]:
        meet = asyncio.Barrier(4)

        async def wait(item: int) -> int:
            async with asyncio.timeout(30):
                await meet.wait()
            return item

        return (await atonce.arun(wait, range(4))).values

    assert asyncio.run(main()) == [0, 1, 2, 3]


def test_anap_is_coroutines() -> None:
    plan = atonce.explain(anap, [0.03] * 200)
    assert (plan.model, plan.work) == ("coroutines", "waits")
