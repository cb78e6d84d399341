"""However a run ends, early, by an error or by Ctrl-C, nothing is left and what was finished is kept."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator
from pathlib import Path

import atonce

from ...errors import Interrupted, UsageError
from .shape import Shape, check
from .tools import Log, double

__all__: list[str] = []  # they are `contract.CHECKS`


@check
def leaving_early_ends_the_run(shape: Shape, folder: Path) -> None:
    read = itertools.count()
    values = atonce.map(shape.of(double), read, **shape.options)
    assert list(itertools.islice(values, 3)) == [0, 2, 4]
    values.close()  # type: ignore[attr-defined]
    where = next(read)
    assert list(values) == []
    assert next(read) == where + 1


@check
def dropping_the_iterator_ends_the_run(shape: Shape, folder: Path) -> None:
    for outcome in atonce.stream(shape.of(double), itertools.count(), **shape.options):
        assert outcome.ok
        break
    gc.collect()  # where there is no reference counting


@check
def an_iterator_that_was_never_begun_has_run_nothing(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    values = atonce.map(shape.of(log.write), range(5), **shape.options)
    values.close()  # type: ignore[attr-defined]
    assert log.lines() == []


@check
def a_source_that_raises_ends_the_run_after_what_it_gave(shape: Shape, folder: Path) -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    seen: list[int] = []
    try:
        for value in atonce.map(shape.of(double), source(), **shape.options):
            seen.append(value)  # noqa: PERF402 - one by one, until it raises
    except LookupError as error:
        assert str(error) == "no more"  # noqa: PT017
    else:
        raise AssertionError("what the source raised was swallowed")
    assert seen == [0, 2, 4, 6, 8]
    try:
        atonce.run(shape.of(double), source(), **shape.options)
    except LookupError as error:
        assert [outcome.value for outcome in error.run.outcomes] == [0, 2, 4, 6, 8]  # type: ignore[attr-defined]  # noqa: PT017


@check
def a_source_that_cannot_be_begun_leaves_nothing_open(shape: Shape, folder: Path) -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise LookupError("cannot begin")

    for call in (atonce.map, atonce.stream, lambda *args, **options: [atonce.run(*args, **options)]):
        try:
            list(call(shape.of(double), Broken(), **shape.options))
        except LookupError:
            pass
        else:
            raise AssertionError("what the source raised was swallowed")


@check
def wrong_usage_is_told_before_anything_runs(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")

    def source() -> Iterator[int]:
        log.write("read")
        yield 1

    for wrong in ({"timeout": -1}, {"no_such": 1}, {"errors": "maybe"}, {"per_key": 1}, {"concurrency": 0}):
        for call in (atonce.map, atonce.stream, atonce.run):
            try:
                call(shape.of(log.write), source(), **{**shape.options, **wrong})
            except UsageError as error:
                assert next(iter(wrong)) in str(error)  # noqa: PT017
            else:
                raise AssertionError(f"{wrong} was taken")
    assert log.lines() == []


@check
def an_interrupt_keeps_what_was_finished(shape: Shape, folder: Path) -> None:
    """Ctrl-C while the source is read: five items were done, since with one in flight the sixth was not wanted before."""

    def source() -> Iterator[int]:
        yield from range(5)
        raise KeyboardInterrupt

    one = {**shape.options, "rate": 1e9}
    one.update({name: 1 for name in ("parallelism", "concurrency") if name in one})
    if "parallelism" not in one and "concurrency" not in one and shape.options["model"] == "auto":
        one["concurrency"] = 1
    try:
        atonce.run(shape.of(double), source(), **one)
    except Interrupted as error:
        assert error.run.values == [0, 2, 4, 6, 8]  # noqa: PT017
    else:
        raise AssertionError("the interrupt was swallowed")
