"""Items of which one may have killed its worker: each group runs alone, in a worker that has nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from .backlog import Queued

__all__ = ["Suspects"]


class Suspects:
    """Groups of items, in the order of their accusation. `one_by_one`: a group is never more than one, where keys are counted,
    since half of a group may be more of one key than may run at once."""

    def __init__(self, *, one_by_one: bool) -> None:
        self._one_by_one = one_by_one
        self._groups: deque[list[Queued]] = deque()

    def __len__(self) -> int:
        """How many groups."""
        return len(self._groups)

    def each(self, items: Sequence[Queued]) -> None:
        """Each of these may be it."""
        self._groups.extend([item] for item in items)

    def among(self, items: list[Queued]) -> None:
        """Nobody knows which of these it was: halves, each alone, until one is left, which then gets its second try."""
        half = 1 if self._one_by_one else max(1, (len(items) + 1) // 2)
        self._groups.extend(items[at : at + half] for at in range(0, len(items), half))

    def next(self, may_start: Callable[[list[int]], bool]) -> list[Queued] | None:
        """The first group that may start."""
        for _ in range(len(self._groups)):
            group = self._groups.popleft()
            if may_start([index for index, _, _ in group]):
                return group
            self._groups.append(group)
        return None

    def withdraw(self, index: int) -> Queued | None:
        """One that waits for its turn alone, and will have none."""
        for group in self._groups:
            if len(group) == 1 and group[0][0] == index:
                self._groups.remove(group)
                return group[0]
        return None
