"""What the outputs that are tables have in common: `Table`."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Mapping

from .base import Sink
from .columns import Columns, Kind
from .done import Done
from .lock import SideLock
from .row import Again

__all__ = ["Table"]


class Table(Sink):
    """`columns` are those of the fields of the rows it is given; `retry_failed` takes failed rows out when opening."""

    def __init__(
        self,
        path: str,
        *,
        columns: Mapping[str, Kind],
        bodies: bool = True,
        retry_failed: Again = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._columns = Columns(columns, bodies=bodies)
        self._retry_failed = retry_failed
        self._clock = clock
        self._done = Done()
        self._lock = SideLock(path)
        self._begin()

    @abc.abstractmethod
    def _begin(self) -> None:
        """What a kind of table has beyond that, before it is opened."""

    @property
    def done(self) -> Done:
        return self._done
