"""Arrays to worker processes and back: every byte is written before and read afterwards, by the caller.

joblib maps what goes out (its default from 1 MB on) and pickles what comes back; an executor pickles both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .case import Case, Contender, Once, Target

__all__ = ["CASES"]

PROCESSES = 2
MEGABYTES = 16


def work(array: Any) -> Any:
    """One array in, another of the same size out."""
    return array + 1


def _arrays(n: int) -> Iterator[Any]:
    import numpy

    for number in range(n):
        yield numpy.full(MEGABYTES << 17, float(number))


def _read(results: Iterable[Any]) -> int:
    """How many there are. All are kept, and read: memory that nobody looks at costs nothing."""
    kept = [(result, float(result.sum())) for result in results]
    return len(kept)


def _contender(run: Callable[[int], Iterable[Any]]) -> Contender:
    def contender(n: int) -> Iterator[Once]:
        yield lambda: _read(run(n))

    return contender


def _ours(n: int) -> Iterable[Any]:
    import atonce

    return atonce.map(work, _arrays(n), model="processes", parallelism=PROCESSES)


def _joblib(n: int) -> Iterator[Once]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=PROCESSES, return_as="generator") as parallel:
        yield lambda: _read(parallel(delayed(work)(array) for array in _arrays(n)))


def _executor(n: int) -> Iterator[Once]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(PROCESSES) as pool:
        yield lambda: _read(pool.map(work, _arrays(n)))


CASES = (
    Case(
        "carry",
        f'arrays of {MEGABYTES} MB to processes and back, atonce.map, model="processes", workers started anew each time',
        n=40,
        quick_n=10,
        unit="s",
        target=Target("cost", 1.0),
        ours=_contender(_ours),
        peers={"joblib, loky": _joblib, "ProcessPoolExecutor.map": _executor},
    ),
)
