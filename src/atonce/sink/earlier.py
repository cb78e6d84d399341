"""The rows of an earlier run, each found by its item's index: `Earlier`."""

from __future__ import annotations

import threading
from array import array

from .done import Done
from .row import read_head

__all__ = ["Earlier"]


class Earlier:
    """The lines of the file at `path`, eight bytes of memory an item. It must not change while this is open."""

    def __init__(self, path: str) -> None:
        self.done = Done()
        self._places = array("q")  # offset of an index's line, -1 where there is none
        self._lock = threading.Lock()
        self._file = open(path, "rb")  # noqa: SIM115 - `close` does
        place = 0
        for line in self._file:
            head = read_head(line)
            if head is not None and head.index < (1 << 32):
                missing = head.index + 1 - len(self._places)
                self._places.extend([-1] * missing)
                self._places[head.index] = place
                self.done.add(head.index, head.input, ok=head.ok)
            place += len(line)

    def line(self, index: int) -> bytes | None:
        """The row, if there is one."""
        place = self._places[index] if 0 <= index < len(self._places) else -1
        if place < 0:
            return None
        with self._lock:
            self._file.seek(place)
            return self._file.readline()

    def close(self) -> None:
        self._file.close()
