"""Says early that most of what is run fails, and of what: `Alarm`. Nobody wants to learn that after a million items."""

from __future__ import annotations

from collections import Counter, deque

from .summary import grouped

__all__ = ["Alarm"]

# Items that are looked back on, and failures among them that are most. Fewer would cry wolf at a bad patch.
WINDOW, MOST = 50, 40


class Alarm:
    """Told of each item that ends; says something once, and again only after most have been fine in between."""

    __slots__ = ("_kinds", "_raised")

    def __init__(self) -> None:
        self._kinds: deque[str] = deque(maxlen=WINDOW)  # of failure; "" is a success
        self._raised = False

    def ended(self, kind: str = "", example: str = "") -> str | None:
        """One more; `kind` is that of its failure, "" of a success, `example` says which it was and why. Returns what there
        is to say, if there is something."""
        kinds = self._kinds
        kinds.append(kind)
        if not kind and not self._raised:
            return None
        failed = len(kinds) - kinds.count("")
        if self._raised:
            self._raised = failed >= len(kinds) / 2
            return None
        if failed < MOST:
            return None
        self._raised = True
        [(most, count)] = Counter(each for each in kinds if each).most_common(1)
        such = f", such as {example}" if kind == most and example else ""
        return f"{grouped(failed)} of the last {WINDOW} items failed, {grouped(count)} of them: {most}{such}"
