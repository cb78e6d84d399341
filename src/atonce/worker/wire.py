"""Frames between the near side and a worker process: a kind, a length, a payload.

    near → far    HELLO  what to be    JOB  the function    BATCH  indices and items    ABANDON  a slot    RELEASE  finish, end
                   RESIZE to so many slots
    far → near    READY  can be fed          REPORT what was finished        BROKEN   nothing can run here
                  UNREADABLE  a batch that cannot be unpickled         TALK  log records and warnings
                  MEMORY  how much it holds

Items and values are pickled a batch at a time: one pickle, one frame. cloudpickle is used throughout: for plain data it is
as fast as pickle (the same C code), and it carries what lives in `__main__`, a notebook or a closure by value. Exceptions
are pickled one by one and tried out, since many do not survive the trip.
"""

from __future__ import annotations

import pickle
import struct
import traceback
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from ..errors import NotCarried, RemoteError, RemoteTraceback
from ..outcome import WorkerId
from . import buffers
from .buffers import Large, dump
from .context import dumps
from .outbox import Failure, Report

__all__ = ["Decoder", "dump_batch", "dump_report", "dumps", "frame", "load_batch", "load_report", "loads", "not_carried"]

HELLO, BATCH, ABANDON, RELEASE, JOB, RESIZE, CANCEL = 1, 2, 3, 4, 5, 6, 7
READY, REPORT, BROKEN, UNREADABLE, TALK, MEMORY = 11, 12, 13, 14, 15, 16

_HEADER = struct.Struct("<BQ")
# Before the items of a batch or a report: how many, and the number of the first where they follow one another, else -1 and
# then their numbers.
_SPAN = struct.Struct("<qq")
# Bytes of a frame: more than any machine has, so a length beyond is none.
_MOST = 1 << 44

Payload = bytes | list[bytes]  # in parts where it is large, so that nothing is copied only to be joined


loads = pickle.loads


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(kind, len(payload)) + payload


class Decoder:
    """Bytes in, frames out, however the bytes were cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.garbled = False  # somebody else has written to the socket: nothing after this can be understood

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are whole now. They are cut off before anybody looks into one, which may raise."""
        buffer = self._buffer
        frames = []
        buffer += data
        at = 0
        while len(buffer) - at >= _HEADER.size:
            kind, length = _HEADER.unpack_from(buffer, at)
            if length > _MOST:
                self.garbled = True
                break
            end = at + _HEADER.size + length
            if len(buffer) < end:
                break
            frames.append((kind, bytes(memoryview(buffer)[at + _HEADER.size : end])))
            at = end
        del buffer[:at]
        return frames


def dump_batch(indices: Sequence[int], items: Sequence[Any], large: Large | None = None) -> Payload:
    """The indices are readable without unpickling an item: a worker that cannot unpickle can say what.

    The large buffers of the items are put into `large`; `load_batch` wants them back in this order.
    """
    return _numbered(indices, items, large)


def _numbered(indices: Sequence[int], value: Any, large: Large | None) -> Payload:
    span = _span(indices)
    if span is not None:
        head = _SPAN.pack(len(span), span.start)
    else:
        head = _SPAN.pack(len(indices), -1) + array("q", indices).tobytes()
    parts = [head, *dump(value, large)]
    return parts if sum(map(len, parts)) >= buffers.LEAST else b"".join(parts)


def _span(indices: Sequence[int]) -> range | None:
    """The same numbers, where they follow one another."""
    if isinstance(indices, range):
        return indices
    if not indices or indices[-1] - indices[0] != len(indices) - 1:
        return None
    span = range(indices[0], indices[-1] + 1)
    return span if [*span] == (indices if isinstance(indices, list) else [*indices]) else None


def size(payload: Any, large: Sequence[Any]) -> int:
    """The bytes of a batch or a report."""
    parts = payload if isinstance(payload, list) else (payload,)
    return sum(map(len, parts)) + sum(map(len, large))


def batch_indices(payload: Any) -> Sequence[int]:
    """The numbers of the items in a batch or a report."""
    count, first = _SPAN.unpack_from(payload)
    if first >= 0:
        return range(first, first + count)
    numbers = array("q")
    numbers.frombytes(payload[_SPAN.size : _SPAN.size + 8 * count])
    return numbers.tolist()


def load_batch(payload: Any, large: Sequence[Any] = ()) -> Iterable[tuple[int, Any]]:
    """(index, item) pairs. Raises what unpickling an item raises."""
    indices = batch_indices(payload)
    items = _unnumbered(payload, indices, large)
    if large:  # each goes as soon as it was run, not when all were
        items = [*reversed(items)]
        return zip(indices, map(list.pop, repeat(items, len(items))), strict=True)
    return zip(indices, items, strict=True)


def _unnumbered(payload: Any, indices: Sequence[int], large: Sequence[Any]) -> Any:
    at = _SPAN.size if isinstance(indices, range) else _SPAN.size + 8 * len(indices)
    with memoryview(payload) as whole, whole[at:] as pickled:
        return loads(pickled, buffers=large)


def dump_report(report: Report, large: Large | None = None) -> Payload:
    """Columns of numbers as arrays; a value that cannot be pickled becomes a failure of its item.

    `large` as in `dump_batch`.
    """
    failures = [(f._replace(error=None), *dump_error(f.error)) for f in report.failures]  # type: ignore[arg-type]
    numbers = [failure.index for failure in report.failures]
    try:
        indices = [*report.indices, *numbers] if numbers else report.indices
        return _numbered(indices, (_columns(report), failures), large)
    except BaseException:  # what pickling a value raises, SystemExit included, is that value's affair
        kept, bad = [], []
        for k, value in enumerate(report.values):
            try:
                dump(value, Large())
            except BaseException as error:
                wrong = not_carried("its result", error)
                row = [column[k] for column in report[:6]]
                bad.append((Failure(row[0], None, row[2], row[3], row[4], row[5]), *dump_error(wrong)))  # type: ignore[arg-type]
            else:
                kept.append(k)
        rest = Report._make([*([column[k] for k in kept] for column in report[:6]), (), 0])
        if large is not None:
            large.clear()
        numbers = [*(failure.index for failure, *_ in bad), *numbers]
        return _numbered([*rest.indices, *numbers], (_columns(rest), bad + failures), large)


def _columns(report: Report) -> tuple[Any, ...]:
    workers: Any = [*report.workers]
    if workers and workers.count(workers[0]) == len(workers):
        workers = tuple(workers[0])  # one for all, and plain: a class would have to be looked up on both sides
    cpu: Any = report.cpu
    cpu = float(cpu[0]) if cpu and cpu.count(cpu[0]) == len(cpu) else array("d", cpu).tobytes()
    return (report.values, *_times(report.started, report.ended), cpu, workers)


def _times(started: Sequence[float], ended: Sequence[float]) -> tuple[bytes | None, bytes]:
    """Where each item begins with the end of the one before it, which is what items of one slot do: one row of times.

    They are the same objects then, so that comparing them costs nothing; and the far side makes one float of the two.
    """
    if started and started[1:] == ended[:-1]:
        return None, array("d", (started[0], *ended)).tobytes()
    return array("d", started).tobytes(), array("d", ended).tobytes()


def load_report(payload: Any, large: Sequence[Any] = ()) -> Report:
    """Raises what unpickling a value raises."""
    indices = batch_indices(payload)
    (values, started, ended, cpu, workers), failed = _unnumbered(payload, indices, large)
    if failed:
        indices = indices[: len(values)]
    if isinstance(workers, tuple):
        workers = [WorkerId._make(workers)] * len(indices)
    failures = [failure._replace(error=load_error(*error)) for failure, *error in failed]
    if started is None:
        times = _floats(ended)
        started, ended = times[:-1], times[1:]
    else:
        started, ended = _floats(started), _floats(ended)
    cpu = [cpu] * len(indices) if isinstance(cpu, float) else _floats(cpu)
    return Report(indices, values, started, ended, cpu, workers, failures, size(payload, large))


def _floats(column: bytes) -> list[float]:
    # a list: an array would make its numbers anew each time that somebody goes through it
    return array("d", column).tolist()


def dump_error(error: BaseException) -> tuple[bytes | None, str, str]:
    """(pickle or None, one line, the traceback as text)."""
    line = "".join(traceback.format_exception_only(error)).strip()
    text = "".join(traceback.format_exception(error))
    try:
        pickled = dumps(error)
        loads(pickled)
    except Exception:
        return None, line, text
    return pickled, line, text


def load_error(pickled: bytes | None, line: str, text: str) -> BaseException:
    """The exception, with the remote traceback as its cause, as concurrent.futures does it."""
    error: BaseException | None = None
    if pickled is not None:
        try:
            error = loads(pickled)
        except Exception:
            error = None
    if error is None:
        error = RemoteError(line, causes=("the exception itself cannot be pickled",), hint="its traceback is __cause__")
    error.__cause__ = RemoteTraceback(text)
    return error


def not_carried(what: str, error: BaseException, item: str | None = None) -> NotCarried:
    wrong = NotCarried(
        f"{what} cannot be pickled: {type(error).__name__}: {error}",
        item=item,
        causes=("it holds a lock, a socket, an open file or a generator",),
        hint='give and return plain data, make the rest in setup=, or use model="threads"',
    )
    wrong.__cause__ = error
    return wrong
