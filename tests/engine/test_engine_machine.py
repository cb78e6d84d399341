"""The machine, scene by scene: each names the events it is told and what it must answer. `World` watches the promises."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from engine_world import Fake, World, failures, report

from atonce import Rate, Retry
from atonce.engine import shares
from atonce.engine.events import Broken, Done, Emit, Feed, Keep, Kill, Lost, Ready, Spawn, Stop
from atonce.engine.late import BACKSTOP
from atonce.engine.machine import MOST_FALSE_STARTS, MOST_LEFT, Machine, Policy
from atonce.engine.seat import MOST_AHEAD, Seat
from atonce.errors import ItemTimeout, StartFailed, TooManyStuck, WorkerDied


def started(policy: Policy | None = None, **world: object) -> World:
    """A world whose workers are ready and have read what they want."""
    new = World(policy or Policy(), **world)  # type: ignore[arg-type]
    for worker in list(new.workers.values()):
        new.boot(worker)
    new.read()
    return new


def workers_of(world: World) -> list[Fake]:
    return list(world.workers.values())


# ── reading and sharing out ──────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_wanted_before_a_worker_is_ready() -> None:
    world = World(Policy())
    assert world.machine.want(world.now) == 0
    world.boot(workers_of(world)[0])
    assert world.machine.want(world.now) > 0


@pytest.mark.parametrize(("workers", "slots"), [(1, 1), (1, 8), (3, 1), (2, 4)])
def test_an_unknown_item_is_given_one_to_a_slot(workers: int, slots: int) -> None:
    """Before anything is measured, a slot gets what it can start and no more."""
    world = started(workers=workers, slots=slots)
    assert [worker.count for worker in workers_of(world)] == [slots] * workers


@pytest.mark.parametrize("per_key", [1, 2, 3, 6, 8])
def test_what_a_key_has_room_for_is_shared_among_the_workers(per_key: int) -> None:
    """Two loops that fetch from one host are two only if both get something to do: the first was given all of it."""
    world = started(Policy(key=lambda item: "a host", per_key=per_key), workers=2, slots=8)
    counts = [worker.count for worker in workers_of(world)]
    assert sum(counts) == per_key
    assert max(counts) - min(counts) <= 1


class Unserved(Exception):
    """Nothing came over the connection that was opened for it."""

    unserved = late = unreachable = silent = True


def test_a_key_whose_connections_of_one_worker_alone_are_served_is_given_to_that_one() -> None:
    """Those of the other wait until the first lets go of its own, which are kept. What has waited goes to the first."""
    retry = Retry(attempts=2, base=0.001, on=Unserved)
    world = started(Policy(key=lambda item: "a host", per_key="auto", retry=retry), workers=2, slots=8, items=40)
    served, waiting = workers_of(world)
    assert served.count == waiting.count == 2
    waited = waiting.has
    world.wait(0.1)
    world.finish(served, [0, 1])
    world.wait(30)
    world.finish(waiting, list(waiting.running), [Unserved() for _ in waiting.running])
    world.bring_home()
    assert all(world.outcomes[index].ok for index in waited)
    assert all(outcome.worker is None or outcome.worker.slot == served.number for outcome in world.outcomes.values())
    assert len(world.outcomes) == 40


@pytest.mark.parametrize("lives", [False, True])
def test_what_was_not_served_is_tried_again_where_its_key_has_ever_answered(lives: bool) -> None:
    retry = Retry(attempts=2, base=0.001, on=Unserved)
    world = started(Policy(key=lambda item: "a host", per_key="auto", retry=retry), workers=1, slots=2, items=2)
    [worker] = workers_of(world)
    first, second = worker.has
    world.wait(0.1)
    world.finish(worker, [0], [] if lives else [Unserved()])
    world.wait(30)
    world.finish(worker, [1], [Unserved()])
    assert (second in world.outcomes) == (not lives)
    assert first in world.outcomes
    if lives:
        world.wait(1)
        world.bring_home()
        assert world.outcomes[second].ok


def test_short_items_are_given_many_at_a_time_but_not_at_once() -> None:
    seat = Seat(1)
    aheads = []
    for _ in range(12):
        seat.learn(1e-6, 1)
        aheads.append(seat.target(math.inf))
    assert aheads[0] <= 6
    assert all(later <= 5 * sooner + 5 for sooner, later in itertools.pairwise(aheads))
    assert aheads[-1] == MOST_AHEAD


def test_long_items_are_given_one_at_a_time() -> None:
    seat = Seat(4)
    for _ in range(9):
        seat.learn(10.0, 1)
    assert seat.target(math.inf) == 4


def test_the_end_of_the_input_is_shared_evenly() -> None:
    """With a known total no worker hoards what is left."""
    world = World(Policy(total=40), workers=2, slots=1, items=40)
    for worker in workers_of(world):
        world.machine.seats[worker.number].learn(1e-6, 1)
        world.machine.seats[worker.number].ahead = 1000.0
        world.boot(worker)
    most = 0
    while not world.machine.finished:
        world.read(most=1000)
        left = 40 - world.machine.read_count
        counts = [worker.count for worker in workers_of(world)]
        most = max(most, *counts)
        assert max(counts) - min(counts) <= max(2, left)
        for worker in workers_of(world):
            if worker.running:
                world.finish(worker, list(worker.running))
    assert most <= 20


@pytest.mark.parametrize("said", [0, 5, 49, 51, 1000])
def test_a_length_that_lies_holds_nothing_up(said: int) -> None:
    """A list may grow or shrink while it is read."""
    world = started(Policy(total=said), items=50, slots=3)
    world.bring_home()
    assert len(world.outcomes) == 50


@pytest.mark.parametrize("ahead", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("total", [None, 1000])
def test_a_bound_on_what_is_ahead_holds_however_quick_the_items_are(ahead: float, total: int | None) -> None:
    """A call that waits at a worker can no longer be cancelled."""
    world = started(Policy(most_ahead=ahead, total=total), slots=3)
    for worker in workers_of(world):
        for _ in range(12):
            world.machine.seats[worker.number].learn(1e-6, 100)
    world.read()
    assert [worker.count for worker in workers_of(world)] == [3 + 3 * ahead] * 2


def test_items_that_trickle_in_go_to_who_is_idle() -> None:
    """Quick items have been seen, so a worker may have thousands before it: still an idle one comes first."""
    world = started(workers=2, slots=1)
    for _ in range(30):
        for worker in workers_of(world):
            if worker.running:
                world.finish(worker, list(worker.running))
        world.read(most=3)
    for worker in workers_of(world):
        while worker.running:
            world.finish(worker, list(worker.running))
    for _ in range(2):
        assert world.read(most=1) == 1
    assert [worker.count for worker in workers_of(world)] == [1, 1]


def test_a_probe_takes_one_item() -> None:
    world = World(Policy(), workers=1, slots=4)
    world.machine.seats[0].only = 1
    world.boot(workers_of(world)[0])
    assert world.read() == 1
    assert world.read() == 0
    world.finish(workers_of(world)[0], [0])
    assert world.read() == 0


def test_in_order_what_is_held_back_is_bounded() -> None:
    """The first item never ends; the others pile up to the window and no further."""
    world = started(Policy(ordered=True), workers=2, slots=2)
    (first,) = (worker for worker in workers_of(world) if 0 in worker.has)
    for _ in range(2000):
        world.read()
        for worker in workers_of(world):
            slots = [slot for slot, (index, _) in worker.running.items() if index != 0]
            if slots:
                world.now += 0.01
                world.finish(worker, slots)
    assert world.outcomes == {}
    assert world.machine.order.held <= 128
    assert world.machine.read_count <= 200
    world.finish(first, [slot for slot, (index, _) in first.running.items() if index == 0])
    assert len(world.outcomes) >= 100
    world.bring_home()


def test_in_order_what_is_held_back_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MOST_BYTES", 10_000)
    world = started(Policy(ordered=True), workers=1, slots=4)
    (worker,) = workers_of(world)
    big = b"x" * 2000
    for _ in range(50):
        world.read()
        world.now += 1.0  # slow items: nothing is given ahead
        slots = [slot for slot, (index, _) in worker.running.items() if index != 0]
        if slots:
            rows = []
            for slot in slots:
                index, since = worker.running.pop(slot)
                world.gone(index)
                rows.append((index, big, since, world.now))
            worker.start(world.now)
            world.handle(Done(worker.number, report(worker.number, rows)))
    assert world.machine.order.held <= 5 + 3  # and what was in flight when the bound was reached


def test_big_items_are_read_ahead_in_bytes_not_in_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MOST_BYTES", 10_000)
    machine = Machine(Policy())
    machine.add(0, Seat(1, mean=1e-6, ahead=5000.0))
    machine.handle(Ready(0), 0.0)
    assert machine.want(0.0) > 1000
    machine.read([b"x" * 5000], 0.0)
    assert machine.want(0.0) <= 2


def test_what_was_large_on_its_way_is_not_read_far_ahead_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """`getsizeof` sees a list as its shell."""
    monkeypatch.setattr(shares, "MOST_BYTES", 10_000)
    machine = Machine(Policy())
    machine.add(0, Seat(1, mean=0.01, ahead=5000.0))
    machine.handle(Ready(0), 0.0)
    assert machine.want(0.0) > 500
    machine.carried(2, 10_000)
    assert machine.want(0.0) <= 3  # the one that runs, and 10 000 bytes before it


def test_no_more_is_wanted_after_the_end() -> None:
    world = started(items=3)
    assert world.machine.source_ended
    assert world.machine.want(world.now) == 0
    world.bring_home()


# ── rate ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rate_is_kept_and_reached_whatever_the_items_take() -> None:
    """Twenty a second of which none ever ends: after a second there are twenty and the first, not one."""
    world = started(Policy(rate=Rate(20)), workers=1, slots=64)
    begin = world.now
    while world.now < begin + 1.0 - 1e-9:
        world.wait(begin + 1.0 - world.now)
        world.read()
    assert 20 <= workers_of(world)[0].count <= 21


def test_a_burst_starts_at_once() -> None:
    world = started(Policy(rate=Rate(1, burst=5)), workers=1, slots=64)
    assert workers_of(world)[0].count == 5


# ── failures and retries ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_without_retry_is_final() -> None:
    world = started(items=1, workers=1)
    world.finish(workers_of(world)[0], [0], [ValueError("no")])
    outcome = world.outcomes[0]
    assert not outcome.ok
    assert isinstance(outcome.error, ValueError)
    assert outcome.attempts == 1
    with pytest.raises(ValueError, match="no"):
        outcome.unwrap()


def test_a_retry_waits_its_pause_and_counts_its_starts() -> None:
    world = started(Policy(retry=Retry(attempts=3, base=8.0)), items=1, workers=1)
    (worker,) = workers_of(world)
    for attempt in (1, 2, 3):
        world.finish(worker, [0], [ValueError(attempt)])
        if attempt < 3:
            assert not worker.running
            assert world.now < world.machine.next_at() <= world.now + 8.0 * 2 ** (attempt - 1)
            world.wait(100.0)
            assert worker.running
    assert world.outcomes[0].attempts == 3
    assert str(world.outcomes[0].error) == "3"


def test_a_retried_item_that_succeeds_is_a_success() -> None:
    world = started(Policy(retry=Retry()), items=1, workers=1)
    (worker,) = workers_of(world)
    world.finish(worker, [0], [ValueError()])
    world.wait(100.0)
    world.finish(worker, [0])
    assert world.outcomes[0].ok
    assert world.outcomes[0].attempts == 2


class TryLater(Exception):
    retry_after = 10.0


@pytest.mark.parametrize("per_key", [None, 2], ids=["key only", "per_key"])
def test_retry_after_parks_the_key_and_no_other(per_key: int | None) -> None:
    world = started(Policy(key=lambda item: item % 3, per_key=per_key, retry=Retry(max_wait=60)), workers=1, slots=3)
    (worker,) = workers_of(world)
    asked = world.now
    slot = next(slot for slot, (index, _) in worker.running.items() if index % 3 == 0)
    world.finish(worker, [slot], [TryLater()])
    ran: list[int] = []
    while world.now < asked + 10.0 and len(ran) < 100:
        world.read()
        slots = [slot for slot, (index, _) in worker.running.items() if index % 3 or index > 5]
        began = [index for index, since in worker.running.values() if since > asked]
        assert not any(index % 3 == 0 for index in began), "its key was parked"
        ran += began
        if not slots:
            break
        world.now += 0.1
        world.finish(worker, slots)
    assert len(ran) > 20


def test_what_cannot_be_carried_is_not_tried_again() -> None:
    world = started(Policy(retry=Retry(attempts=5)), items=6, workers=1, slots=1)
    (worker,) = workers_of(world)
    world.machine.seats[0].learn(1e-6, 1)
    while not worker.todo:
        world.finish(worker, [0])
        world.read()
    last = worker.todo[-1]
    world.uncarried(worker, 1)
    assert world.outcomes[last].attempts == 1
    assert isinstance(world.outcomes[last].error, TypeError)


def test_of_an_unreadable_batch_only_the_bad_item_fails() -> None:
    world = World(Policy(), workers=1, slots=4, items=4)
    world.boot(workers_of(world)[0])
    world.read()
    (worker,) = workers_of(world)
    worker.todo.extend(index for index, _ in worker.running.values())  # as if they had not begun
    worker.running.clear()
    world.unreadable(worker, 4)
    while not world.machine.finished:
        assert worker.has
        if worker.has == [2]:
            worker.todo.extend(worker.has)
            worker.running.clear()
            world.unreadable(worker, 1)
        else:
            assert 2 not in worker.has or len(worker.has) > 1
            if 2 in worker.has:
                worker.todo.extend(index for index, _ in worker.running.values())
                worker.running.clear()
                world.unreadable(worker, 9)
            else:
                world.finish(worker, list(worker.running))
        world.read()
    assert [index for index, outcome in sorted(world.outcomes.items()) if not outcome.ok] == [2]


# ── deaths ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_death_costs_one_item_after_two_deaths_alone() -> None:
    world = started(items=10, workers=1, slots=1)
    worker = workers_of(world)[0]
    guilty = worker.running[0][0]
    world.die(worker, 3)
    assert world.outcomes == {}
    (worker,) = workers_of(world)
    world.boot(worker)
    assert worker.has == [guilty]
    world.die(worker, 3)
    outcome = world.outcomes[guilty]
    assert isinstance(outcome.error, WorkerDied)
    assert outcome.error.exit_code_of_worker == 3
    assert "exit code 3" in str(outcome.error)
    assert outcome.attempts == 2
    world.bring_home()
    assert sum(outcome.ok for outcome in world.outcomes.values()) == 9
    assert world.machine.workers_lost == 2


def test_a_death_that_does_not_come_again_costs_nothing() -> None:
    world = started(items=10, workers=1, slots=1)
    world.die(workers_of(world)[0], -9)
    world.bring_home()
    assert all(outcome.ok for outcome in world.outcomes.values())
    assert world.outcomes[0].attempts == 2


def test_a_try_that_a_death_ended_is_not_one_of_those_that_retry_counts() -> None:
    world = started(Policy(retry=Retry(attempts=2)), items=2, workers=1, slots=2)
    world.die(workers_of(world)[0], -9)
    (worker,) = workers_of(world)
    world.boot(worker)
    world.finish(worker, [0], [ValueError("its first failure")])
    world.bring_home()
    assert [world.outcomes[index].attempts for index in (0, 1)] == [3, 2]
    assert all(outcome.ok for outcome in world.outcomes.values())
    assert not world.machine._tries._cut_short


def test_neighbours_in_the_dead_workers_queue_are_nobodys_fault() -> None:
    world = started(workers=1, slots=1, items=100)
    (worker,) = workers_of(world)
    while not worker.todo:
        world.finish(worker, [0])
        world.read()
    behind = list(worker.todo)
    world.die(worker)
    world.bring_home()
    assert all(world.outcomes[index].attempts == 1 for index in behind)


@pytest.mark.parametrize("guilty", range(4))
def test_of_several_that_ran_only_the_guilty_one_is_blamed(guilty: int) -> None:
    world = started(workers=1, slots=4, items=4)
    world.die(workers_of(world)[0], -11)
    while not world.machine.finished:
        (worker,) = workers_of(world)
        if not worker.ready:
            world.boot(worker)
        elif guilty in worker.has:
            world.die(worker, -11)
        else:
            world.finish(worker, list(worker.running))
    assert [index for index, outcome in sorted(world.outcomes.items()) if not outcome.ok] == [guilty]
    assert "SIGSEGV" in str(world.outcomes[guilty].error)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_a_death_that_names_nobody_is_searched_in_halves(count: int) -> None:
    """It died while it unpickled a batch: the search takes about two deaths a halving, and blames the right one."""
    for guilty in range(count):
        world = started(workers=1, slots=count, items=count)
        world.die(workers_of(world)[0], named=0)
        deaths = 1
        while not world.machine.finished:
            (worker,) = workers_of(world)
            if not worker.ready:
                world.boot(worker)
            elif guilty in worker.has:
                world.die(worker, named=0)
                deaths += 1
            else:
                world.finish(worker, list(worker.running))
            world.read()
        assert [index for index, outcome in world.outcomes.items() if not outcome.ok] == [guilty]
        assert deaths <= math.ceil(math.log2(count)) + 2


def test_suspects_run_alone_even_where_all_workers_are_busy() -> None:
    world = started(workers=2, slots=2)
    first, _second = workers_of(world)
    world.die(first)
    while not all(index in world.outcomes for index in (0, 1)):
        for worker in workers_of(world):
            if not worker.ready:
                world.boot(worker)
            elif worker.running:
                world.finish(worker, list(worker.running))  # `World` sees to it that suspects are alone
        world.read()
    world.bring_home()


def test_who_dies_at_the_end_is_replaced_only_if_there_is_work() -> None:
    world = started(workers=2, slots=1, items=1)
    idle = next(worker for worker in workers_of(world) if not worker.has)
    busy = next(worker for worker in workers_of(world) if worker.has)
    world.finish(busy, [0])
    assert world.machine.finished
    assert not any(isinstance(command, Spawn) for command in world.machine.handle(Lost(idle.number, -9, [], True), world.now))


def test_workers_that_die_before_they_are_ready_stop_the_run() -> None:
    world = World(Policy(), workers=1, items=3)
    for _ in range(MOST_FALSE_STARTS):
        assert world.stopped is None
        world.die(workers_of(world)[0], 1, booted=False)
    assert isinstance(world.stopped, StartFailed)
    assert "exit code 1" in str(world.stopped)


def test_false_starts_are_counted_in_a_row() -> None:
    world = World(Policy(), workers=1, items=3)
    for _ in range(MOST_FALSE_STARTS * 3):
        world.die(workers_of(world)[0], 1, booted=False)
        world.boot(workers_of(world)[0])
        world.die(workers_of(world)[0])
    assert world.stopped is None


def test_a_broken_worker_stops_the_run() -> None:
    machine = Machine(Policy())
    machine.add(0, Seat(1))
    error = ValueError("setup")
    assert machine.handle(Broken(0, error), 0.0) == [Stop(error)]


# ── late ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_late_item_costs_its_worker_and_nobody_else() -> None:
    world = started(Policy(timeout=5.0), workers=1, slots=1, items=6)
    world.wait(4.9)
    assert not workers_of(world)[0].killed
    world.wait(5.0)
    (worker,) = workers_of(world)
    assert worker.killed
    world.die(worker)
    outcome = world.outcomes[0]
    assert isinstance(outcome.error, ItemTimeout)
    assert isinstance(outcome.error, TimeoutError)
    assert "timeout=5" in str(outcome.error)
    world.bring_home()
    assert sum(outcome.ok for outcome in world.outcomes.values()) == 5
    assert world.machine.workers_lost == 0  # we ended it ourselves


def test_a_timeout_counts_from_the_start_not_from_the_queue() -> None:
    world = started(Policy(timeout=5.0), workers=1, slots=1, items=20)
    (worker,) = workers_of(world)
    while not worker.todo:
        world.finish(worker, [0])
        world.read()
    for _ in range(3):  # each item takes 4 s; the last in the queue waits 12 s and more
        world.wait(4.0)
        assert not worker.killed
        world.finish(worker, [0])


def test_an_item_that_finished_in_time_is_kept_though_its_report_is_late() -> None:
    """The cells still name it, the report is under way: it was finished before the tick."""
    world = started(Policy(timeout=5.0), workers=1, slots=1, items=1)
    (worker,) = workers_of(world)
    index, since = worker.running[0]
    world.gone(worker.running.pop(0)[0])
    world.handle(Done(worker.number, report(worker.number, [(index, "value", since, since + 1)])))
    world.now += 100.0
    assert world.machine.tick(world.now, {worker.number: [(0, index, since)]}) == []
    assert world.outcomes[0].ok


def test_late_threads_are_left_behind_and_replaced() -> None:
    world = started(Policy(timeout=5.0), workers=1, slots=3, can_abandon=True, can_kill=False)
    (worker,) = workers_of(world)
    late = sorted(worker.has)
    world.wait(5.0)
    assert not worker.killed
    assert sorted(world.outcomes) == late
    assert all(isinstance(outcome.error, ItemTimeout) for outcome in world.outcomes.values())
    assert world.machine.threads_left == 3
    world.read()
    assert worker.count == 3  # others have taken their places


def test_a_thread_that_was_left_behind_has_no_say_any_more() -> None:
    world = started(Policy(timeout=5.0), workers=1, slots=1, can_abandon=True, can_kill=False, items=2)
    (worker,) = workers_of(world)
    world.wait(5.0)
    world.read()
    world.haunt(worker)
    assert isinstance(world.outcomes[0].error, ItemTimeout)
    world.bring_home()


@pytest.mark.parametrize("late", [None, ValueError("late")], ids=["returns late", "raises late"])
def test_a_retry_beside_the_thread_that_was_left_behind_counts_for_itself(late: BaseException | None) -> None:
    """Both have the same index and are in the same worker: only the second one counts, whichever reports first."""
    policy = Policy(timeout=5.0, retry=Retry(attempts=3, base=0.01))
    world = started(policy, workers=1, slots=1, can_abandon=True, can_kill=False, items=1)
    (worker,) = workers_of(world)
    world.wait(5.0)
    world.wait(0.1)
    assert worker.has == [0]
    world.haunt(worker, late)
    assert world.outcomes == {}
    world.finish(worker, [0])
    assert world.outcomes[0].ok
    assert world.outcomes[0].attempts == 2


def test_a_retry_finishes_though_the_thread_left_behind_never_does() -> None:
    policy = Policy(timeout=5.0, retry=Retry(attempts=2, base=0.01))
    world = started(policy, workers=1, slots=1, can_abandon=True, can_kill=False, items=1)
    (worker,) = workers_of(world)
    world.wait(5.0)
    world.wait(0.1)
    world.finish(worker, [0])
    assert world.outcomes[0].ok
    assert world.machine.finished


def test_too_many_left_behind_stop_the_run() -> None:
    world = started(Policy(timeout=1.0), workers=1, slots=1, can_abandon=True, can_kill=False)
    for _ in range(MOST_LEFT):
        assert world.stopped is None
        world.wait(1.0)
        world.read()
    world.wait(1.0)
    assert isinstance(world.stopped, TooManyStuck)


def test_a_probe_whose_item_was_left_behind_can_be_released() -> None:
    world = World(Policy(timeout=1.0), workers=1, slots=1, can_abandon=True, can_kill=False, items=3)
    world.machine.seats[0].only = 1
    (worker,) = workers_of(world)
    world.boot(worker)
    world.read()
    world.obey(world.machine.release(0))
    assert not worker.released
    world.wait(1.0)
    assert worker.released


def test_a_worker_alone_with_a_suspect_that_is_left_behind_works_on() -> None:
    world = started(Policy(timeout=5.0), workers=1, slots=2, can_abandon=True, items=6)
    world.die(workers_of(world)[0])
    (worker,) = workers_of(world)
    world.boot(worker)
    while world.struck:
        assert worker.count == 1
        world.wait(5.0)
    world.bring_home()
    assert sum(outcome.ok for outcome in world.outcomes.values()) == 4


def enforcing(timeout: float, slots: int) -> tuple[Machine, list[Feed]]:
    machine = Machine(Policy(timeout=timeout))
    machine.add(0, Seat(slots, enforces_timeout=True))
    machine.handle(Ready(0), 0.0)
    feeds = machine.read(list(range(slots)), 0.0)
    assert all(isinstance(feed, Feed) for feed in feeds)
    return machine, feeds  # type: ignore[return-value]


def test_a_runner_that_keeps_the_timeout_itself_is_given_a_moment_more() -> None:
    machine, _ = enforcing(5.0, 1)
    running = {0: [(0, 0, 0.0)]}
    assert machine.next_at() == 5.0 + BACKSTOP
    assert machine.tick(5.0 + BACKSTOP - 0.01, running) == []
    assert machine.tick(5.0 + BACKSTOP, running) == [Kill(0)]


def test_of_several_late_in_a_blocked_loop_all_are_tried_again_alone() -> None:
    """One of them blocks the others: nobody is condemned before it was late alone."""
    machine, _ = enforcing(1.0, 3)
    late = 1.0 + BACKSTOP
    assert machine.tick(late, {0: [(slot, slot, 0.0) for slot in range(3)]}) == [Kill(0)]
    assert machine.handle(Lost(0, -9, [0, 1, 2], True), late) == [Spawn(0)]
    assert machine.failed == 0
    machine.add(1, Seat(3, enforces_timeout=True))
    (feed,) = machine.handle(Ready(1), late)
    assert isinstance(feed, Feed)
    assert len(feed.indices) == 1
    (blocker,) = feed.indices
    assert machine.tick(2 * late, {1: [(0, blocker, late)]}) == [Kill(1)]
    machine.handle(Lost(1, -9, [blocker], True), 2 * late)
    assert machine.failed == 1


# ── odds and ends ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "event",
    [
        lambda: Done(0, report(0, [(0, "again", 0.0, 1.0)])),
        lambda: Done(0, report(0, [], failures([(0, ValueError(), 0.0, 1.0)]))),
        lambda: Done(0, report(0, [(77, "never read", 0.0, 1.0)])),
        lambda: Done(9, report(9, [(0, "from a stranger", 0.0, 1.0)])),
        lambda: Lost(9, -9, [0], True),
    ],
    ids=["twice", "failed after all", "unknown item", "unknown worker", "unknown worker dies"],
)
def test_what_comes_twice_or_from_nobody_is_dropped(event: Callable[[], Done | Lost]) -> None:
    world = started(workers=1, slots=1, items=3)
    (worker,) = workers_of(world)
    world.finish(worker, [0])
    before = dict(world.outcomes)
    world.handle(event())
    assert world.outcomes == before
    world.bring_home()


def test_a_report_with_one_row_too_many_keeps_the_others() -> None:
    world = started(workers=1, slots=2, items=2)
    (worker,) = workers_of(world)
    for slot in (0, 1):
        world.gone(worker.running.pop(slot)[0])
    rows = [(0, "a", 100.0, 100.0), (77, "?", 100.0, 100.0), (1, "b", 100.0, 100.0)]
    world.handle(Done(0, report(0, rows)))
    assert [world.outcomes[index].value for index in (0, 1)] == ["a", "b"]
    assert world.machine.finished


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize("end", ["dies", "late"])
def test_an_item_whose_repr_raises_is_reported_like_any_other(end: str) -> None:
    machine = Machine(Policy(timeout=1.0))
    emitted: list[object] = []
    machine.add(0, Seat(1))
    machine.handle(Ready(0), 0.0)
    machine.read([Unspeakable()], 0.0)
    machine.end_of_items()
    for number in (1, 2):
        if end == "late":
            machine.tick(10.0, {number - 1: [(0, 0, 0.0)]})
        commands = machine.handle(Lost(number - 1, -9, [0], True), 10.0)
        emitted += commands
        if machine.finished:
            break
        machine.add(number, Seat(1))
        machine.handle(Ready(number), 10.0)
    assert machine.finished
    assert machine.failed == 1


def test_the_sums_add_up() -> None:
    world = started(Policy(retry=Retry(attempts=2, base=0.001)), items=10, workers=2, slots=2)
    (first, *_) = workers_of(world)
    world.finish(first, [0, 1], [ValueError(), None])
    world.bring_home()
    assert world.machine.attempts == 11
    assert world.machine.emitted == 10
    assert world.machine.failed == 0


# ── with a journal ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_outcome_is_kept_as_soon_as_it_is_final_and_given_out_when_its_turn_comes() -> None:
    machine = Machine(Policy(ordered=True, keep=True))
    machine.add(0, Seat(2))
    machine.handle(Ready(0), 0.0)
    machine.read(["a", "b"], 0.0)
    machine.end_of_items()
    keep, *_ = machine.handle(Done(0, report(0, [(1, "B", 0.0, 1.0)])), 1.0)
    assert isinstance(keep, Keep)
    assert [outcome.value for outcome in keep.outcomes] == ["B"]
    assert machine.kept(list(keep.outcomes), {}) == []
    keep, *_ = machine.handle(Done(0, report(0, [(0, "A", 0.0, 2.0)])), 2.0)
    assert isinstance(keep, Keep)
    (emit,) = machine.kept(list(keep.outcomes), {})
    assert isinstance(emit, Emit)
    assert [outcome.value for outcome in emit.outcomes] == ["A", "B"]


def test_a_value_that_could_not_be_kept_is_a_failure() -> None:
    machine = Machine(Policy(keep=True))
    machine.add(0, Seat(2))
    machine.handle(Ready(0), 0.0)
    machine.read(["a", "b"], 0.0)
    keep, *_ = machine.handle(Done(0, report(0, [(0, "A", 0.0, 1.0), (1, "B", 0.0, 1.0)])), 1.0)
    assert isinstance(keep, Keep)
    failure = keep.outcomes[1]._replace(ok=False, value=None, error=ValueError())
    (emit,) = machine.kept(list(keep.outcomes), {1: failure})
    assert isinstance(emit, Emit)
    assert list(emit.outcomes) == [keep.outcomes[0], failure]
    assert (machine.emitted, machine.failed) == (2, 1)


def test_what_is_on_record_takes_its_turn_and_no_attempt() -> None:
    world = started(Policy(ordered=True, keep=True), items=12, workers=1, slots=2)
    (worker,) = workers_of(world)
    running = len(worker.running)
    world.finish(worker, [0])
    world.resume(6)
    assert list(world.outcomes) == [0]  # behind the one that still runs
    world.bring_home()
    assert list(world.outcomes) == list(range(12))
    assert (world.machine.resumed, world.machine.attempts) == (6, 6)
    assert running == 2
