"""A source less the items whose outcomes a journal holds: `Resumed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..errors import AtonceError
from ..outcome import Outcome, Recorded
from .identity import Print, prints

__all__ = ["Held", "Resumed"]


class Held(Protocol):
    """What the source side asks of a journal."""

    @property
    def last(self) -> int: ...

    def run(self, index: int) -> int: ...

    def outcome(self, index: int, item: Any, seen: Print) -> Outcome[Any]: ...

    def expect(self, first: int, seen: Sequence[Print]) -> None: ...

    def fewer(self, count: int) -> AtonceError: ...


class Resumed:
    """`source`, of which a batch is either items to run, at most as many as were asked for, or outcomes that are on record.

    Every item is read and compared with the one that the outcome is of, whatever became of it. At the first that is another
    one the items end, with `error`; so they do when the source ends before the journal does.
    """

    def __init__(self, source: Any, held: Held) -> None:
        self._source = source
        self.wait_closed = getattr(source, "wait_closed", None)
        self._held = held
        self._index = 0
        self._error: AtonceError | None = None

    @property
    def ended(self) -> bool:
        return self._error is not None or self._source.ended

    @property
    def pending(self) -> bool:
        return bool(self._source.pending)

    @property
    def error(self) -> BaseException | None:
        return self._error or self._source.error

    def read(self, count: int) -> list[Any]:
        run = self._held.run(self._index)
        items = self._source.read(run if run > 0 else min(count, -run))
        batch = self._recorded(items) if run > 0 else self._to_run(items)
        self._index += len(items)
        if self._source.ended and self.error is None and self._index <= self._held.last:
            self._error = self._held.fewer(self._index)
        return batch

    def close(self) -> None:
        self._source.close()

    def _to_run(self, items: list[Any]) -> list[Any]:
        self._held.expect(self._index, prints(items))
        return items

    def _recorded(self, items: list[Any]) -> list[Any]:
        batch = Recorded()
        try:
            for index, (item, seen) in enumerate(zip(items, prints(items), strict=True), self._index):
                batch.append(self._held.outcome(index, item, seen))
        except AtonceError as error:
            self._error = error
        return batch
