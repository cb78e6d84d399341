"""`setup` is entered once a thread of execution and always exited."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import atonce

from ...errors import SetupFailed
from .shape import Shape, check
from .tools import Log, Odd, seven_fails

__all__: list[str] = []  # they are `contract.CHECKS`


class _Resource:
    """Writes down who enters, uses and exits it."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.name = uuid.uuid4().hex

    def _write(self, what: str) -> None:
        self.log.write(what, self.name, os.getpid(), threading.get_ident())

    def use(self) -> None:
        self._write("use")


class Resource(_Resource):
    """A sync one."""

    def __enter__(self) -> Resource:
        self._write("enter")
        return self

    def __exit__(self, *_: object) -> None:
        self._write("exit")


class AsyncResource(_Resource):
    """An async one."""

    async def __aenter__(self) -> AsyncResource:
        await asyncio.sleep(0)
        self._write("enter")
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._write("exit")


def _use(resource: _Resource, item: int) -> int:
    resource.use()
    return seven_fails(item)


def _resources(log: Log) -> dict[str, dict[str, tuple[str, ...]]]:
    """What happened to each, after seeing that each was entered once, used where it was entered, and exited once, last."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in log.lines():
        found.setdefault(line[1], []).append(line)
    for lines in found.values():
        whats = [line[0] for line in lines]
        assert whats[0] == "enter"
        assert whats.count("enter") == 1
        assert whats.count("exit") == 1, f"entered and not exited, of {len(found)}: {whats}"
        assert whats[-1] == "exit"
        assert len({line[2:] for line in lines}) == 1, "a resource was used in a thread other than the one that entered it"
    return {name: {line[0]: line[2:] for line in lines} for name, lines in found.items()}


def _setups(shape: Shape, log: Log) -> Iterator[Callable[[], Any]]:
    yield functools.partial(Resource, log)
    if shape.awaits:
        yield functools.partial(AsyncResource, log)


@check
def setup_is_entered_once_a_thread_and_always_exited(shape: Shape, folder: Path) -> None:
    for number, setup in enumerate(_setups(shape, log := Log(folder / "log"))):
        run = atonce.run(shape.of(_use), range(60), setup=setup, **shape.options)
        assert [outcome.index for outcome in run.failures] == [7]
        resources = _resources(log)
        assert resources
        if shape.threads_at_once is not None:
            assert len(resources) <= shape.threads_at_once * (number + 1)
        assert sum(line[0] == "use" for line in log.lines()) == 60 * (number + 1)


@check
def setup_is_exited_when_an_item_fails_the_run(shape: Shape, folder: Path) -> None:
    for setup in _setups(shape, log := Log(folder / "log")):
        try:
            list(atonce.map(shape.of(_use), range(60), setup=setup, **shape.options))
        except Odd:
            pass
        assert _resources(log)


@check
def setup_is_exited_when_the_loop_is_left_early(shape: Shape, folder: Path) -> None:
    for setup in _setups(shape, log := Log(folder / "log")):
        for _ in atonce.stream(shape.of(_use), itertools.count(100), setup=setup, **shape.options):
            break
        assert _resources(log)


@check
def setup_may_take_its_time_to_exit(shape: Shape, folder: Path) -> None:
    """Longer than the patience with workers that must end: a run that ends well waits for it."""
    atonce.run(shape.of(_use), range(4), setup=functools.partial(_SlowToExit, log := Log(folder / "log")), **shape.options)
    assert _resources(log)


class _SlowToExit(Resource):
    def __exit__(self, *_: object) -> None:
        time.sleep(0.8)
        self._write("exit")


@check
def setup_that_fails_ends_the_run_and_says_so(shape: Shape, folder: Path) -> None:
    for setup in (_setup_raises, _setup_exits, _setup_gives_nothing):
        try:
            atonce.run(shape.of(_use), range(5), setup=setup, **shape.options)
        except SetupFailed as error:
            assert "setup" in str(error)  # noqa: PT017
        else:
            raise AssertionError(f"{setup.__name__} went unnoticed")


def _setup_raises() -> None:
    raise LookupError("nobody there")


def _setup_exits() -> None:
    raise SystemExit(3)


def _setup_gives_nothing() -> None:
    return None
