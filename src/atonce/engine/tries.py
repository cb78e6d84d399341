"""How often each item was tried, what is tried again and when, and whom a death has named before."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat

from ..options import Retry
from .backlog import Queued
from .finished import Batch
from .history import Again
from .retry import Backoff

__all__ = ["Tries"]


class Tries:
    """Of items that have not succeeded at their first try; of all others it knows nothing."""

    def __init__(self, retry: Retry | None, rng: random.Random) -> None:
        self._backoff = Backoff(retry, rng) if retry is not None else None
        self._tries: dict[int, int] = {}
        self._struck: set[int] = set()
        self._cut_short: dict[int, int] = {}  # how many of an item's tries a death ended: those are not `retry`'s to count
        self._waiting: list[tuple[float, int, Queued]] = []
        self._put_off: list[Again] = []  # since `put_off` was asked last

    def __len__(self) -> int:
        """How many wait for another try."""
        return len(self._waiting)

    @property
    def times(self) -> list[float]:
        """When those start."""
        return [at for at, _, _ in list(self._waiting)]

    @property
    def next_at(self) -> float:
        """When the first of them does."""
        return self._waiting[0][0] if self._waiting else math.inf

    def due(self, now: float) -> Iterator[Queued]:
        """Those whose time has come; it no longer has them."""
        while self._waiting and self._waiting[0][0] <= now:
            yield heapq.heappop(self._waiting)[2]

    def put_off(self) -> list[Again]:
        """Items that are to be tried again, since the last time."""
        put_off, self._put_off = self._put_off, []
        return put_off

    # ── how a try ends ───────────────────────────────────────────────────────────────────────────────────────────────

    def succeeded(self, indices: Sequence[int]) -> Iterable[int]:
        """With how many tries each; there may be more of these numbers than items."""
        if self._backoff is not None:
            self._backoff.started(len(indices))
        if self._struck:
            self._struck.difference_update(indices)
        return [self._tries.pop(index, 0) + 1 for index in indices] if self._tries else repeat(1)

    def failed(self, index: int) -> int:
        """With how many tries."""
        return self.given_up(index) + 1

    def given_up(self, index: int) -> int:
        """It is not tried again: how many tries it has had."""
        self._struck.discard(index)
        return self._tries.pop(index, 0)

    def again(self, failed: Queued, tries: int, error: BaseException, asked: float, now: float) -> bool:
        """Whether one that has failed so many `tries` has another. `asked`: the pause that the other side wants."""
        if self._backoff is None:
            return False
        self._backoff.started(1)
        index = failed[0]
        at = self._backoff.again_at(error, tries - self._cut_short.get(index, 0), now, asked)
        if at is None:
            return False
        self._tries[index] = tries
        heapq.heappush(self._waiting, (at, index, failed))
        self._put_off.append(Again(now, index, tries, at, error))
        return True

    def struck(self, index: int, *, alone: bool) -> bool:
        """A death has named it. Whether it is guilty: it was named before, and nobody else is now; else it has one more try."""
        if index in self._struck and alone:
            return True
        self._struck.add(index)
        self._tries[index] = self._tries.get(index, 0) + 1
        self._cut_short[index] = self._cut_short.get(index, 0) + 1
        return False

    def forget(self, outcomes: Batch) -> None:
        """These are final."""
        if self._cut_short:
            for outcome in outcomes:
                self._cut_short.pop(outcome.index, None)

    def recall(self, wanted: Callable[[int], bool]) -> list[Queued]:
        """Those of the indices wanted, which do not wait any longer."""
        recalled = [queued for _, _, queued in self._waiting if wanted(queued[0])]
        if recalled:
            gone = {queued[0] for queued in recalled}
            self._waiting = [entry for entry in self._waiting if entry[1] not in gone]
            heapq.heapify(self._waiting)
        return recalled

    def withdraw(self, index: int) -> Queued | None:
        """One that waits for another try, and will have none."""
        return next(iter(self.recall(lambda waiting: waiting == index)), None)
