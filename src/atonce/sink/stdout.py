"""`-o -`: the rows of `.jsonl` on stdout. It cannot be resumed."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from .base import Sink
from .done import Done
from .files import trouble
from .row import Again, Row, encoded, inlined

__all__ = ["Stdout"]


class Stdout(Sink):
    """Each write is flushed: whoever reads gets a row when it is there. A reader that has gone is a BrokenPipeError."""

    resumable = False

    def __init__(self, path: str = "-", *, bodies: bool = True, retry_failed: Again = False) -> None:
        self._bodies = bodies
        self._done = Done()

    @property
    def done(self) -> Done:
        return self._done

    def open(self) -> None:
        pass

    def write(self, rows: Iterable[Row]) -> None:
        lines = b"".join([encoded(row, inlined(row) if self._bodies else row.fields) for row in rows])
        with trouble("stdout"):
            sys.stdout.buffer.write(lines)
            sys.stdout.buffer.flush()

    def commit(self) -> None:
        pass

    def close(self) -> None:
        pass
