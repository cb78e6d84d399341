"""Replacing workers, decided: who is replaced when, and who may work meanwhile. (Nothing is lost: `test_engine_promises`.)"""

from __future__ import annotations

from engine_world import Fake, World

from atonce.engine.machine import Policy


def world(workers: int = 2, items: int | None = None, **policy: int) -> World:
    made = World(Policy(**policy), workers=workers, slots=1, items=items)  # type: ignore[arg-type]
    for worker in list(made.workers.values()):
        made.boot(worker)
    return made


def finish(made: World, *workers: Fake) -> None:
    for worker in workers:
        made.finish(worker, list(worker.running))


def test_a_successor_starts_at_once_and_waits_for_the_old_one() -> None:
    made = world(max_tasks=1)
    old, other = made.workers.values()
    made.read()  # an item each: both have had what they get
    made.read()
    assert len(made.workers) == 4  # one more item was read, so there is more to do
    heir, another = list(made.workers.values())[2:]
    made.boot(heir)
    made.boot(another)
    assert not heir.has
    assert old.count == other.count == 1
    finish(made, old)
    assert old.released
    assert heir.count == 1  # takes over
    assert not another.has  # its turn comes when `other` is through


def test_one_item_more_is_read_to_know_whether_successors_are_needed() -> None:
    made = world(items=2, max_tasks=1)
    assert made.read() == 2
    assert made.machine.source_ended
    assert len(made.workers) == 2
    finish(made, *made.workers.values())
    assert made.machine.finished
    assert all(worker.released for worker in made.workers.values())

    made = world(max_tasks=1)
    made.read()
    assert made.machine.want(made.now) == 1
    made.left = 0
    made.read()
    finish(made, *made.workers.values())
    assert made.machine.finished
    assert len(made.workers) == 2


def test_a_failure_that_is_tried_again_gets_a_successor() -> None:
    made = world(workers=1, items=1, max_tasks=1)
    (worker,) = made.workers.values()
    made.read()
    made.die(worker)
    made.bring_home()
    assert made.numbers == 2
    assert made.outcomes[0].ok


def test_those_that_have_grown_go_one_at_a_time_and_work_until_then() -> None:
    made = world(max_memory=1000)
    one, two = made.workers.values()
    made.read()
    made.weigh(one, 1001)
    made.weigh(two, 1001)
    made.weigh(one, 1002)  # told already
    assert len(made.workers) == 3
    (heir,) = list(made.workers.values())[2:]
    finish(made, one)
    made.read()
    assert one.has  # it goes on
    made.boot(heir)
    made.read()
    while one.has:  # what it was given before
        assert not heir.has
        finish(made, one)
    assert one.released
    made.read()
    assert heir.has
    assert len(made.workers) == 4  # now it is the other's turn


def test_below_the_limit_nobody_goes() -> None:
    made = world(max_memory=1000)
    made.read()
    for worker in list(made.workers.values()):
        made.weigh(worker, 1000)
    assert len(made.workers) == 2


def test_a_successor_that_dies_has_a_successor() -> None:
    made = world(workers=1, max_memory=1000)
    (old,) = made.workers.values()
    made.read()
    made.weigh(old, 1001)
    (_, heir) = made.workers.values()
    made.die(heir, booted=False)
    assert len(made.workers) == 1  # the old one works: no haste
    made.weigh(old, 1001)
    assert len(made.workers) == 2

    made = world(workers=1, max_tasks=1)
    made.read()
    made.read()
    (_, heir) = made.workers.values()
    made.die(heir, booted=False)
    assert len(made.workers) == 2  # nobody else could go on


def test_a_successor_takes_over_from_one_that_died() -> None:
    made = world(workers=1, max_memory=1000)
    (old,) = made.workers.values()
    made.read()
    made.weigh(old, 1001)
    (_, heir) = made.workers.values()
    made.boot(heir)
    assert old.has
    made.die(old)
    assert list(made.workers.values()) == [heir]
    assert heir.has


def test_a_successor_that_could_not_be_started_is_asked_for_again() -> None:
    made = world(workers=1, max_tasks=1)
    (old,) = made.workers.values()
    made.read()
    made.read()
    (_, heir) = made.workers.values()
    del made.workers[heir.number], made.machine.seats[heir.number]  # as if there had been no descriptor for it
    made.machine.not_replaced(old.number)
    finish(made, old)
    assert len(made.workers) == 2
