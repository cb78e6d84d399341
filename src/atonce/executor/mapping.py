"""`Executor.map` as Python 3.14 documents it, on every Python."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import Any

from ..worker.calls import call_each

__all__ = ["check", "mapped", "mapped_in_chunks"]


def check(chunksize: int, buffersize: int | None) -> None:
    """Refuse what the standard refuses, in its words."""
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")


def mapped(
    executor: Executor,
    fn: Callable[..., Any],
    arguments: Iterator[tuple[Any, ...]],
    timeout: float | None,
    buffersize: int | None,
) -> Iterator[Any]:
    """Submit now, all or the first `buffersize`; give results in order, and for each one taken submit one more."""
    end = None if timeout is None else time.monotonic() + timeout
    ahead = deque(executor.submit(fn, *args) for args in islice(arguments, buffersize))
    # weak: an executor that nobody else has ends, although somebody still reads its results
    submitting = None if buffersize is None else weakref.ref(executor)
    return _results(ahead, fn, arguments, end, submitting)


def _results(
    ahead: deque[Future[Any]],
    fn: Callable[..., Any],
    arguments: Iterator[tuple[Any, ...]],
    end: float | None,
    submitting: weakref.ref[Executor] | None,
) -> Iterator[Any]:
    try:
        while ahead:
            # neither the future nor its result may stay in a variable of this frame
            yield _result(ahead.popleft(), end)
            if submitting is not None and (executor := submitting()) is not None:
                ahead.extend(executor.submit(fn, *args) for args in islice(arguments, 1))
                del executor
    finally:
        for future in ahead:
            future.cancel()


def _result(future: Future[Any], end: float | None) -> Any:
    """Its result; when there is none, whether late or failed, it is not wanted any more."""
    try:
        try:
            return future.result(None if end is None else end - time.monotonic())
        finally:
            future.cancel()
    finally:
        del future  # else the exception's traceback would keep its own future alive


def mapped_in_chunks(
    executor: Executor,
    fn: Callable[..., Any],
    arguments: Iterator[tuple[Any, ...]],
    timeout: float | None,
    buffersize: int | None,
    size: int,
) -> Iterator[Any]:
    """The same with `size` calls in each that is submitted."""
    chunks = ((fn, chunk) for chunk in iter(lambda: tuple(islice(arguments, size)), ()))
    return _closing(mapped(executor, call_each, chunks, timeout, buffersize))


def _closing(chunks: Any) -> Iterator[Any]:
    try:
        for chunk in chunks:
            chunk.reverse()
            while chunk:  # a result that was given is not kept
                yield chunk.pop()
    finally:
        chunks.close()
