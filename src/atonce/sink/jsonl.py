"""`-o out.jsonl`: a JSON object a line, one for each item, in the order in which they finish."""

from __future__ import annotations

from collections.abc import Iterable

from .base import Sink
from .done import Done
from .record import RecordFile
from .row import Again, Row, encoded, inlined, long_line, stands

__all__ = ["Jsonl"]


class Jsonl(Sink):
    """`bodies=False` leaves the bodies out. `retry_failed` takes failed rows out when opening, so that they run
    again."""

    forks = True

    def __init__(self, path: str, *, bodies: bool = True, retry_failed: Again = False) -> None:
        self._bodies = bodies
        self._file = RecordFile(
            path,
            keep=(lambda head: stands(head.ok, head.kind, retry_failed)) if retry_failed else None,
            kinds=isinstance(retry_failed, frozenset),
        )

    @property
    def done(self) -> Done:
        return self._file.done

    def open(self) -> None:
        self._file.open()

    def write(self, rows: Iterable[Row]) -> None:
        lines: list[bytes] = []
        for row in rows:
            if self._bodies and row.body is not None and row.body.stored is not None:
                self._file.append(b"".join(lines), len(lines))
                lines.clear()
                self._file.append_long(long_line(row))
                row.body.let_go()
            else:
                lines.append(encoded(row, inlined(row) if self._bodies else row.fields))
        self._file.append(b"".join(lines), len(lines))

    def commit(self) -> None:
        self._file.commit()

    def close(self) -> None:
        self._file.close()
