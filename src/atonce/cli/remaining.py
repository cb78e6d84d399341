"""What is left to do of an input, and which item an outcome belongs to: `Remaining`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from atonce.errors import InputError, OutputError
from atonce.sink.base import Sink
from atonce.sink.row import Again, stands
from atonce.source.inputs import Entry, Input

from .repeats import How, Repeats

__all__ = ["Remaining"]


class Remaining:
    """The items that an output, when it is opened, does not hold yet; to be iterated once.

    The engine counts the items it is given from 0 and knows nothing of those that were left out. So the entry of each
    item that it has read is kept here under that number until its outcome comes: as many as are in flight, never all.
    Neither the function nor what crosses to a worker needs to carry a number.

    Where the output is made anew, `revise` gets the row that an earlier run has of an item, as a line of JSON, and the item,
    and gives the item to run. `changes` are the likely causes where an item is not the one that was recorded.

    With `repeats` set before it is iterated, an item that is the same as one before is not given out.
    """

    repeats: Repeats | None = None

    def __init__(
        self,
        entries: Input,
        sink: Sink,
        output: str,
        revise: Callable[[bytes | None, Any], Any] = lambda row, item: item,
        changes: Sequence[str] = ("the input was changed", "the output was made by another function"),
    ) -> None:
        self._entries = entries
        self._sink = sink
        self._output = output
        self._revise = revise
        self._changes = changes
        self._in_flight: dict[int, Entry] = {}
        self.count: int | None = None
        self.total: int | None = None  # of the input, where it has been counted
        self.read = 0

    def check(self, again: Again = False) -> int:
        """How many there are, of an input that can be read twice; raises where a done one was changed since. `again`: failures
        on record that count as not done."""
        count = 0
        for _ in self._left(again=again):
            count += 1
        return count

    def __iter__(self) -> Iterator[Any]:
        repeats = self.repeats
        for entry in self._left(repeats):
            if repeats is not None and not repeats.is_first(entry):
                continue
            if self._sink.before is not None:
                entry = entry._replace(item=self._revise(self._sink.earlier(entry.index), entry.item))
            self._in_flight[self.read] = entry
            self.read += 1
            yield entry.item

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError("nobody knows how many items there are")
        return self.count

    def entry(self, number: int) -> Entry:
        """The entry of the item that was read as this number; it is forgotten with that."""
        return self._in_flight.pop(number)

    def of(self, number: int) -> Entry | None:
        """The entry of an item that is still under way."""
        return self._in_flight.get(number)

    def _left(self, repeats: Repeats | None = None, *, again: Again = False) -> Iterator[Entry]:
        done, last = self._sink.done, -1
        known = self._sink.before or done
        for entry in self._entries:
            last = entry.index
            held = done.get(last) if not again or self._stands(last, again) else 0
            was = held if again else held or known.get(last)
            if was and was != entry.fingerprint:
                raise self._changed(f"{self._entries.where(entry)} is not what item {last} in it was made from")
            if not held:
                yield entry
            elif repeats is not None:
                ok = done.is_ok(last)
                repeats.held(entry, How(ok, "" if ok else done.kind(last)))
        if self.total is not None and last + 1 < self.total:
            what = f"{self._entries.name} had {self.total} items when they were counted, and has {last + 1} now"
            raise InputError(f"{what}: it was changed during the run", hint="run the same command again with all of it")
        most = max(done.last, known.last)
        if again:
            most = next((index for index in range(most, last, -1) if self._stands(index, again)), last)
        if last < most:
            raise self._changed(f"{self._entries.name} has {last + 1} items, but item {most} is in it")

    def _stands(self, index: int, again: Again) -> bool:
        done = self._sink.done
        return index in done and stands(done.is_ok(index), done.kind(index), again)

    def _changed(self, what: str) -> OutputError:
        return OutputError(
            f"{self._output} belongs to another run: {what}",
            causes=self._changes,
            hint="name another output, or undo the change and run the same command again",
        )
