"""Rows on their way to an output, in a thread of their own: `Writer`.

    put ──► rows that wait, bounded in bytes ──► the thread: make, write ──► commit when it is due
                                                     └─ an error is raised by the next put, or by close

Why a thread: an fsync takes milliseconds, in which whoever takes the results of a run would stand still; and rows that
came while a write was going on go in the next one together, so that a busy run pays for batches and an idle one has
each row written as it comes. It is also what commits when nothing comes any more. What can be made of a result by whoever
writes it is made there, such as the hash of its body: meanwhile whoever takes results takes the next ones. For many of them
all of that is done in a process of its own (`apart.py`), where the output and the system have it.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .base import Sink
from .row import Made, Make, rows_of

if TYPE_CHECKING:
    from .apart import Apart

__all__ = ["Writer"]

BATCH = 256  # rows in one write: what a kill may find not yet written is small, and a write costs little more than its rows
MOST = 64 << 20  # bytes that wait; whoever brings more waits for room
_ROW = 1000  # what a row counts for beside its body


class Writer:
    """`with Writer(sink) as writer:`, then `writer.put(row)`. All that was put is written and committed on leaving.

    `make` makes rows of what is `Raw`. `apart`: there will be so many that another process is worth its start.
    """

    def __init__(self, sink: Sink, make: Make | None = None, *, apart: bool = False) -> None:
        self._sink = sink
        self._make: Any = make
        self._apart = _apart(sink, make) if apart and make is not None and sink.forks else None
        self._changed = threading.Condition()
        self._rows: list[tuple[Made, int]] = []
        self._size = 0
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="atonce-output", daemon=True)

    def put(self, row: Made, size: int = 0) -> None:
        """Have it written soon; its body has `size` bytes. Raises what an earlier write raised."""
        with self._changed:
            while self._size >= MOST and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            if not self._rows:
                self._changed.notify_all()
            self._rows.append((row, _ROW + size))
            self._size += _ROW + size

    def close(self) -> None:
        """Write and commit what is left. Raises what a write raised."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        if self._apart is not None:
            self._apart.end()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Writer:
        if self._apart is not None and not self._apart.start():
            self._apart = None
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self.close()
        except BaseException as late:
            if late is not error:  # else it is on its way already
                raise

    def _run(self) -> None:
        due: float | None = None  # when what was written has to be committed
        apart = self._apart
        commit = self._sink.commit if apart is None else apart.commit
        try:
            while (rows := self._take(due)) is not None:
                if not rows:
                    commit()
                    due = None
                    continue
                if apart is None:
                    self._sink.write(rows_of(rows, self._make))
                else:
                    apart.write(rows)
                due = due or time.monotonic() + self._sink.commit_after
            commit()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._rows.clear()
                self._changed.notify_all()

    def _take(self, due: float | None) -> list[Made] | None:
        """The next rows; none when it is time to commit; None at the end."""
        with self._changed:
            while not self._ended:
                wait = None if due is None else due - time.monotonic()
                if wait is not None and wait <= 0:
                    return []
                if self._rows:
                    break
                self._changed.wait(wait)
            if not self._rows:
                return None
            taken = self._rows[:BATCH]
            del self._rows[:BATCH]
            self._size -= sum(size for _, size in taken)
            self._changed.notify_all()
            return [row for row, _ in taken]


def _apart(sink: Sink, make: Make) -> Apart | None:
    from . import apart

    return apart.Apart(sink, make) if apart.can_fork() else None
