"""Outcomes in the order of their items, or as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..outcome import Outcome
from .finished import Batch, Finished

__all__ = ["AsFinished", "InOrder"]


class AsFinished:
    """Nothing is held back."""

    held = 0
    first = 0

    def take(self, outcomes: Batch) -> Batch:
        return outcomes

    def rest(self) -> Sequence[Outcome[Any]]:
        return ()


class InOrder:
    """Holds outcomes until all before them have come. `first` is the index that is waited for, `held` how many wait."""

    def __init__(self) -> None:
        self.first = 0
        self._held: dict[int, Outcome[Any]] = {}

    @property
    def held(self) -> int:
        return len(self._held)

    def take(self, outcomes: Batch) -> Batch:
        first = self.first
        # the common case: a batch of one worker, in order, next in line
        if not self._held:
            indices = outcomes.indices if isinstance(outcomes, Finished) else [outcome[0] for outcome in outcomes]
            if [*indices] == [*range(first, first + len(outcomes))]:
                self.first = first + len(outcomes)
                return outcomes
        held = self._held
        held.update((outcome.index, outcome) for outcome in outcomes)
        ready = []
        while first in held:
            ready.append(held.pop(first))
            first += 1
        self.first = first
        return ready

    def rest(self) -> Sequence[Outcome[Any]]:
        """What is held, in order, for a run that ends before the ones it waits for."""
        rest = [self._held[index] for index in sorted(self._held)]
        self._held.clear()
        return rest
