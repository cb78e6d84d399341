"""Items of an input that are the same as one before: run once, recorded each: `Repeats`.

read ──► mark ──► seen before? ── no ──► run
                      │ yes
                      ├── the first one has ended ──► recorded now, by how that ended
                      └── it has not ──► waits for it, as two numbers
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

from atonce.source.inputs import Entry

__all__ = ["How", "Mark", "Marks", "Repeats"]

Mark = tuple[int, int]  # 64 and 32 bits


class How(NamedTuple):
    """How an item ended, as far as its repeats need to know."""

    ok: bool
    kind: str = ""
    stays: bool = False


class Marks:
    """`{mark: index}` in 16 bytes a slot, of which up to two thirds are used: a dict would take ten times as much.

    That two items share their 96 bits by chance is one in 10¹⁷ for a million of them.
    """

    __slots__ = ("_firsts", "_indices", "_seconds", "_size", "_used")

    def __init__(self) -> None:
        self._make(1 << 10)

    def __len__(self) -> int:
        return self._used

    def first(self, mark: Mark, index: int) -> int:
        """The index that this mark was first given with: this one, if it is new."""
        place = self._place(*mark)
        known = self._indices[place]
        if known:
            return known - 1
        self._put(place, *mark, index + 1)
        if self._used * 3 > self._size * 2:
            self._grow()
        return index

    def _place(self, first: int, second: int) -> int:
        """The slot of a mark, or the free one that it would get."""
        firsts, seconds, indices, last = self._firsts, self._seconds, self._indices, self._size - 1
        place = first & last
        while indices[place] and not (firsts[place] == first and seconds[place] == second):
            place = (place + 1) & last
        return place

    def _put(self, place: int, first: int, second: int, number: int) -> None:
        self._firsts[place], self._seconds[place], self._indices[place] = first, second, number
        self._used += 1

    def _make(self, size: int) -> None:
        self._size, self._used = size, 0
        self._firsts = array("Q", bytes(8 * size))
        self._seconds = array("I", bytes(4 * size))
        self._indices = array("I", bytes(4 * size))  # from 1; 0: free

    def _grow(self) -> None:
        old = self._firsts, self._seconds, self._indices
        self._make(self._size * 2)
        for first, second, number in zip(*old, strict=True):
            if number:
                self._put(self._place(first, second), first, second, number)


class Repeats:
    """`mark` tells of an item what is the same in another one; None: it is the same as none.

    How an item ended may be told in another thread than the one that reads. `hand_on`
    is called for each repeat, with its entry, the index of the first one, and how that ended: in either thread.
    """

    def __init__(self, mark: Callable[[Any], Mark | None], hand_on: Callable[[Entry, int, How], None]) -> None:
        self._mark = mark
        self._hand_on = hand_on
        self._marks = Marks()
        self._lock = threading.Lock()
        self._ends = bytearray()  # of each index: 0, it has not ended; else 1 + where in `_kinds` it says how
        self._kinds: dict[How, int] = {}
        self._known: list[How] = []
        self._waiting: dict[int, array[int]] = {}

    def is_first(self, entry: Entry) -> bool:
        """Whether an item is to be run. One that is not is handed on when it is known how the first ended."""
        mark = self._mark(entry.item)
        first = entry.index if mark is None else self._marks.first(mark, entry.index)
        if first == entry.index:
            return True
        with self._lock:
            end = self._ends[first] if first < len(self._ends) else 0
            if not end:
                self._waiting.setdefault(first, array("Q")).extend(entry[:3])
                return False
        self._hand_on(entry, first, self._known[end - 1])
        return False

    def held(self, entry: Entry, how: How) -> None:
        """An item is on record already, and ended so."""
        mark = self._mark(entry.item)
        if mark is not None and self._marks.first(mark, entry.index) == entry.index:
            self.ended(entry, how)

    def ended(self, entry: Entry, how: How) -> None:
        """An item that was run has ended: those that wait for it are handed on."""
        index = entry.index
        with self._lock:
            if index >= len(self._ends):
                self._ends.extend(bytes(index + 4096 - len(self._ends)))
            kind = self._kinds.get(how)
            if kind is None:
                kind = self._kinds[how] = len(self._known)
                self._known.append(how)
            self._ends[index] = kind + 1
            waiting = self._waiting.pop(index, None)
        if waiting is not None:
            each = iter(waiting)
            for numbers in zip(each, each, each, strict=True):
                self._hand_on(Entry(*numbers, entry.item), index, how)
