"""As many run at once as there are slots, never more, and no more is read ahead than there is room for."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import atonce

from .shape import Shape, check
from .tools import Log, Meeting, double

__all__: list[str] = []  # they are `contract.CHECKS`


@check
def as_many_as_there_are_slots_run_at_once(shape: Shape, folder: Path) -> None:
    if shape.at_once is None:
        return
    fn = shape.of(Meeting(folder / "meeting", shape.at_once), beside=True)
    assert list(atonce.map(fn, range(shape.at_once), **shape.options)) == list(range(shape.at_once))


@check
def never_more_than_there_are_slots_run_at_once(shape: Shape, folder: Path) -> None:
    if shape.at_once is None:
        return
    log = Log(folder / "log")
    atonce.run(shape.of(_Counted(log), beside=True), range(60), **shape.options)
    assert 1 <= _high_water(log.lines()) <= shape.at_once


@check
def never_more_than_per_key_run_at_once(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    fn = shape.of(_Counted(log, modulo=3), beside=True)
    run = atonce.run(fn, range(45), key=_modulo_three, per_key=1, **shape.options)
    assert run.values == list(range(45))
    for key in "012":
        assert _high_water([line for line in log.lines() if line[1] == key]) == 1


class _Counted:
    def __init__(self, log: Log, modulo: int = 1) -> None:
        self.log = log
        self.modulo = modulo

    def __call__(self, item: int) -> int:
        self.log.write("+", item % self.modulo)
        self.log.write("-", item % self.modulo)
        return item


def _modulo_three(item: int) -> int:
    return item % 3


def _high_water(lines: list[tuple[str, ...]]) -> int:
    return max(itertools.accumulate(1 if line[0] == "+" else -1 for line in lines))


@check
def an_endless_source_is_read_only_as_far_as_there_is_room(shape: Shape, folder: Path) -> None:
    taken = ahead = 0

    def source() -> Iterator[int]:
        nonlocal ahead
        for number in itertools.count():
            ahead = max(ahead, number - taken)
            yield number

    with contextlib.closing(atonce.map(shape.of(double), source(), **shape.options)) as values:  # type: ignore[type-var]
        for value in itertools.islice(values, 20_000):
            assert value == 2 * taken
            taken += 1
    # 8192 items is the most that a worker is given, however short they are; its slots may have as many in reports
    assert ahead <= 3 * 8192 * shape.options.get("parallelism", 2) + 1000


@check
def the_source_is_read_in_the_callers_thread(shape: Shape, folder: Path) -> None:
    """A cursor of a database, for one, may be used in its own thread only."""
    threads: set[int] = set()

    def source() -> Iterator[int]:
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    atonce.run(shape.of(double), source(), **shape.options)
    assert threads == {threading.get_ident()}
