"""The machine under any sequence of events: the promises hold, and it always ends. What they are is in `engine_world`."""

from __future__ import annotations

import dataclasses
import random

import pytest
from engine_world import Fake, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from atonce import Rate, Retry
from atonce.engine.machine import Policy

policies = st.builds(
    Policy,
    ordered=st.booleans(),
    retry=st.none() | st.builds(Retry, attempts=st.integers(1, 4), base=st.sampled_from([0.01, 5.0])),
    timeout=st.none() | st.sampled_from([1.0, 10.0]),
    rate=st.none() | st.builds(Rate, count=st.sampled_from([0.5, 20.0]), burst=st.sampled_from([1, 5])),
    total=st.none() | st.just(100),
    keep=st.booleans(),
    max_tasks=st.none() | st.integers(1, 9),
    max_memory=st.none() | st.just(1000),
)


@st.composite
def keyed(draw: st.DrawFn) -> Policy:
    policy = draw(policies)
    per_key = draw(st.sampled_from(["no key", None, 1, 2, 3, "auto"]))
    return policy if per_key == "no key" else dataclasses.replace(policy, key=lambda item: item % 3, per_key=per_key)


class RetryLater(ValueError):
    retry_after = 3.0


class Dead(ValueError):
    unreachable = True


ERRORS = [None, None, None, ValueError("no"), RetryLater("later"), Dead(), KeyboardInterrupt(), SystemExit(3)]


class Promises(RuleBasedStateMachine):
    world: World

    @initialize(
        policy=keyed(),
        workers=st.integers(1, 3),
        slots=st.integers(1, 3),
        can_abandon=st.booleans(),
        can_kill=st.booleans(),
        items=st.none() | st.integers(0, 60),
    )
    def begin(self, **given: object) -> None:
        self.world = World(**given)  # type: ignore[arg-type]

    # hypothesis evaluates preconditions before `begin` has run, too
    def some(self, **like: bool) -> list[Fake]:
        world = getattr(self, "world", None)
        if world is None or world.stopped is not None:
            return []
        return [worker for worker in world.workers.values() if all(bool(getattr(worker, k)) is v for k, v in like.items())]

    def pick(self, data: st.DataObject, **like: bool) -> Fake:
        return data.draw(st.sampled_from(self.some(**like)))

    @precondition(lambda self: self.some(ready=False))
    @rule(data=st.data())
    def boot(self, data: st.DataObject) -> None:
        self.world.boot(self.pick(data, ready=False))

    @precondition(lambda self: self.some())
    @rule(most=st.none() | st.integers(0, 9))
    def read(self, most: int | None) -> None:
        self.world.read(most)

    @precondition(lambda self: self.some() and self.world.policy.keep)
    @rule(most=st.integers(1, 9))
    def resume(self, most: int) -> None:
        self.world.resume(most)

    @precondition(lambda self: self.some(running=True))
    @rule(data=st.data(), errors=st.lists(st.sampled_from(ERRORS), max_size=3))
    def finish(self, data: st.DataObject, errors: list[BaseException | None]) -> None:
        worker = self.pick(data, running=True)
        slots = data.draw(st.lists(st.sampled_from(sorted(worker.running)), min_size=1, unique=True))
        self.world.finish(worker, slots, errors)

    @precondition(lambda self: self.some(running=True))
    @rule(data=st.data(), rounds=st.integers(1, 20))
    def work_well(self, data: st.DataObject, rounds: int) -> None:
        """Much goes well between two faults; it also makes the look-ahead grow."""
        for _ in range(rounds):
            for worker in self.some(running=True):
                if not worker.killed:
                    self.world.finish(worker, list(worker.running))
            self.world.read()

    @precondition(lambda self: self.some(ready=True))
    @rule(data=st.data(), status=st.sampled_from([3, -9, -11, None]), named=st.sampled_from([None, None, 0, 1]))
    def die(self, data: st.DataObject, status: int | None, named: int | None) -> None:
        self.world.die(self.pick(data, ready=True), status, named=named)

    @precondition(lambda self: self.some(ready=False))
    @rule(data=st.data())
    def die_before_it_is_ready(self, data: st.DataObject) -> None:
        self.world.die(self.pick(data, ready=False), booted=False)

    @precondition(lambda self: self.some(killed=True))
    @rule(data=st.data())
    def die_as_commanded(self, data: st.DataObject) -> None:
        self.world.die(self.pick(data, killed=True))

    @precondition(lambda self: self.some(todo=True))
    @rule(data=st.data(), count=st.integers(1, 5), arrived=st.booleans())
    def cannot_travel(self, data: st.DataObject, count: int, arrived: bool) -> None:
        (self.world.unreadable if arrived else self.world.uncarried)(self.pick(data, todo=True), count)

    @precondition(lambda self: self.some(ghosts=True))
    @rule(data=st.data(), error=st.sampled_from(ERRORS))
    def come_back_late(self, data: st.DataObject, error: BaseException | None) -> None:
        self.world.haunt(self.pick(data, ghosts=True), error)

    @precondition(lambda self: self.some(ready=True))
    @rule(data=st.data(), nbytes=st.sampled_from([999, 1001]))
    def weigh(self, data: st.DataObject, nbytes: int) -> None:
        self.world.weigh(self.pick(data, ready=True), nbytes)

    @precondition(lambda self: self.some(released=True, running=False, todo=False))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.world.end(self.pick(data, released=True, running=False, todo=False))

    @rule(seconds=st.sampled_from([0.01, 1.0, 30.0]))
    def wait(self, seconds: float) -> None:
        if self.world.stopped is None:
            self.world.wait(seconds)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.bring_home()


TestPromises = Promises.TestCase
TestPromises.settings = settings(stateful_step_count=40)


def wander(seed: int, steps: int = 300) -> World:
    """A long random walk: hypothesis shrinks well and goes not far; this goes far."""
    chance = random.Random(seed)
    per_key = chance.choice(["no key", None, 1, 2, 3, "auto"])
    world = World(
        Policy(
            ordered=chance.random() < 0.5,
            retry=chance.choice([None, Retry(attempts=3, base=0.01)]),
            timeout=chance.choice([None, 2.0]),
            rate=chance.choice([None, None, Rate(50, burst=4)]),
            key=None if per_key == "no key" else lambda item: item % 3,
            per_key=None if per_key == "no key" else per_key,
            total=chance.choice([None, 400]),
            keep=chance.random() < 0.3,
            max_tasks=chance.choice([None, None, 1, 7]),
            max_memory=chance.choice([None, 1000]),
        ),
        workers=chance.randint(1, 4),
        slots=chance.randint(1, 4),
        can_abandon=chance.random() < 0.3,
        can_kill=chance.random() < 0.7,
        items=chance.choice([None, 400]),
    )
    for _ in range(steps):
        if world.stopped is not None:
            break
        workers = list(world.workers.values())
        worker = chance.choice(workers) if workers else None
        roll = chance.random()
        if world.policy.keep and chance.random() < 0.1:
            world.resume(chance.choice([1, 7]))
        elif worker is None or roll < 0.2:
            world.read(chance.choice([None, 1, 5]))
        elif not worker.ready:
            world.boot(worker)
        elif worker.released and not worker.has and not worker.killed:
            world.end(worker)
        elif worker.killed or roll < 0.23:
            world.die(worker, named=chance.choice([None, 0, 1]))
        elif worker.running and roll < 0.85:
            slots = chance.sample(sorted(worker.running), chance.randint(1, len(worker.running)))
            world.finish(worker, slots, [chance.choice(ERRORS) for _ in slots])
        elif worker.ghosts and roll < 0.9:
            world.haunt(worker, chance.choice(ERRORS))
        elif worker.todo and roll < 0.92:
            (world.unreadable if chance.random() < 0.5 else world.uncarried)(worker, chance.randint(1, 4))
        elif roll > 0.95:
            world.weigh(worker, chance.choice([999, 1001]))
        else:
            world.wait(chance.choice([0.01, 0.5, 3.0]))
    world.bring_home()
    return world


@pytest.mark.parametrize("first", range(0, 300, 30), ids="seeds from {}".format)
def test_long_walks(first: int) -> None:
    for seed in range(first, first + 30):
        wander(seed)
