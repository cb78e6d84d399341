"""The conductor and its driver, on fake workers in fake time: what would hang for real raises `Stuck` here."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from atonce import Outcome, Rate, Retry
from atonce.engine.drive import drive
from atonce.engine.seat import AHEAD
from atonce.errors import ItemTimeout, TooManyStuck, WorkerDied
from atonce.testing import Dies, FakeClock, FakePlacement, Hangs, Stuck, simulate


def same(item: Any) -> Any:
    return item


def most_at_once(outcomes: Iterable[Outcome[Any]]) -> int:
    """The high-water mark of what ran at the same time; what ends as another starts is not at the same time."""
    steps = sorted(step for outcome in outcomes for step in ((outcome.started, 1), (outcome.ended, -1)))
    return max(itertools.accumulate(step for _, step in steps))


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("parallelism", "concurrency", "seconds"), [(1, 1, 12.0), (1, 4, 3.0), (3, 1, 4.0), (2, 3, 2.0), (6, 2, 1.0), (9, 9, 1.0)]
)
def test_twelve_items_of_a_second_take_as_long_as_the_slots_make_them(
    parallelism: int, concurrency: int, seconds: float
) -> None:
    run = simulate(same, range(12), seconds=1.0, parallelism=parallelism, concurrency=concurrency)
    assert run.values == list(range(12))
    assert run.stats.seconds == pytest.approx(seconds)


def test_uneven_items_leave_no_worker_idle_for_long() -> None:
    """One in ten takes a hundred times as long: what is given ahead must not wait behind it while others idle."""
    run = simulate(same, range(200), seconds=lambda item: 10.0 if item % 10 == 0 else 0.1, parallelism=4)
    best = (20 * 10.0 + 180 * 0.1) / 4
    assert run.stats.seconds <= best + 10.0 + 1.0


@pytest.mark.parametrize(
    ("rate", "items", "least", "most"),
    [
        (Rate(5), 21, 4.0, 4.0),
        (Rate(100, per=60), 11, 6.0, 6.0),
        (Rate(5, burst=5), 21, 3.2, 3.2),
        (Rate(1000), 61, 0.06, 0.064),
    ],
    ids=["5/s", "100/m", "burst", "1000/s"],
)
@pytest.mark.parametrize("seconds", [0.0, 2.0], ids=["instant", "slow"])
def test_a_rate_sets_the_pace_whatever_items_take(rate: Rate, items: int, least: float, most: float, seconds: float) -> None:
    run = simulate(same, range(items), seconds=seconds, concurrency=64, rate=rate)
    starts = [outcome.started for outcome in run.outcomes]
    assert least - 1e-6 <= max(starts) - min(starts) <= most + 1e-6
    for index, start in enumerate(sorted(starts)):
        assert start - min(starts) >= (index + 1 - rate.burst) / rate.a_second - 1e-6


def test_a_rate_is_reached_one_after_another() -> None:
    run = simulate(same, range(501), seconds=0.0005, concurrency=1, rate=Rate(1000))
    assert run.stats.seconds == pytest.approx(0.5, abs=0.01)


def test_a_timeout_counts_from_the_start() -> None:
    run = simulate(same, range(10), seconds=4.0, timeout=5.0)
    assert len(run.values) == 10
    assert run.stats.seconds == pytest.approx(40.0)


def test_a_late_item_is_ended_at_its_time() -> None:
    run = simulate(same, range(10), seconds=lambda item: 100.0 if item == 3 else 1.0, timeout=5.0)
    (failure,) = run.failures
    assert failure.index == 3
    assert isinstance(failure.error, ItemTimeout)
    assert run.stats.seconds == pytest.approx(9 * 1.0 + 5.0, abs=0.5)


def test_retries_wait_out_their_pauses_in_no_time() -> None:
    tries = itertools.count()

    def fails_twice(item: int) -> int:
        if next(tries) < 2:
            raise ValueError(item)
        return item

    run = simulate(fails_twice, [7], retry=Retry(attempts=3, base=100.0, cap=1000.0))
    assert run.values == [7]
    assert run.outcomes[0].attempts == 3


def test_a_failing_server_is_retried_within_the_budget() -> None:
    """Everything fails for ever: retries come at no more than a fifth of the attempts and three a second."""
    started: list[float] = []
    clock = FakeClock()

    def fails(item: int) -> None:
        started.append(clock())
        raise ValueError(item)

    run = simulate(fails, range(100), seconds=0.01, concurrency=10, clock=clock, retry=Retry(attempts=4, base=0.01))
    assert len(run.failures) == 100
    assert all(outcome.attempts == 4 for outcome in run.outcomes)
    retries = len(started) - 100
    assert retries == 300
    assert run.stats.seconds >= (retries - 0.2 * len(started)) / 3.0 - 3.0


class TryLater(Exception):
    retry_after = 30.0


def test_retry_after_parks_the_key_while_others_go_on() -> None:
    clock = FakeClock()
    starts: list[tuple[str, float]] = []

    def fetch(item: str) -> str:
        starts.append((item, clock()))
        if item == "a0" and len([one for one in starts if one[0] == "a0"]) == 1:
            raise TryLater
        return item

    begin = clock()
    items = [f"{host}{n}" for n in range(5) for host in "abc"]
    run = simulate(
        fetch, items, seconds=1.0, concurrency=1, clock=clock, key=lambda item: item[0], retry=Retry(), ordered=False
    )
    assert len(run.values) == 15
    parked = [item for item, at in starts if item.startswith("a") and begin + 1.0 <= at < begin + 31.0]
    assert parked == []
    assert all(at < begin + 15.0 for item, at in starts if not item.startswith("a"))


def test_nothing_waits_for_ever_without_being_noticed() -> None:
    def never(item: int) -> int:
        raise Hangs

    with pytest.raises(Stuck):
        simulate(never, range(3))


# ── in flight ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_slots_are_never_exceeded_and_all_are_used() -> None:
    fake = FakePlacement(seconds=lambda item: 0.001 * (1 + item % 7))
    simulate(same, range(500), placement=fake, parallelism=3, concurrency=5)
    assert [worker.high_water for worker in fake.workers] == [5, 5, 5]


@pytest.mark.parametrize("per_key", [1, 2, 3])
def test_per_key_is_kept_and_used(per_key: int) -> None:
    # sorted by key, as a list of one host after the other is: the other keys must not idle
    run = simulate(same, "a" * 30 + "b" * 30 + "c" * 30, seconds=1.0, concurrency=9, key=same, per_key=per_key)
    for key in "abc":
        assert most_at_once(outcome for outcome in run.outcomes if outcome.item == key) == per_key
    assert run.stats.seconds == pytest.approx(30 / per_key)


def test_an_endless_source_is_read_only_as_far_as_workers_have_room() -> None:
    taken = itertools.count()
    reached = 0
    out = 0
    ahead = 0

    def source() -> Iterator[int]:
        nonlocal reached, ahead
        while reached < 50_000:
            reached = next(taken)
            ahead = max(ahead, reached - out)
            yield reached

    def count(outcome: Any) -> None:
        nonlocal out
        out += 1

    simulate(same, source(), seconds=0.01, parallelism=2, concurrency=4, seen=count)
    assert out == 50_001
    # eight slots, each with an item and what it has before it, and as much again of what has ended and is on its way out
    assert ahead <= 2 * 8 * (1 + AHEAD / 0.01)


def test_order_bounds_what_is_held_behind_a_slow_first_item() -> None:
    reached = 0

    def source() -> Iterator[int]:
        nonlocal reached
        for reached in range(5000):  # noqa: UP028 - `reached` is what the test looks at
            yield reached

    first: list[int] = []

    def seen(outcome: Any) -> None:
        if not first:
            first.append(reached)

    run = simulate(
        same, source(), seconds=lambda item: 0.01 if item else 1000.0, parallelism=2, concurrency=4, ordered=True, seen=seen
    )
    assert len(run.values) == 5000
    assert first[0] <= 300  # when the first one came at last


# ── deaths ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("parallelism", "concurrency"), [(1, 1), (2, 1), (1, 5), (3, 4)])
def test_of_many_one_that_kills_and_one_that_hangs_cost_two(parallelism: int, concurrency: int) -> None:
    def fn(item: int) -> int:
        if item == 7:
            raise Dies(3)
        if item == 13:
            raise Hangs
        return item

    run = simulate(fn, range(20), seconds=0.1, parallelism=parallelism, concurrency=concurrency, timeout=1.0)
    assert [outcome.index for outcome in run.failures] == [7, 13]
    died, late = (outcome.error for outcome in run.failures)
    assert isinstance(died, WorkerDied)
    assert died.exit_code_of_worker == 3
    assert isinstance(late, ItemTimeout)
    assert len(run.values) == 18


def test_every_item_kills_and_every_item_is_named() -> None:
    def fn(item: int) -> None:
        raise Dies(-9)

    run = simulate(fn, range(12), seconds=0.1, parallelism=3, concurrency=2)
    assert len(run.failures) == 12
    assert all(isinstance(outcome.error, WorkerDied) for outcome in run.failures)


def test_workers_that_are_slow_to_start_lose_nothing() -> None:
    fake = FakePlacement(seconds=1.0, boot=5.0)

    def fn(item: int) -> int:
        if item == 2:
            raise Dies(1)
        return item

    run = simulate(fn, range(6), placement=fake, parallelism=2)
    assert len(run.values) == 5
    assert len(fake.workers) == 4  # two, and one for each death


def test_threads_that_hang_are_left_behind_and_counted() -> None:
    def fn(item: int) -> int:
        if item in (1, 4):
            raise Hangs
        return item

    fake = FakePlacement(seconds=0.1, can_kill=False, can_abandon=True)
    run = simulate(fn, range(10), placement=fake, concurrency=2, timeout=1.0)
    assert [outcome.index for outcome in run.failures] == [1, 4]
    assert run.stats.threads_left == 2
    assert run.stats.workers_lost == 0
    assert len(fake.workers) == 1


def test_a_retry_of_a_hanging_item_may_succeed() -> None:
    tries = itertools.count()

    def fn(item: int) -> int:
        if item == 0 and next(tries) == 0:
            raise Hangs
        return item

    fake = FakePlacement(seconds=0.1, can_kill=False, can_abandon=True)
    run = simulate(fn, range(3), placement=fake, timeout=1.0, retry=2)
    assert run.values == [0, 1, 2]
    assert run.outcomes[0].attempts == 2


def test_too_many_hanging_threads_end_the_run_and_keep_what_was_finished() -> None:
    def fn(item: int) -> int:
        if item >= 5:
            raise Hangs
        return item

    fake = FakePlacement(seconds=0.1, can_kill=False, can_abandon=True)
    with pytest.raises(TooManyStuck):
        simulate(fn, range(200), placement=fake, concurrency=4, timeout=1.0)


# ── what the source does ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_source_that_raises_ends_the_run_after_what_it_gave() -> None:
    seen: list[int] = []

    def source() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        simulate(same, source(), seconds=1.0, concurrency=2, seen=lambda outcome: seen.append(outcome.index))
    assert sorted(seen) == list(range(5))


def test_no_items_no_outcomes() -> None:
    run = simulate(same, [])
    assert run.outcomes == ()
    assert run.stats.items == 0


@pytest.mark.parametrize(("items", "hired"), [(1, 1), (3, 3), (9, 4)])
def test_no_more_workers_are_started_than_there_are_items(items: int, hired: int) -> None:
    placement = FakePlacement(1.0)
    assert simulate(same, range(items), placement=placement, parallelism=4).values == list(range(items))
    assert len(placement.workers) == hired


@pytest.mark.parametrize("outcome", [Outcome(0, 0, True, 0), Outcome(0, 0, False, None, ValueError("0"))], ids=["ok", "failed"])
def test_ctrl_c_is_not_hidden_by_a_failure_that_was_finished(outcome: Outcome[int]) -> None:
    """`map` raises for the failed item in the last batch, and closes the driver: who pressed Ctrl-C wants to stop, not to see
    the next item."""

    def take() -> Iterator[Outcome[int]]:
        with contextlib.closing(drive(cast(Any, Interrupting(outcome)))) as batches:
            for batch in batches:
                for each in batch:
                    each.unwrap()
                    yield each

    with pytest.raises(KeyboardInterrupt):
        list(take())


class Interrupting:
    """A conductor that is interrupted at once, when one outcome had become final."""

    hub = error = None

    def __init__(self, outcome: Outcome[int]) -> None:
        self._outcome = outcome

    def pump(self) -> list[Outcome[int]]:
        raise KeyboardInterrupt

    def close(self, *, cancel: bool) -> None:
        assert cancel

    def take_salvaged(self) -> list[Outcome[int]]:
        return [self._outcome]
