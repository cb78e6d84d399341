"""`progress=True`: every outcome is counted, one display at a time, and the display ends however the run does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import atonce
from atonce.sink import progress as module
from atonce.sink.progress import Progress


class Told(Progress):
    """A display that only remembers."""

    def __init__(self, show: bool) -> None:
        super().__init__()
        self.show = show
        self.ended = 0

    def end(self, summary: Any = None) -> None:
        self.ended += 1


@pytest.fixture
def displays(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Told]]:
    made: list[Told] = []

    def make(show: bool, *, workers: bool = False) -> Told:
        made.append(Told(show))
        return made[-1]

    monkeypatch.setattr(module, "progress", make)
    yield made
    assert all(display.ended == 1 for display in made)


def odd_fails(item: int) -> int:
    if item % 2:
        raise ValueError(item)
    return item


def told(display: Told) -> tuple[bool, str, int | None, int, int]:
    return display.show, display.name, display.total, display.ok, display.failed


def test_every_outcome_is_counted(displays: list[Told]) -> None:
    atonce.run(odd_fails, range(20), model="threads", progress=True, name="odd")
    list(atonce.stream(odd_fails, range(20), model="threads", progress=True))
    list(atonce.map(odd_fails, iter(range(20)), model="threads", progress=True, errors="skip"))
    assert [told(display) for display in displays] == [
        (True, "odd", 20, 10, 10),
        (True, "odd_fails", 20, 10, 10),
        (True, "odd_fails", None, 10, 10),
    ]


def test_for_async_callers_too(displays: list[Told]) -> None:
    async def main() -> None:
        await atonce.arun(odd_fails, range(20), model="threads", progress=True)
        assert len([o async for o in atonce.astream(odd_fails, range(20), model="threads", progress=True)]) == 20
        assert len([v async for v in atonce.amap(abs, range(20), model="threads", progress=True)]) == 20

    asyncio.run(main())
    assert [(display.ok, display.failed) for display in displays] == [(10, 10), (10, 10), (20, 0)]


def test_a_run_within_another_is_not_shown(displays: list[Told]) -> None:
    def inner(item: int) -> int:
        return sum(atonce.map(abs, range(item), model="sync", progress=True))

    assert sum(atonce.map(inner, range(4), model="sync", progress=True)) == 4
    assert [display.show for display in displays] == [True, False, False, False, False]
    list(atonce.map(abs, range(3), model="sync", progress=True))
    assert displays[-1].show


@pytest.mark.parametrize("end", ["the function raises", "the source raises", "the loop is left"])
def test_the_display_ends_when_the_run_is_cut_short(displays: list[Told], end: str) -> None:
    def items() -> Iterator[int]:
        yield from range(10)
        if end == "the source raises":
            raise OSError("gone")

    fn = odd_fails if end == "the function raises" else abs
    with contextlib.suppress(ValueError, OSError):
        for _ in atonce.map(fn, items(), model="threads", progress=True):
            if end == "the loop is left":
                break
    list(atonce.map(abs, range(3), model="sync", progress=True))
    assert displays[-1].show  # the place is free again


def test_without_it_nothing_is_loaded(displays: list[Told]) -> None:
    list(atonce.map(abs, range(3), model="sync"))
    assert displays == []
