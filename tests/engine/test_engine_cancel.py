"""Cancelling one item: wherever it is, it costs itself alone and has one outcome."""

from __future__ import annotations

from asyncio import CancelledError

import pytest
from engine_world import World

from atonce import Retry
from atonce.engine.events import Cancel, Feed, Kill, Ready, Withdraw
from atonce.engine.machine import Machine, Policy
from atonce.engine.seat import Seat


def started(policy: Policy, items: int, **world: int) -> World:
    new = World(policy, items=items, **world)
    for worker in list(new.workers.values()):
        new.boot(worker)
    new.read()
    return new


def failed(world: World) -> dict[int, type[BaseException]]:
    return {index: type(outcome.error) for index, outcome in world.outcomes.items() if outcome.error is not None}


def test_what_runs_costs_its_worker_which_is_replaced() -> None:
    world = started(Policy(most_ahead=0), 6, workers=2, slots=1)
    one, two = world.workers.values()
    index, other = one.has[0], two.has[0]
    world.handle(Cancel(index, CancelledError()))
    assert (one.killed, two.killed) == (True, False)
    world.handle(Cancel(index, CancelledError()))  # asked twice, killed once: `World` holds that
    world.die(one)
    assert failed(world) == {index: CancelledError}
    assert len(world.workers) == 2
    assert two.has == [other]
    world.bring_home()
    assert len(world.outcomes) == 6
    assert failed(world) == {index: CancelledError}


def test_what_finished_first_counts() -> None:
    """The report of a worker that was killed for an item comes before its death: the value is the outcome."""
    world = started(Policy(most_ahead=0), 2, workers=1, slots=1)
    (worker,) = world.workers.values()
    index = worker.has[0]
    world.handle(Cancel(index, CancelledError()))
    world.finish(worker, [0])
    world.handle(Cancel(index, CancelledError()))
    world.die(worker)
    world.bring_home()
    assert failed(world) == {}
    assert len(world.outcomes) == 2


def test_it_is_not_retried() -> None:
    world = started(Policy(most_ahead=0, retry=Retry(5, on=BaseException)), 1, workers=1, slots=1)
    (worker,) = world.workers.values()
    world.handle(Cancel(0, CancelledError()))
    world.die(worker)
    assert failed(world) == {0: CancelledError}


def test_what_waits_for_its_next_try_is_dropped() -> None:
    world = started(Policy(most_ahead=0, retry=Retry(5)), 1, workers=1, slots=1)
    (worker,) = world.workers.values()
    world.finish(worker, [0], [LookupError()])
    assert world.outcomes == {}
    world.handle(Cancel(0, CancelledError()))
    assert failed(world) == {0: CancelledError}
    assert world.outcomes[0].attempts == 1
    world.bring_home()
    assert len(world.outcomes) == 1


def test_a_suspect_is_dropped_too() -> None:
    world = started(Policy(most_ahead=0), 2, workers=2, slots=1)
    one, two = world.workers.values()
    index = one.has[0]
    world.die(one)  # it is to be tried again, alone, and nobody is free
    assert index not in two.has
    world.handle(Cancel(index, CancelledError()))
    assert failed(world) == {index: CancelledError}
    world.bring_home()
    assert len(world.outcomes) == 2


@pytest.mark.parametrize("index", [0, 7])
def test_who_is_unknown_or_final_is_nobody(index: int) -> None:
    world = started(Policy(most_ahead=0), 1, workers=1, slots=1)
    (worker,) = world.workers.values()
    world.finish(worker, [0])
    world.handle(Cancel(index, CancelledError()))
    assert failed(world) == {}
    assert not worker.killed


@pytest.mark.parametrize(
    ("seat", "command"),
    [
        (Seat(2, can_cancel=True), Withdraw(0, 0)),
        (Seat(2, can_cancel=True, can_kill=False), Withdraw(0, 0)),
        (Seat(2), Kill(0)),
        (Seat(2, can_kill=False), None),
    ],
    ids=["its runner can", "its runner can, here", "its worker can be killed", "nothing can be done"],
)
def test_the_mildest_way_is_taken(seat: Seat, command: object) -> None:
    machine = Machine(Policy(most_ahead=0))
    machine.add(0, seat)
    machine.handle(Ready(0), 0.0)
    (feed,) = machine.read([5], 0.0)
    assert isinstance(feed, Feed)
    assert machine.handle(Cancel(0, CancelledError()), 1.0) == ([] if command is None else [command])


def test_without_look_ahead_nothing_is_given_that_cannot_start() -> None:
    """However quick the items are: a call that was given ahead would wait behind one that is not quick."""
    world = started(Policy(most_ahead=0), 500, workers=2, slots=2)
    for _ in range(50):
        for worker in list(world.workers.values()):
            world.now += 1e-6
            world.finish(worker, list(worker.running))
            world.read()
        assert all(worker.count <= worker.slots for worker in world.workers.values())
